"""Which firmware a guest is made with: that of its file, or of the base template."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.domain_tree import DomainTreeError, domain_tree
from kvmkeep.model.plan import Note
from kvmkeep.model.spec import Firmware, Guest, Spec

_OF_FIRMWARE = ("firmware", "loader", "nvram", "bios")


def firmware_of(spec: Spec, guest: Guest) -> Firmware:
    """Return the firmware that a guest is made with."""
    return guest.firmware or template_firmware(spec)


def template_firmware(spec: Spec) -> Firmware:
    """Return the firmware of the base template."""
    try:
        return _of_tree(domain_tree(spec.template))
    except DomainTreeError:  # none, or refused elsewhere
        return Firmware.BIOS


def set_firmware(root: ET.Element, guest: Guest) -> None:
    """Give a guest's XML the firmware of its file, where the template has the other one."""
    system = root.find("os")
    if system is None or guest.firmware in {None, _of_tree(root)}:
        return
    system.attrib.pop("firmware", None)
    for name in _OF_FIRMWARE:
        for old in system.findall(name):
            system.remove(old)
    if guest.firmware is Firmware.UEFI:
        system.set("firmware", "efi")
        # libvirt's own choice may be one that starts signed loaders alone, and says nothing.
        chosen = ET.SubElement(system, "firmware")
        ET.SubElement(chosen, "feature", enabled="no", name="enrolled-keys")


def firmware_notes(guest: Guest, domain: Domain) -> tuple[Note, ...]:
    """Tell where a guest in service has another firmware than its file says."""
    if guest.firmware is None:
        return ()
    has = _of_tree(domain_tree(domain.xml))
    if guest.firmware is has:
        return ()
    text = (
        f"it boots by {has.name}, and the spec says firmware: {guest.firmware}, which counts when "
        f"a guest is made; what boots by one seldom does by the other (virsh edit {guest.name})"
    )
    return (Note(subject=f"guest {guest.name}", text=text),)


def _of_tree(root: ET.Element) -> Firmware:
    """Return the firmware of a definition."""
    system = root.find("os")
    if system is None:
        return Firmware.BIOS
    flash = any(loader.get("type") == "pflash" for loader in system.findall("loader"))
    uefi = flash or system.get("firmware") == "efi" or system.findtext("nvram", "").strip()
    return Firmware.UEFI if uefi else Firmware.BIOS
