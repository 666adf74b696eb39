"""A disk on its way out of an engine: each block checked against the list before it is written."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
from collections.abc import Callable

from msgspec import Struct

from kvmkeep.errors import StepFailed
from kvmkeep.host.block_sum import sum_of
from kvmkeep.host.engine_output import EngineOutput
from kvmkeep.host.files import under_dev
from kvmkeep.model.blocks import BLOCK, ZERO, BlockList

_BLKZEROOUT = 0x127F
"""_IO(0x12, 127) of linux/fs.h: zeros are what is read afterwards, however the disk does it."""
_TELL_EVERY = 4


class Receiving(Struct, frozen=True, kw_only=True):
    """What is to be received, and where. A `target` under /dev is an LV; a file must not exist."""

    target: str
    blocks: BlockList
    engine: tuple[str, ...]


def receive(receiving: Receiving, tell: Callable[[int], None]) -> None:
    """Write a disk as the engine gives it; `tell` hears of the bytes done. Raises StepFailed.

    The first block that is not the one of the list ends it. All is on the disks in the end.
    """
    blocks, target = receiving.blocks, receiving.target
    descriptor, device = _open(target, blocks.size.bytes)
    try:
        with mmap.mmap(-1, BLOCK) as buffer, EngineOutput(receiving.engine) as engine:
            for number, wanted in enumerate(blocks.sums):
                length = blocks.length(number)
                _take(engine, buffer, number, length, wanted)
                if wanted != ZERO:
                    _write(descriptor, buffer, number * BLOCK, length)
                elif device:
                    where = struct.pack("QQ", number * BLOCK, length)
                    fcntl.ioctl(descriptor, _BLKZEROOUT, where)
                if number % _TELL_EVERY == 0 or number + 1 == len(blocks.sums):
                    tell(number * BLOCK + length)
            engine.finish()
        if not device:
            os.ftruncate(descriptor, blocks.size.bytes)
        os.fsync(descriptor)
    except OSError as error:
        raise StepFailed(f"{target} can't be written: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _take(engine: EngineOutput, buffer: mmap.mmap, number: int, length: int, wanted: str) -> None:
    at = f"block {number} (at {number * (BLOCK >> 20)} MiB)"
    with memoryview(buffer) as whole, whole[:length] as view:
        if engine.fill(view) < length:
            raise engine.failed(f"it gave nothing of {at}")
        if sum_of(view) != wanted:
            raise StepFailed(f"{at} is not what was read at the backup")


def _write(descriptor: int, buffer: mmap.mmap, offset: int, length: int) -> None:
    with memoryview(buffer) as whole:
        done = 0
        while done < length:
            done += os.pwrite(descriptor, whole[done:length], offset + done)
    os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


def _open(target: str, size: int) -> tuple[int, bool]:
    """Open the target; nobody else may use a device, nor may it be too small."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_EXCL | os.O_NOFOLLOW
    try:
        if not _is_device(target):
            return os.open(target, flags | os.O_CREAT, 0o600), False
        # O_EXCL without O_CREAT: busy where it is mounted or otherwise claimed (open(2)).
        descriptor = os.open(os.path.realpath(target), flags)
    except OSError as error:
        raise StepFailed(f"{target} can't be opened: {error.strerror}") from error
    there = os.lseek(descriptor, 0, os.SEEK_END)
    if there < size:
        os.close(descriptor)
        raise StepFailed(f"{target} has {there} bytes instead of {size}")
    return descriptor, True


def _is_device(target: str) -> bool:
    try:
        return under_dev(target) and stat.S_ISBLK(os.stat(target).st_mode)
    except FileNotFoundError:
        return False
