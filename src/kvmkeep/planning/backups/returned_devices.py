"""What of a definition out of a repository is said anew: NICs, screens, and our own mark.

None of it has to be as it was for the guest to be whole, and each may reach the host's networks: so
it is put right, and told, where something else would be refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from kvmkeep.model.names import METADATA_URI
from kvmkeep.model.spec import Guest
from kvmkeep.planning.domains.metadata import files_of
from kvmkeep.planning.scene import Scene

_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
_OF_NETWORK = frozenset({"source", "target", "virtualport", "vlan"})
"""Children of a NIC that tell where on the host it is: a VLAN, a port, a device that is there."""
_PUT_RIGHT = frozenset({"bridge", "network"})
"""NICs that can become one on a bridge with all else that they have; others are refused."""


def give_nics(scene: Scene, guest: Guest, root: ET.Element) -> list[str]:
    """Have its NICs on the bridges of the spec, and no other ones; return what is told of it."""
    told: list[str] = []
    bridges = {str(nic.mac): scene.networks[nic.network].bridge for nic in guest.nics}
    for devices in root.iterfind("devices"):
        for nic in devices.findall("interface"):
            macs = [one.get("address", "").lower() for one in nic.iterfind("mac")]
            mac = macs[0] if len(macs) == 1 else ""
            bridge, was = bridges.pop(mac, ""), _where(nic)
            if not bridge:
                devices.remove(nic)
                told.append(
                    f"its NIC {mac!a:.40} ({was}) is none that the spec gives it, and is left out; "
                    "to give it back: virsh attach-interface"
                )
            elif nic.get("type") in _PUT_RIGHT:
                _put_on(nic, bridge)
                if was != f"bridge {bridge!a:.40}":
                    told.append(f"its NIC {mac} is on {bridge} then; it was on {was}")
    return told


def _where(nic: ET.Element) -> str:
    kind = nic.get("type", "")
    source = next((one.get(kind, "") for one in nic.iterfind("source")), "")
    return f"{kind:.20} {source!a:.40}" if kind in _PUT_RIGHT else f"type {kind!a:.20}"


def _put_on(nic: ET.Element, bridge: str) -> None:
    for part in [one for one in nic if one.tag in _OF_NETWORK]:
        nic.remove(part)
    nic.attrib.clear()
    nic.set("type", "bridge")
    nic.append(ET.Element("source", bridge=bridge))


def close_screens(root: ET.Element) -> list[str]:
    """Have its VNC or Spice be reached from this host alone; return what is told of it.

    Who reaches it is at the guest's console, and a definition brings no password along.
    """
    told: list[str] = []
    for screen in root.iterfind("devices/graphics"):
        there = [*_open_to(screen)]
        if not there:
            continue
        for listen in screen.findall("listen"):
            screen.remove(listen)
        screen.attrib.pop("listen", None)
        screen.append(ET.Element("listen", type="address", address="127.0.0.1"))
        told.append(
            f"its console by {screen.get('type')!a:.20} can be reached from this host alone then; "
            f"it listened on {', '.join(there)}"
        )
    return told


def _open_to(screen: ET.Element) -> Iterator[str]:
    if screen.get("listen", "127.0.0.1") not in _LOCAL:
        yield f"{screen.get('listen')!a:.60}"
    for listen in screen.iterfind("listen"):
        kind, address = listen.get("type", "address"), listen.get("address", "127.0.0.1")
        if kind == "network":
            yield f"network {listen.get('network', '')!a:.60}"
        elif kind not in {"address", "none", "socket"} or address not in _LOCAL:
            yield f"{address!a:.60}"


def keep_own_mark(guest: Guest, root: ET.Element) -> None:
    """Leave nothing in our mark but what can be this guest's: its labels, NICs and files."""
    first = True
    for metadata in root.iterfind("metadata"):
        for mark in metadata.findall(f"{{{METADATA_URI}}}guest"):
            if not first:
                metadata.remove(mark)
            first = False
            for part in [one for one in mark if not _is_its(guest, one)]:
                mark.remove(part)


def _is_its(guest: Guest, part: ET.Element) -> bool:
    """Whether a part of our mark tells of something that the spec gives to the guest."""
    name = part.tag.removeprefix(f"{{{METADATA_URI}}}")
    if name == "nic":
        return part.get("mac", "") in {nic.mac for nic in guest.nics}
    if name == "disk":
        return part.get("file", "") in files_of(guest)
    return name == "label" and (part.text or "") in guest.labels
