"""A plugin of nbdkit: a disk that keeps, when the power goes, some of what nobody has flushed.

A real disk writes what it has cached in an order of its own. After a power cut any of it can be
there, a later write without an earlier one, and on the other half of a mirror it is another part.
Nothing is promised but what came before a flush that has ended (virtio 1.2, 5.2.6.2).

nbdkit loads this file (nbdkit-python-plugin(3)); it can import nothing of the lab.
"""

from __future__ import annotations

import random
from pathlib import Path

import nbd
import nbdkit

API_VERSION = 2
BLOCK = 4096
"""What is there or not as one, in bytes. Of neighbours, each has its own luck."""
ROOM = 64 << 20
"""So much a disk caches, in bytes. When it is full, the older half is written."""
RUN = 8 << 20
"""The most that is written below at once, in bytes."""
NOTHING_LEFT = 0.3
"""In so many of the cuts nothing is kept; in the others, a share that is drawn."""


class Disk:
    """What was written and not yet flushed, above a disk that keeps all."""

    def __init__(self, below: nbd.NBD, dice: random.Random) -> None:
        self.below = below
        self._dice = dice
        self._cached: dict[int, bytes] = {}
        """By their numbers, the oldest first."""

    def read(self, buffer: bytearray | memoryview, offset: int) -> None:
        """Fill the buffer with what is there for whoever does not lose power."""
        count = len(buffer)
        buffer[:] = self.below.pread(count, offset)
        if not self._cached:
            return
        for number in range(offset // BLOCK, -(-(offset + count) // BLOCK)):
            block = self._cached.get(number)
            if block is not None:
                first = max(offset, number * BLOCK)
                end = min(offset + count, (number + 1) * BLOCK)
                start = first - number * BLOCK
                buffer[first - offset : end - offset] = block[start : start + end - first]

    def write(self, data: bytes, offset: int) -> None:
        """Cache what is written; the older half goes below when there is no more room."""
        done = 0
        while done < len(data):
            number, start = divmod(offset + done, BLOCK)
            part = data[done : done + BLOCK - start]
            if len(part) < BLOCK:
                whole = self._block(number)
                whole[start : start + len(part)] = part
                part = bytes(whole)
            self._cached.pop(number, None)
            self._cached[number] = part
            done += min(BLOCK - start, len(data) - done)
        if len(self._cached) > ROOM // BLOCK:
            self._store(list(self._cached)[: len(self._cached) // 2])

    def lie_below(self, offset: int, count: int) -> None:
        """Write what is cached of these bytes: something goes past the cache."""
        touched = range(offset // BLOCK, -(-(offset + count) // BLOCK))
        self._store([number for number in self._cached if number in touched])

    def flush(self) -> None:
        """Write all that is cached."""
        self._store(list(self._cached))
        self.below.flush()

    def lose_power(self) -> str:
        """Write some of what is cached; return a word about it."""
        share = max(0.0, self._dice.uniform(-NOTHING_LEFT, 1))
        kept = [number for number in self._cached if self._dice.random() < share]
        word = f"{len(self._cached)} blocks were not flushed, and {len(kept)} of them are kept"
        self._store(kept)
        self._cached.clear()
        return word

    def _block(self, number: int) -> bytearray:
        block = bytearray(min(BLOCK, self.below.get_size() - number * BLOCK))
        self.read(block, number * BLOCK)
        return block

    def _store(self, numbers: list[int]) -> None:
        wanted = set(numbers)
        run: list[bytes] = []
        for number in sorted(numbers):
            run.append(self._cached.pop(number))
            if number + 1 not in wanted or len(run) * BLOCK >= RUN:
                self.below.pwrite(b"".join(run), (number + 1 - len(run)) * BLOCK)
                run = []


class _Settings:
    socket = ""
    word = ""
    seed = ""
    disk: Disk | None = None


def config(key: str, value: str) -> None:
    """Take a setting: the `socket` of the disk below, the file for a `word`, and a `seed`."""
    if key not in {"socket", "word", "seed"}:
        raise RuntimeError(key)
    setattr(_Settings, key, value)


def config_complete() -> None:
    """Refuse to start without a disk."""
    if not _Settings.socket:
        raise RuntimeError("socket=PATH is missing")


def after_fork() -> None:
    """Connect to the disk below."""
    below = nbd.NBD()
    below.connect_unix(_Settings.socket)
    _Settings.disk = Disk(below, random.Random(_Settings.seed or None))  # noqa: S311 - it must be the same again


def cleanup() -> None:
    """Lose the power."""
    if _Settings.disk is not None:
        word = _Settings.disk.lose_power()
        if _Settings.word:
            Path(_Settings.word).write_text(f"{word}\n")
        _Settings.disk.below.shutdown()


def open(readonly: bool) -> Disk:  # noqa: A001, FBT001, ARG001 - nbdkit's name
    """Return what is given to all below."""
    assert _Settings.disk is not None  # noqa: S101 - nbdkit calls after_fork first
    return _Settings.disk


def get_size(disk: Disk) -> int:
    """Return the disk's size in bytes."""
    return disk.below.get_size()


def can_fua(disk: Disk) -> int:  # noqa: ARG001
    """Say that a write which is asked to be on the disk is so alone, without all others."""
    return nbdkit.FUA_NATIVE


def pread(disk: Disk, buf: bytearray, offset: int, flags: int) -> None:  # noqa: ARG001
    """Read."""
    disk.read(buf, offset)


def pwrite(disk: Disk, buf: bytearray, offset: int, flags: int) -> None:
    """Write."""
    disk.write(bytes(buf), offset)
    if flags & nbdkit.FLAG_FUA:
        disk.lie_below(offset, len(buf))


def flush(disk: Disk, flags: int) -> None:  # noqa: ARG001
    """Flush."""
    disk.flush()


def zero(disk: Disk, count: int, offset: int, flags: int) -> None:
    """Write zeros, past the cache: they may be gigabytes."""
    disk.lie_below(offset, count)
    holes = 0 if flags & nbdkit.FLAG_MAY_TRIM else nbd.CMD_FLAG_NO_HOLE
    disk.below.zero(count, offset, holes)


def trim(disk: Disk, count: int, offset: int, flags: int) -> None:  # noqa: ARG001
    """Let go of what is there: what a disk has there afterwards is not said."""
    disk.lie_below(offset, count)
    disk.below.trim(count, offset)
