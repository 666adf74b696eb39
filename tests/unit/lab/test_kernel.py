"""The kernel inside a bzImage."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from lab.kernel import lz4_payload, unpack_kernel
from lab.tools import run_tool

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = b"\x7fELF" + b"the kernel " * 1000


def bzimage(payload: bytes, *, magic: bytes = b"HdrS") -> bytes:
    """Return a file that is laid out as Documentation/arch/x86/boot.rst says."""
    setup, before = 27, 77
    head = bytearray((setup + 1) * 512 + before)
    head[0x1F1] = setup
    head[0x202:0x206] = magic
    payload += struct.pack("<I", len(KERNEL))
    struct.pack_into("<II", head, 0x248, before, len(payload))
    return bytes(head) + payload + b"what follows"


def packed(place: Path, format_option: str) -> bytes:
    """Return the kernel packed with lz4."""
    source, target = place / "source", place / "packed"
    source.write_bytes(KERNEL)
    run_tool(["lz4", "-q", format_option, str(source), str(target)], place / "log", limit=60)
    payload = target.read_bytes()
    source.unlink()
    target.unlink()
    return payload


def test_a_packed_kernel_is_replaced_by_what_is_in_it(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(bzimage(packed(tmp_path, "-l")))
    unpack_kernel(kernel, tmp_path / "log")
    assert kernel.read_bytes() == KERNEL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernel", "log"]


def left_alone(place: Path, image: bytes) -> bool:
    """Tell whether a kernel is what it was."""
    kernel = place / "kernel"
    kernel.write_bytes(image)
    unpack_kernel(kernel, place / "log")
    return lz4_payload(image) is None and kernel.read_bytes() == image


@pytest.mark.parametrize("image", [b"", b"\x7fELF"], ids=["empty", "unpacked already"])
def test_what_is_no_bzimage_is_left_alone(image: bytes, tmp_path: Path) -> None:
    assert left_alone(tmp_path, image)


def test_a_kernel_packed_otherwise_is_left_alone(tmp_path: Path) -> None:
    assert left_alone(tmp_path, bzimage(packed(tmp_path, "-1")))
    assert left_alone(tmp_path, bzimage(packed(tmp_path, "-l"), magic=b"none"))
