"""Our element in a domain's metadata: the mark, the labels, what is remembered of NICs and files.

A NIC's MAC address is remembered where it can't be derived again, so that a NIC is known as ours
when the spec does not name it any more. What a guest was given as its network settings is
remembered to tell when the spec says something else: inside, the guest's settings are its own.

A file can wear no mark. So the paths of those that are its disks are remembered: one that the spec
drops is known as ours, and taken out. The running process remembers them by itself, until it has
let go of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as ET

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import GivenNic
from kvmkeep.model.names import METADATA_URI, guest_mac
from kvmkeep.model.spec import FirstBoot, Guest, Nic, Spec

Settings = tuple[tuple[str, str], ...]

KEY = "kvmkeep"
"""The prefix of our element."""


def settings_of(nic: Nic) -> Settings:
    """Return a NIC's network settings as they are remembered, sorted by their names."""
    addresses = ["dhcp"] if nic.dhcp else []
    addresses += [str(address) for address in nic.addresses]
    settings = {
        "addresses": " ".join(addresses),
        "dns": " ".join(str(server) for server in nic.dns),
        "gateway": " ".join(str(gateway) for gateway in nic.gateways),
        "routes": ", ".join(f"{route.to} via {route.via}" for route in nic.routes),
        "search": " ".join(nic.search),
    }
    return tuple((key, value) for key, value in settings.items() if value)


def given_now(guest: Guest) -> dict[str, Settings]:
    """Return what a guest is given at a first boot of now, by MAC address."""
    if guest.first_boot is FirstBoot.NONE:
        return {}
    return {nic.mac: settings_of(nic) for nic in guest.nics}


def record(spec: Spec, guest: Guest, given: Mapping[str, Settings]) -> tuple[GivenNic, ...]:
    """Return what is to be remembered of a guest's NICs, if that was given to them inside."""
    found: list[GivenNic] = []
    for position, nic in enumerate(guest.nics):
        settings = given.get(nic.mac, ())
        if settings or nic.mac != guest_mac(spec.host.name, guest.identity, position):
            found.append(GivenNic(mac=nic.mac, settings=settings))
    return tuple(found)


def files_of(guest: Guest) -> tuple[str, ...]:
    """Return the paths of the files that are a guest's disks."""
    return tuple(disk.path for disk in guest.files)


def mark(guest: Guest, nics: tuple[GivenNic, ...]) -> ET.Element:
    """Return our element as it stands in a domain's XML."""
    # libvirt keeps the element alone: it must bring the namespace itself (formatdomain).
    own = {f"xmlns:{KEY}": METADATA_URI}
    return _element(guest, nics, files_of(guest), f"{KEY}:", own)


def mark_commands(
    guest: Guest,
    nics: tuple[GivenNic, ...],
    files: tuple[str, ...],
    live: tuple[str, ...] | None,
) -> tuple[Command, ...]:
    """Return what puts our element into a domain's metadata; virsh(1) adds the namespace.

    `files` are those that its definition is to remember, `live` those of the running process;
    None where there is none.
    """
    if live == files:
        return (_set(guest, nics, files, "--config", "--live"),)
    config = _set(guest, nics, files, "--config")
    return (config,) if live is None else (config, live_mark(guest, nics, live))


def live_mark(guest: Guest, nics: tuple[GivenNic, ...], files: tuple[str, ...]) -> Command:
    """Return what puts our element into the metadata of the running process alone."""
    return _set(guest, nics, files, "--live")


def _set(guest: Guest, nics: tuple[GivenNic, ...], files: tuple[str, ...], *places: str) -> Command:
    text = ET.tostring(_element(guest, nics, files, "", {}), encoding="unicode")
    return Command(
        argv=(
            "virsh", "metadata", "--domain", guest.name, "--uri", METADATA_URI, "--key", KEY,
            "--set", text, *places,
        ),
        why="put our element into the domain's metadata",
    )  # fmt: skip


def _element(
    guest: Guest,
    nics: tuple[GivenNic, ...],
    files: tuple[str, ...],
    prefix: str,
    attributes: dict[str, str],
) -> ET.Element:
    ours = ET.Element(f"{prefix}guest", attributes)
    for label in guest.labels:
        ET.SubElement(ours, f"{prefix}label").text = label
    for nic in nics:
        ET.SubElement(ours, f"{prefix}nic", {"mac": nic.mac, **dict(nic.settings)})
    for path in files:
        ET.SubElement(ours, f"{prefix}disk", {"file": path})
    return ours
