"""A disk compared with the block list of its backup, block by block."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Callable

from msgspec import Struct

from kvmkeep.errors import Unready
from kvmkeep.host.block_sum import sum_of
from kvmkeep.host.files import read_file, under_dev
from kvmkeep.model.blocks import BLOCK, LONGEST, BlockList, parse_blocks

_TELL_EVERY = 16
"""Blocks between two tellings."""
_MOST_NAMED = 3
_GIVEN_UP = "what lies behind it was not tried"


class Differences(Struct, frozen=True, kw_only=True):
    """How a comparison ended: how many blocks are other ones, and words about the first of them."""

    count: int
    of: int
    named: tuple[str, ...]

    def __str__(self) -> str:
        more = "; ..." if self.count > len(self.named) else ""
        return (
            f"{self.count} of {self.of} blocks are not as they were: {'; '.join(self.named)}{more}"
        )


def read_list(path: str, sha256: str = "", size: int = 0) -> BlockList:
    """Return a block list; raises Unready where it is not whole, or not the one that is meant.

    That has this sum, and is of a disk of so many bytes; an empty sum and 0 stand for any.
    """
    try:
        content = read_file(path, LONGEST)
    except OSError as error:
        raise Unready(f"{path} can't be read: {error.strerror}") from error
    if content is None:
        raise Unready(f"there is no file {path}")
    if sha256 and hashlib.sha256(content).hexdigest() != sha256:
        raise Unready(f"{path} is not the block list that was written at the backup")
    try:
        found = parse_blocks(content.decode("ascii", "replace"))
    except ValueError as error:
        raise Unready(f"{path}: {error}") from error
    if size and found.size.bytes != size:
        raise Unready(f"{path} is of a disk of {found.size.bytes} bytes instead of {size}")
    return found


def compare(path: str, blocks: BlockList, tell: Callable[[int], None]) -> Differences:
    """Read a disk to its end and compare it; `tell` hears of the bytes that were read.

    A block that can't be read is another one, and the last that is tried: an engine that shows its
    repository as files (`restic mount`) looks for lost data for minutes before it gives a block up,
    and of a large disk all blocks may be lost. A block device is read past the host's memory: what
    counts is what is on the disk. Raises Unready where it can't be opened, or is too small.
    """
    bad: list[str] = []
    count = 0
    descriptor = _open(path, blocks.size.bytes)
    try:
        with mmap.mmap(-1, BLOCK) as buffer:
            for number, wanted in enumerate(blocks.sums):
                try:
                    wrong = _wrong(descriptor, buffer, number, blocks.length(number), wanted)
                except OSError as error:
                    count += 1
                    bad.append(f"{_at(number)} can't be read: {error.strerror} ({_GIVEN_UP})")
                    break
                if wrong:
                    count += 1
                    bad += [wrong] if len(bad) < _MOST_NAMED else []
                if number % _TELL_EVERY == 0 or number + 1 == len(blocks.sums):
                    tell(number * BLOCK + blocks.length(number))
    finally:
        os.close(descriptor)
    return Differences(count=count, of=len(blocks.sums), named=tuple(bad))


def _open(path: str, size: int) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        if not under_dev(path):
            flags |= os.O_NOFOLLOW
        elif stat.S_ISBLK(os.stat(path).st_mode):
            flags |= os.O_DIRECT
        descriptor = os.open(path, flags)
    except OSError as error:
        raise Unready(f"{path} can't be opened: {error.strerror}") from error
    there = os.lseek(descriptor, 0, os.SEEK_END)
    if there < size:
        os.close(descriptor)
        raise Unready(f"{path} has {there} bytes instead of {size}")
    return descriptor


def _wrong(descriptor: int, buffer: mmap.mmap, number: int, length: int, wanted: str) -> str:
    """Return what is wrong with a block; empty if nothing is. Raises OSError."""
    view = memoryview(buffer)[:length]
    try:
        got = 0
        while got < length:
            more = os.preadv(descriptor, [view[got:]], number * BLOCK + got)
            if not more:
                return f"{_at(number)} ends too early"
            got += more
        os.posix_fadvise(descriptor, number * BLOCK, length, os.POSIX_FADV_DONTNEED)
        return "" if sum_of(view) == wanted else f"{_at(number)} is another one"
    finally:
        view.release()


def _at(number: int) -> str:
    return f"block {number} (at {number * (BLOCK >> 20)} MiB)"
