from __future__ import annotations

import pytest

from kvmkeep.model.bios import Sectors, bios_boots

MARK = b"\x55\xaa"
CODE = b"\xfa\xb8"
"""As parted's code begins, which is in every MBR that it makes."""


def sector(code: bytes = CODE, *, active: int = 0, mark: bytes = MARK) -> bytes:
    entry = bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + active.to_bytes(4, "little")
    return code.ljust(446, b"\0") + (entry if active else b"").ljust(64, b"\0") + mark


def grub(core: int) -> bytes:
    return sector(b"\xeb\x63".ljust(0x5C, b"\0") + core.to_bytes(8, "little") + b"GRUB \0Geom")


FAT = sector(b"\xeb\x3c\x90mkfs.fat" + bytes(80) + b"This is not a bootable disk.  Please")


@pytest.mark.parametrize("table", ["gpt", "msdos", ""])
@pytest.mark.parametrize("first", [sector(b""), sector(mark=bytes(2)), b"", CODE, FAT])
def test_without_code_of_a_boot_loader_nothing_is_started(table: str, first: bytes) -> None:
    assert not bios_boots(Sectors(read={0: first}), table, boot_partition=True)


@pytest.mark.parametrize("table", ["gpt", "msdos"])
@pytest.mark.parametrize(("core", "boots"), [(b"R" * 512, True), (bytes(512), False), (None, True)])
def test_grub_needs_its_core_image_wherever_that_is(
    table: str, core: bytes | None, *, boots: bool
) -> None:
    read = {0: grub(2048)} | ({} if core is None else {2048: core})
    assert bios_boots(Sectors(read=read), table, boot_partition=False) is boots


@pytest.mark.parametrize(
    ("active", "second", "boots"),
    [(2048, CODE, True), (2048, b"", False), (0, CODE, False), (4096, CODE, False)],
)
def test_an_mbr_for_the_active_partition_needs_one_with_code(
    active: int, second: bytes, *, boots: bool
) -> None:
    read = {0: sector(active=active), 2048: sector(second)}
    assert bios_boots(Sectors(read=read), "msdos", boot_partition=False) is boots


@pytest.mark.parametrize("boot_partition", [True, False])
def test_other_code_on_gpt_counts_only_with_a_partition_for_bios(*, boot_partition: bool) -> None:
    read = Sectors(read={0: sector()})
    assert bios_boots(read, "gpt", boot_partition=boot_partition) is boot_partition
    assert bios_boots(read, "", boot_partition=boot_partition)
