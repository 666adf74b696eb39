"""What libvirt's QEMU is and can do, from its XML (https://libvirt.org/formatcaps.html)."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from msgspec import Struct

from kvmkeep.model.facts import Machines

_OWNER = re.compile(r"\+[0-9]{1,10}:\+([0-9]{1,10})")


class Capabilities(Struct, frozen=True, kw_only=True):
    """The QEMU that runs guests of the host's own architecture, and what KVM has there.

    `qemu_group` is the number of the group that it runs as; -1 where unknown.
    """

    emulator: str
    qemu_group: int
    machines: tuple[Machines, ...]


def capabilities(xml: str) -> Capabilities:
    """Return what that XML tells; nothing where it can't be read."""
    try:
        root = ET.fromstring(xml)  # noqa: S314 - libvirt made it
    except ET.ParseError:
        root = ET.Element("capabilities")
    return Capabilities(
        emulator=_emulator(root), qemu_group=_qemu_group(root), machines=_machines(root)
    )


def _emulator(root: ET.Element) -> str:
    own = root.findtext("host/cpu/arch", "")
    for guest in root.iterfind("guest"):
        arch = guest.find("arch")
        if guest.findtext("os_type") == "hvm" and arch is not None and arch.get("name") == own:
            for_kvm = arch.findtext("domain[@type='kvm']/emulator", "")
            return for_kvm or arch.findtext("emulator", "")
    return ""


def _machines(root: ET.Element) -> tuple[Machines, ...]:
    """Return the machine types by architecture; KVM's own list is told only where it differs."""
    return tuple(
        Machines(
            arch=arch.get("name", ""),
            names=tuple(sorted({one.text or "" for one in arch.iter("machine")})),
        )
        for arch in root.iterfind("guest/arch")
        if arch.find("domain[@type='kvm']") is not None
    )


def _qemu_group(root: ET.Element) -> int:
    """Return the group of `+64055:+109`, the label that QEMU gets (formatcaps, `baselabel`)."""
    for model in root.iterfind("host/secmodel[model='dac']"):
        owner = _OWNER.fullmatch(model.findtext("baselabel[@type='kvm']", ""))
        if owner is not None:
            return int(owner[1])
    return -1
