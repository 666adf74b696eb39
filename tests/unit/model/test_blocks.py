"""Block lists: written and read back, and what is refused."""

from __future__ import annotations

import pytest

from kvmkeep.model.blocks import (
    BLOCK,
    LONGEST,
    BlockList,
    block_text,
    blocks_of,
    longest_list,
    parse_blocks,
)
from kvmkeep.model.units import Size

SUM = "ab" * 32


def test_a_list_is_read_as_it_was_written() -> None:
    size = Size(2 * BLOCK + 512)
    text = block_text(size, (SUM, "0", SUM))
    assert text == f"kvmkeep-blocks 1 {2 * BLOCK + 512} {BLOCK}\n{SUM}\n0\n{SUM}\n"
    blocks = parse_blocks(text)
    assert blocks == BlockList(size=size, sums=(SUM, "0", SUM))
    assert [blocks.length(number) for number in range(3)] == [BLOCK, BLOCK, 512]
    assert blocks_of(size) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "first line"),
        (f"kvmkeep-blocks 2 {BLOCK} {BLOCK}\n{SUM}\n", "first line"),
        (f"kvmkeep-blocks 1 {BLOCK} 4096\n{SUM}\n", "first line"),
        (f"kvmkeep-blocks 1 {BLOCK} {BLOCK}", "number of lines"),
        (f"kvmkeep-blocks 1 {BLOCK} {BLOCK}\n{SUM}", "number of lines"),
        (f"kvmkeep-blocks 1 {BLOCK} {BLOCK}\n", "number of lines"),
        (f"kvmkeep-blocks 1 {BLOCK} {BLOCK}\n{SUM}\n{SUM}\n", "number of lines"),
        (f"kvmkeep-blocks 1 {BLOCK} {BLOCK}\n{SUM[1:]}\n", "line 2 .* no checksum"),
    ],
)
def test_a_list_that_is_not_whole_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_blocks(text)


def test_a_list_has_an_end_that_its_disk_tells() -> None:
    for size in (Size(1), Size(BLOCK), Size(3 * BLOCK + 1)):
        longest = block_text(size, ["f" * 64] * blocks_of(size))
        assert longest_list(size) == len(longest)
    assert longest_list(Size(1 << 50)) == LONGEST
