"""A disk's partitions, and which firmware finds something to boot: questions and answers."""

from __future__ import annotations

import re

from msgspec import Struct

from kvmkeep.model.bios import SECTOR, Sectors, bios_boots
from kvmkeep.model.look import MARK, Filesystem
from kvmkeep.model.text import masked
from kvmkeep.model.units import Size

_DISK = "the disk"
_PARTITIONS = 16
MOST = 200
"""Of each kind, so many are told."""

# GRUB's manual, "BIOS installation".
_BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"


class Partition(Struct, frozen=True, kw_only=True):
    """A partition; `type` is the GUID of GPT or the byte of an MBR."""

    number: int
    size: Size
    type: str


def disk_script(asked: str, *further: tuple[str, str]) -> tuple[str, ...]:
    """Return what guestfish is asked of the disk; `asked` comes back with the answer."""
    disk = [f'echo "{MARK}filesystem {_DISK}"', f'echo "{MARK}asked"', f"echo {asked}"]
    for kind, line in (
        ("table", "-part-get-parttype /dev/sda"),
        ("partitions", "-part-list /dev/sda | head -c 20000"),
        ("sector-0", _sector("/dev/sda", 0)),
        ("sector-1", _sector("/dev/sda", SECTOR)),
        *further,
    ):
        disk += [f'echo "{MARK}{kind}"', line]
    for number in range(1, _PARTITIONS + 1):
        disk += [
            f'echo "{MARK}type-{number}"',
            f"-part-get-gpt-type /dev/sda {number}",
            f"-part-get-mbr-id /dev/sda {number}",
            f'echo "{MARK}first-{number}"',
            _sector(f"/dev/sda{number}", 0),
        ]
    for device in ("/dev/sda", *(f"/dev/sda{n}" for n in range(1, _PARTITIONS + 1))):
        # Firmware reads FAT only (UEFI specification, "File System Format"), and OVMF looks for
        # its removable media's boot file there whatever type the partition has.
        disk += [
            f'echo "{MARK}filesystem {device}"',
            f"-mount-vfs ro vfat {device} /",
            f'echo "{MARK}efi"',
            "-exists /EFI/BOOT/BOOTX64.EFI",
            "-umount-all",
        ]
    return tuple(disk)


def disk_of(systems: list[Filesystem]) -> Filesystem:
    """Return what was printed of the disk itself."""
    return next((one for one in systems if one.name == _DISK), Filesystem(name=_DISK))


def table_of(disk: Filesystem) -> str:
    """Return the kind of a disk's partition table, as it is told."""
    return first_of(disk, "table")


def partitions_of(disk: Filesystem) -> tuple[Partition, ...]:
    """Return the partitions of a disk."""
    table = table_of(disk)
    return tuple(
        Partition(
            number=number,
            size=Size(size),
            type=_type(disk.answers.get(f"type-{number}", []), table),
        )
        for number, _, size in _listed(disk)
    )


def boots_by_bios(disk: Filesystem) -> bool:
    """Return whether a BIOS finds something to boot."""
    ways = any(one.type == _BIOS_BOOT for one in partitions_of(disk))
    return bios_boots(_sectors(disk), table_of(disk), boot_partition=ways)


def boots_by_uefi(systems: list[Filesystem]) -> bool:
    """Return whether UEFI finds something to boot without anything in its variables."""
    return any("efi" in one.programs for one in systems)


def first_of(system: Filesystem, kind: str) -> str:
    """Return the first line of an answer."""
    lines = system.answers.get(kind, [])
    return masked(lines[0].strip(), 2000) if lines else ""


def _sector(device: str, at: int) -> str:
    return f"-pread-device {device} {SECTOR} {at} | od -An -v -tx1 -w{SECTOR}"


def _sectors(disk: Filesystem) -> Sectors:
    """Return the first two sectors of the disk, and the first of each partition."""
    read = {
        start // SECTOR: _bytes(first_of(disk, f"first-{number}"))
        for number, start, _ in _listed(disk)
    }
    read |= {number: _bytes(first_of(disk, f"sector-{number}")) for number in (0, 1)}
    return Sectors(read={number: sector for number, sector in read.items() if sector})


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _listed(disk: Filesystem) -> list[tuple[int, int, int]]:
    """Return each partition's number, start and size, in bytes."""
    text = "\n".join(disk.answers.get("partitions", []))
    number = "([0-9]{1,18})"
    line = rf"part_num: ([0-9]{{1,3}})\n *part_start: {number}\n.*\n *part_size: {number}"
    return [(int(n), int(start), int(size)) for n, start, size in re.findall(line, text)[:MOST]]


def _type(answers: list[str], table: str) -> str:
    """Return a partition's type; of an MBR, libguestfs 1.48 tells sgdisk's idea of a GUID too."""
    fit = [one for one in answers if table != "msdos" or one.startswith("0x")]
    return masked(fit[0].strip().lower(), 36) if fit else ""
