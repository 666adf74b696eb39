"""The log of dm-log-writes: what was written, in the order in which it was safe on the disk.

Its format: https://docs.kernel.org/admin-guide/device-mapper/log-writes.html, and
drivers/md/dm-log-writes.c. On the lab's host this file is a script, and nothing but Python is there.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC, VERSION = 0x6A736677736872, 1
FUA, DISCARD, MARK = 2, 4, 8
SECTOR = 512
"""All of the kernel's own numbers are of sectors of 512 bytes."""
_SUPER = struct.Struct("<QQQI")
_ENTRY = struct.Struct("<QQQQ")


class NoLogError(Exception):
    """The file is not such a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write: so many sectors at a sector, which lie in the log at a byte; or a mark."""

    number: int
    sector: int
    sectors: int
    flags: int
    at: int
    mark: str

    @property
    def writes(self) -> bool:
        """Whether it has data. What a discarded sector holds is left to the disk: here, the old."""
        return bool(self.sectors) and not self.flags & (DISCARD | MARK)


def entries(log: BinaryIO) -> Iterator[Entry]:
    """Read a log; each begins at a block, and its data in the next one."""
    magic, version, count, block = _SUPER.unpack(log.read(_SUPER.size))
    if (magic, version) != (MAGIC, VERSION):
        message = f"no log of dm-log-writes: {magic:#x}, version {version}"
        raise NoLogError(message)
    at = block
    for number in range(count):
        log.seek(at)
        sector, sectors, flags, length = _ENTRY.unpack(log.read(_ENTRY.size))
        mark = log.read(length).decode() if flags & MARK else ""
        at += block
        yield Entry(number=number, sector=sector, sectors=sectors, flags=flags, at=at, mark=mark)
        if not flags & DISCARD:
            at += sectors * block


def write(log: BinaryIO, disk: BinaryIO, begin: int, end: int) -> None:
    """Write the entries from one number up to another, without it, to a disk."""
    for entry in entries(log):
        if begin <= entry.number < end and entry.writes:
            log.seek(entry.at)
            data = log.read(entry.sectors * SECTOR)
            disk.seek(entry.sector * SECTOR)
            disk.write(data)
    disk.flush()
    os.fsync(disk.fileno())


def main(words: list[str]) -> None:
    """`list LOG`, or `write LOG DISK BEGIN END`."""
    with open(words[1], "rb") as log:  # noqa: PTH123 - the words are paths as they are
        if words[0] == "list":
            print(json.dumps([asdict(entry) for entry in entries(log)]))
            return
        with open(words[2], "r+b", buffering=0) as disk:  # noqa: PTH123 - likewise
            write(log, disk, int(words[3]), int(words[4]))


if __name__ == "__main__":
    main(sys.argv[1:])
