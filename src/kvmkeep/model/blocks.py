"""A block list: the SHA-256 of each 4 MiB of a disk, in order; a block of zeros is known by `0`.

The first line tells what it is of: `kvmkeep-blocks 1 SIZE 4194304`, the size in bytes. The last
block may be shorter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from kvmkeep.model.units import Size

BLOCK = 4 << 20
"""Bytes of a block."""
LONGEST = 256 << 20
"""Bytes of a block list that is still read: one of 16 TiB."""
ZERO = "0"

_HEADER = re.compile(rf"kvmkeep-blocks 1 ([0-9]{{1,18}}) {BLOCK}")
_LINE = re.compile(r"0|[0-9a-f]{64}")


class BlockList(Struct, frozen=True, kw_only=True):
    """The blocks of a disk of that size; each is 64 hex digits, or `0`."""

    size: Size
    sums: tuple[str, ...]

    def length(self, number: int) -> int:
        """Return how many bytes a block has."""
        return min(BLOCK, self.size.bytes - number * BLOCK)


def blocks_of(size: Size) -> int:
    """Return how many blocks a disk of that size has."""
    return -(-size.bytes // BLOCK)


def header(size: Size) -> str:
    """Return the first line, without its end."""
    return f"kvmkeep-blocks 1 {size.bytes} {BLOCK}"


def longest_list(size: Size) -> int:
    """Return how many bytes the block list of a disk may have; none that is longer is read."""
    return min(LONGEST, len(header(size)) + 1 + blocks_of(size) * 65)


def block_text(size: Size, sums: Iterable[str]) -> str:
    """Return a block list as its file holds it."""
    return "".join(f"{line}\n" for line in (header(size), *sums))


def parse_blocks(text: str) -> BlockList:
    """Return the list that a file holds; raises ValueError where it is not whole."""
    first, *rest = text.split("\n")
    match = _HEADER.fullmatch(first)
    if match is None:
        raise ValueError("not a block list (its first line is another one)")
    size = Size(int(match[1]))
    if not rest or rest.pop() or len(rest) != blocks_of(size):
        raise ValueError(f"a block list of {blocks_of(size)} blocks has another number of lines")
    wrong = next((number for number, line in enumerate(rest) if not _LINE.fullmatch(line)), None)
    if wrong is not None:
        raise ValueError(f"line {wrong + 2} of the block list is no checksum")
    return BlockList(size=size, sums=tuple(rest))
