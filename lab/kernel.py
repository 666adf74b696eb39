"""The kernel inside a bzImage, which QEMU starts at its PVH entry: no firmware, no unpacking.

On an emulated processor those two take ten of the seventy seconds that libguestfs' appliance
needs. Source: Linux, Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from lab.tools import run_tool

if TYPE_CHECKING:
    from pathlib import Path

SETUP_SECTS = 0x1F1
MAGIC, MAGIC_AT = b"HdrS", 0x202
PAYLOAD_AT = 0x248
SECTOR = 512
LZ4_LEGACY = b"\x02\x21\x4c\x18"
SIZE_BEHIND = 4


def lz4_payload(image: bytes) -> bytes | None:
    """Return the packed kernel in a bzImage; none if that is something else than LZ4's format.

    The last four bytes of the payload are the size when unpacked; lz4 must not see them.
    """
    if image[MAGIC_AT : MAGIC_AT + len(MAGIC)] != MAGIC:
        return None
    offset, length = struct.unpack_from("<II", image, PAYLOAD_AT)
    start = (image[SETUP_SECTS] + 1) * SECTOR + offset
    payload = image[start : start + length - SIZE_BEHIND]
    return payload if payload.startswith(LZ4_LEGACY) else None


def unpack_kernel(kernel: Path, log: Path) -> None:
    """Have an unpacked kernel take the place of a bzImage, if it is one that lz4 can unpack."""
    payload = lz4_payload(kernel.read_bytes())
    if payload is None:
        return
    packed, unpacked = kernel.with_suffix(".lz4"), kernel.with_suffix(".elf")
    packed.write_bytes(payload)
    run_tool(["lz4", "-q", "-d", "-f", str(packed), str(unpacked)], log, limit=60)
    packed.unlink()
    unpacked.replace(kernel)
