"""A disk on its way into an engine: read in blocks, hashed, and fed to the engine's stdin.

An engine takes the end of its stdin for the end of the disk. So where a disk can't be read to its
end, the engine is ended first, while its stdin is still open, and stores nothing.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import NoReturn

import msgspec
from msgspec import Struct

from kvmkeep.errors import NotStored
from kvmkeep.host.block_sum import sum_of
from kvmkeep.host.engine_process import EngineProcess
from kvmkeep.host.files import write_file
from kvmkeep.host.repositories import stored
from kvmkeep.model.backup import SentDisk, blocks_name, done_name
from kvmkeep.model.blocks import BLOCK, ZERO, block_text, blocks_of
from kvmkeep.model.command import WriteFile, innermost
from kvmkeep.model.units import Size

_TELL_EVERY = 0.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Sending(Struct, frozen=True, kw_only=True):
    """What is to be sent. `blocks` is the file for the block list, whose name ends in `.blocks`.

    `size` is what the disk must have. `rate` is in bytes for each second; 0 is no limit.
    `ends_by` is the signal on which the engine stores nothing.
    """

    device: str
    blocks: str
    size: Size
    rate: int
    ends_by: str = "INT"
    engine: tuple[str, ...]


class Asked(Exception):
    """Somebody asked to end."""


def send(sending: Sending, tell: Callable[[int], None]) -> SentDisk:
    """Send a disk; `tell` hears of the bytes that were sent. Raises NotStored.

    At the end, the block list and a file that tells of the object lie there, durably.
    """
    started = _now()
    ends_by = signal.Signals[f"SIG{sending.ends_by}"]
    with (
        _asked_by_signals(),
        _device(sending) as device,
        EngineProcess(sending.engine, ends_by) as engine,
    ):
        read, sums = 0, []
        for block in _blocks(device, sending, tell):
            sums.append(sum_of(block))
            read += 0 if sums[-1] == ZERO else len(block)
            engine.feed(block)
        said = engine.finish()
    found = stored(said)
    if found is None:
        raise NotStored(
            f"{innermost(sending.engine)[0]} ended well, but told of nothing that it stored"
        )
    text = block_text(sending.size, sums).encode()
    sent = SentDisk(
        disk=os.path.basename(sending.blocks).removesuffix(blocks_name("")),
        object=found.object,
        size=sending.size,
        sha256=hashlib.sha256(text).hexdigest(),
        read=Size(read),
        added=found.added,
        started=started,
        ended=_now(),
    )
    done = os.path.join(os.path.dirname(sending.blocks), done_name(sent.disk))
    _write(sending.blocks, text, "keep the checksum of each block")
    _write(done, msgspec.json.encode(sent), "keep what was stored")
    return sent


def _write(path: str, content: bytes, why: str) -> None:
    try:
        write_file(WriteFile(path=path, content=content, why=why, dir_mode=0o700))
    except OSError as error:
        raise NotStored(f"{path} can't be written: {error.strerror or error}") from error


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _asked_by_signals() -> Iterator[None]:
    """Have signals raise, so that the engine is ended before its stdin is closed."""

    def ask(number: int, _frame: FrameType | None) -> NoReturn:
        for one in _SIGNALS:  # once is enough: what follows must not be cut short
            signal.signal(one, signal.SIG_IGN)
        raise Asked(signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield
    except Asked as asked:
        raise NotStored(f"ended by {asked}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _device(sending: Sending) -> Iterator[int]:
    """Open the disk past the host's memory, which is for the guests (open(2), O_DIRECT)."""
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(sending.device, flags | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a filesystem may not know it
                raise
            descriptor = os.open(sending.device, flags)
    except OSError as error:
        raise NotStored(f"{sending.device} can't be opened: {error.strerror}") from error
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if size != sending.size.bytes:
            raise NotStored(
                f"{sending.device} has {size} bytes instead of {sending.size.bytes}: it is not "
                "what was looked at"
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _blocks(device: int, sending: Sending, tell: Callable[[int], None]) -> Iterator[bytes]:
    """Return the disk's blocks in order, one ahead of what is being sent, no faster than asked."""
    size, rate = sending.size.bytes, sending.rate
    began = told = time.monotonic()

    def read(number: int) -> bytes:
        wanted = min(BLOCK, size - number * BLOCK)
        got = os.preadv(device, [memoryview(buffer)[:wanted]], number * BLOCK)
        if got != wanted:
            raise OSError(errno.EIO, "it ends too early")
        block = buffer[:wanted]
        os.posix_fadvise(device, number * BLOCK, wanted, os.POSIX_FADV_DONTNEED)
        return block

    with mmap.mmap(-1, BLOCK) as buffer, ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(read, 0)
        for number in range(blocks_of(sending.size)):
            try:
                block = coming.result()
            except OSError as error:
                at = number * BLOCK
                raise NotStored(
                    f"{sending.device} can't be read at byte {at}: {error.strerror}"
                ) from error
            if number + 1 < blocks_of(sending.size):
                coming = ahead.submit(read, number + 1)
            yield block
            done = number * BLOCK + len(block)
            if rate:
                time.sleep(max(0.0, began + done / rate - time.monotonic()))
            if time.monotonic() - told >= _TELL_EVERY or done == size:
                told = time.monotonic()
                tell(done)


def tell_line(done: int, total: int) -> None:
    """Print how far it is, as `host.progress` reads it."""
    sys.stdout.write(f"{done} of {total} bytes\n")
    sys.stdout.flush()
