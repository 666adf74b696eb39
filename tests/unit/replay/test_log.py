"""What dm-log-writes has logged is read and written again, up to where it is asked."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import pytest

from tests.replay import log
from tests.replay.log import DISCARD, FUA, MARK, SECTOR, NoLogError


def logged(*entries: tuple[int, int, bytes], magic: int = log.MAGIC) -> BytesIO:
    """Lay a log out as drivers/md/dm-log-writes.c does: sector, flags and data of each entry."""
    blocks = [struct.pack("<QQQI", magic, 1, len(entries), SECTOR)]
    for sector, flags, data in entries:
        if flags & MARK:
            blocks.append(struct.pack("<QQQQ", 0, 0, flags, len(data)) + data)
            continue
        number = len(data) // SECTOR
        blocks.append(struct.pack("<QQQQ", sector, number, flags, 0))
        if not flags & DISCARD:
            blocks += [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]
    return BytesIO(b"".join(block.ljust(SECTOR, b"\0") for block in blocks))


ONE, TWO, NEW = (letter * SECTOR for letter in (b"1", b"2", b"n"))
LOG = (
    (0, 0, ONE + TWO),
    (0, MARK, b"begin:grow"),
    (2, DISCARD, TWO),
    (1, FUA, NEW),
)


def test_each_entry_is_read_with_its_data_s_place() -> None:
    first, mark, discard, last = log.entries(logged(*LOG))
    assert (first.sector, first.sectors, first.at, first.writes) == (0, 2, 2 * SECTOR, True)
    assert (mark.mark, mark.writes) == ("begin:grow", False)
    assert not discard.writes
    assert (last.number, last.sector, last.flags, last.at) == (3, 1, FUA, 7 * SECTOR)


@pytest.mark.parametrize(
    ("begin", "end", "kept"),
    [(0, 0, b"ooo"), (0, 1, b"12o"), (0, 3, b"12o"), (0, 4, b"1no"), (3, 4, b"ono")],
)
def test_so_much_is_written_as_is_asked_for(
    tmp_path: Path, begin: int, end: int, kept: bytes
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"o" * 3 * SECTOR)
    with path.open("r+b", buffering=0) as disk:
        log.write(logged(*LOG), disk, begin, end)
    assert path.read_bytes() == b"".join(bytes([letter]) * SECTOR for letter in kept)


def test_another_file_is_no_log() -> None:
    with pytest.raises(NoLogError, match="no log of dm-log-writes: 0x1, version 1"):
        list(log.entries(logged(magic=1)))
