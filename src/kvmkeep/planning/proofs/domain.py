"""The domain that a backup is started as: like the guest's own, but it can't be noticed.

It is made from the XML in the backup's manifest, of which others may be the authors. What ties a
guest to this host or to others is left out: devices of the host, graphics, tuning, networks, its
emulator, the serials of its firmware (libvirt demands that their UUID is the domain's). Only parts
and devices that are known to be harmless are taken, each part once.
"""

from __future__ import annotations

from collections.abc import Collection
from xml.etree import ElementTree as ET

from msgspec import Struct

from kvmkeep.model.domain_facts import AGENT_CHANNEL
from kvmkeep.model.domain_tree import DomainTreeError, domain_tree
from kvmkeep.model.proof import PROOF_KEY, PROOF_URI, proof_domain
from kvmkeep.model.units import Size
from kvmkeep.planning.domains.parts import foreign_in, reaches, read_only_loader

_PARTS = ("features", "cpu", "clock", "pm")
_DEVICES = frozenset({"controller", "input", "memballoon", "panic", "rng", "video"})
_LITTLE = "10"
"""Its share of the host's CPUs; any other guest has 100 (cgroup v2's cpu.weight) or 1024."""
_OF_DISK = ("target", "serial", "wwn", "vendor", "product", "boot", "address", "blockio")
_OF_NIC = ("mac", "model", "address")


class CannotProveError(ValueError):
    """The XML in a backup is not that of a domain with its disks."""


class ProofDisk(Struct, frozen=True, kw_only=True):
    """A disk of the proof: `sources` are the paths that the guest's own XML may have for it.

    `backing` is its data in the mounted repository, which is only read; what is written goes to
    the qcow2 in the device `overlay`.
    """

    sources: tuple[str, ...]
    overlay: str
    backing: str


class Likeness(Struct, frozen=True, kw_only=True):
    """What the domain is made of. `xml` is the guest's own, as its backup has it.

    `memory` is the most that it may have, `cpus` the number of the host's. `nvram` is a copy of
    the firmware's variables that it may write to; empty where the backup has none.
    """

    guest: str
    xml: str
    uuid: str
    disks: tuple[ProofDisk, ...]
    memory: Size
    cpus: int
    bridge: str
    console: str
    nvram: str = ""


def parse_domain_xml(xml: str) -> ET.Element:
    """Return the root of a domain's XML; raises CannotProveError for anything else."""
    try:
        return domain_tree(xml)
    except DomainTreeError as error:
        raise CannotProveError(f"its {error}") from error


def memory_of(xml: str) -> Size:
    """Return the memory that a domain's XML gives the guest; libvirt prints KiB always."""
    root = parse_domain_xml(xml)
    try:
        return Size(int(root.findtext("currentMemory", root.findtext("memory", ""))) * 1024)
    except ValueError as error:
        raise CannotProveError("its XML does not tell its memory") from error


def has_agent(xml: str) -> bool:
    """Whether the guest has a channel for its agent."""
    return any(_is_agents(one) for one in parse_domain_xml(xml).iterfind("devices/channel"))


def beside(xml: str, sources: Collection[str]) -> tuple[str, ...]:
    """Return the disks of a domain's XML that it writes to, beside `sources`."""
    found: list[str] = []
    for disk in parse_domain_xml(xml).iterfind("devices/disk"):
        source = disk.find("source")
        kept = disk.find("readonly") is None and disk.find("shareable") is None
        if disk.get("device", "disk") == "disk" and source is not None and kept:
            words = (source.get(key, "") for key in ("dev", "file", "volume", "dir", "name"))
            found.append(next(filter(None, words), "a disk"))
    return tuple(one for one in found if one not in sources)


def proof_xml(like: Likeness) -> str:
    """Return the XML to start the proof's domain with; raises CannotProveError."""
    theirs = parse_domain_xml(like.xml)
    root = ET.Element("domain", {"type": "qemu" if theirs.get("type") == "qemu" else "kvm"})
    _add(root, "name", proof_domain(like.guest))
    _add(root, "uuid", like.uuid)
    mark = ET.SubElement(ET.SubElement(root, "metadata"), f"{PROOF_KEY}:proof")
    mark.set(f"xmlns:{PROOF_KEY}", PROOF_URI)
    mark.set("guest", like.guest)
    memory = str(min(like.memory, memory_of(like.xml)).bytes // 1024)
    _add(root, "memory", memory, unit="KiB")
    _add(root, "currentMemory", memory, unit="KiB")
    root.append(_vcpu(theirs, like.cpus))
    ET.SubElement(ET.SubElement(root, "cputune"), "shares").text = _LITTLE
    root.append(_system(theirs, like))
    parts = (theirs.find(name) for name in _PARTS)
    root.extend(part for part in parts if part is not None and not reaches(part))
    for cpu in root.iterfind("cpu"):
        _drop(cpu, "numa")
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _add(root, event, "destroy")
    root.append(_devices(theirs, like))
    return ET.tostring(root, encoding="unicode")


def _vcpu(theirs: ET.Element, cpus: int) -> ET.Element:
    """Return the CPUs: a topology must go on to match the most, so only their number is lowered."""
    text = theirs.findtext("vcpu", "1")
    most = int(text) if text.isdecimal() and len(text) < 6 else 1
    vcpu = ET.Element("vcpu")
    vcpu.text = str(most)
    if cpus < most:
        vcpu.set("current", str(max(1, cpus)))
    return vcpu


def _system(theirs: ET.Element, like: Likeness) -> ET.Element:
    """Return how it boots: from its disks, with a distribution's firmware and own variables."""
    old = theirs.find("os")
    if old is None:
        raise CannotProveError("its XML does not tell how it boots")
    made = ET.Element("os", {key: text for key, text in old.items() if key == "firmware"})
    parts = {part.tag: part for part in reversed(old)}
    for name in ("type", "firmware", "bios"):
        if name in parts and not reaches(parts[name]):
            made.append(parts[name])
    if "loader" in parts:
        loader = read_only_loader(parts["loader"])
        if loader is None:
            text = parts["loader"].text or ""
            raise CannotProveError(f"its <loader> is no firmware below /usr/share: {text!a:.200}")
        made.append(loader)
    if like.nvram:
        _add(made, "nvram", like.nvram)
    elif "nvram" in parts:
        raise CannotProveError("its firmware's variables are not in the backup")
    if "boot" in parts:
        ET.SubElement(made, "boot", dev="hd")
    return made


def _devices(theirs: ET.Element, like: Likeness) -> ET.Element:
    devices = ET.Element("devices")
    left = list(like.disks)
    for device in theirs.iterfind("devices/*"):
        if device.tag == "disk":
            _take_disk(devices, device, left)
        elif device.tag == "interface":
            devices.append(_nic(device, like.bridge))
        elif device.tag == "channel" and _is_agents(device):
            devices.append(_channel(device))
        elif device.tag in _DEVICES:
            _drop(device, "driver")
            devices.extend(() if foreign_in(device) else (device,))
    if left:
        raise CannotProveError(f"its XML has no disk {left[0].sources[0]}")
    devices.append(_serial(theirs.find("devices/serial/target"), like.console))
    return devices


def _take_disk(devices: ET.Element, disk: ET.Element, left: list[ProofDisk]) -> None:
    """Take a disk that is in the backup; CD-ROMs and disks beside it are left out."""
    source = disk.find("source")
    path = "" if source is None else source.get("dev", "") or source.get("file", "")
    found = next((one for one in left if path in one.sources), None)
    if found is None:
        return
    left.remove(found)
    made = ET.SubElement(devices, "disk", type="block", device="disk")
    # What it writes is thrown away, so nothing of it has to be on the disk.
    ET.SubElement(made, "driver", name="qemu", type="qcow2", cache="unsafe", discard="ignore")
    ET.SubElement(made, "source", dev=found.overlay)
    below = ET.SubElement(made, "backingStore", type="file")
    ET.SubElement(below, "format", type="raw")
    data = ET.SubElement(below, "source", file=found.backing)
    ET.SubElement(data, "seclabel", model="dac", relabel="no")
    ET.SubElement(below, "backingStore")
    made.extend(part for part in disk if part.tag in _OF_DISK)


def _nic(nic: ET.Element, bridge: str) -> ET.Element:
    made = ET.Element("interface", type="bridge")
    ET.SubElement(made, "source", bridge=bridge)
    made.extend(part for part in nic if part.tag in _OF_NIC)
    return made


def _serial(target: ET.Element | None, console: str) -> ET.Element:
    """Return the serial port: virtlogd writes what comes out of it, and never more than 6 MiB."""
    serial = ET.Element("serial", type="pty")
    ET.SubElement(serial, "log", file=console, append="off")
    if target is None:
        ET.SubElement(serial, "target", port="0")
    else:
        serial.append(target)
    return serial


def _channel(channel: ET.Element) -> ET.Element:
    made = ET.Element("channel", type="unix")
    ET.SubElement(made, "target", type="virtio", name=AGENT_CHANNEL)
    made.extend(channel.findall("address"))
    return made


def _is_agents(channel: ET.Element) -> bool:
    target = channel.find("target")
    return target is not None and target.get("name") == AGENT_CHANNEL


def _add(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def _drop(parent: ET.Element, tag: str) -> None:
    for child in parent.findall(tag):
        parent.remove(child)
