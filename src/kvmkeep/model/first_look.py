"""The look into an image before a guest is made from it: what first boot and firmware need."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.disk_look import boots_by_bios, boots_by_uefi, disk_of, disk_script, first_of
from kvmkeep.model.image_facts import Contents
from kvmkeep.model.look import contents_of, look_script, parse_filesystems, root_of
from kvmkeep.model.spec import Firmware, Format

_ASKED = "firmware"


def first_look_script(form: Format) -> bytes:
    """Return what guestfish is asked."""
    return look_script(form, disk_script(_ASKED))


def parse_first_look(text: str) -> Contents:
    """Read the answer; raise ValueError where it is not a whole one."""
    systems = parse_filesystems(text)
    found, disk = contents_of(root_of(systems)), disk_of(systems)
    if first_of(disk, "asked") != _ASKED:
        return found  # of a version that did not ask for it
    bios, uefi = boots_by_bios(disk), boots_by_uefi(systems)
    boots = (*((Firmware.BIOS,) if bios else ()), *((Firmware.UEFI,) if uefi else ()))
    return replace(found, boots=boots)
