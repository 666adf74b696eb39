"""How far a disk is that is being sent, in pieces of output that are cut anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.host.progress import ProgressReader
from kvmkeep.model.command import Command, Progress

LINES = b"123 of 4000 bytes\n2500 of 4000 bytes\n"


def reader() -> ProgressReader:
    command = Command(argv=("nice",), why="", progress=Progress.BLOCKS, total_bytes=4000)
    return ProgressReader(command)


def told(pieces: list[bytes]) -> tuple[int, int]:
    found: list[tuple[int, int]] = []
    one = reader()
    for piece in pieces:
        one.saw(piece)
    one.tell(lambda done, total: found.append((done, total)))
    return found[0]


@given(st.integers(0, len(LINES)), st.integers(0, len(LINES)))
def test_wherever_the_output_is_cut(first: int, second: int) -> None:
    a, b = sorted((first, second))
    assert told([LINES[:a], LINES[a:b], LINES[b:]]) == (2500, 4000)


def test_what_is_no_line_of_it_counts_for_nothing() -> None:
    assert told([b"saved 3999 of 4000 bytes\n", b"12 of 4000 bytes"]) == (0, 4000)
    assert told([b"9999 of 4000 bytes\n"]) == (4000, 4000)
