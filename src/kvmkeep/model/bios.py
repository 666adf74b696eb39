"""Whether a BIOS finds something to boot: the first sector, and what its code loads next.

SeaBIOS starts any sector that ends in 55 AA, whatever is in it; so the code is looked at. parted
writes code for "the active partition" into every MBR that it makes, boot loader or not.
"""

from __future__ import annotations

from msgspec import Struct

SECTOR = 512

# GRUB, grub-core/boot/i386/pc/boot.S: the sector of the core image, and the beginning of its
# messages. The core is at sector 1 of an MBR, or in GPT's BIOS boot partition.
_GRUB = b"GRUB "
_CORE_AT = slice(0x5C, 0x64)
_CODE = slice(0, 440)
# dosfstools, src/mkfs.fat.c: code that says just this.
_NOT = b"This is not a bootable disk"
_ENTRIES, _ENTRY, _ACTIVE = 446, 16, 0x80


class Sectors(Struct, frozen=True, kw_only=True):
    """Sectors by their number, as far as they were read."""

    read: dict[int, bytes]

    def boots(self, number: int) -> bool:
        """Return whether a sector has boot code, and the mark without which none is started."""
        sector = self.read.get(number, b"")
        marked = len(sector) == SECTOR and sector[510:] == b"\x55\xaa"
        return marked and any(sector[_CODE]) and _NOT not in sector


def bios_boots(sectors: Sectors, table: str, *, boot_partition: bool) -> bool:
    """Return whether a BIOS finds something to boot; `boot_partition` is GPT's for BIOS."""
    if not sectors.boots(0):
        return False
    first = sectors.read[0]
    if _GRUB in first[_CODE]:
        core = sectors.read.get(int.from_bytes(first[_CORE_AT], "little"))
        return core is None or any(core)
    if table == "gpt":
        return boot_partition
    return table != "msdos" or any(sectors.boots(start) for start in _active(first))


def _active(first: bytes) -> tuple[int, ...]:
    """Return where the active partitions of an MBR begin."""
    entries = [first[at : at + _ENTRY] for at in range(_ENTRIES, 510, _ENTRY)]
    return tuple(
        int.from_bytes(one[8:12], "little") for one in entries if one[0] == _ACTIVE and one[4]
    )
