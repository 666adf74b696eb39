"""One run at a time: a lock that the kernel releases when its holder dies, however it dies.

Commands do not inherit it: a daemon that a tool starts on the way (LVM's dmeventd) would hold it
for ever. A command that outlived its run is prevented in another way: see `host.run`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from kvmkeep.errors import Busy, Unready
from kvmkeep.host.environment import invoker
from kvmkeep.host.files import make_directories, write_all
from kvmkeep.model.names import LOCK_FILE

_TRIES = 5
_PAUSE = 0.02
_WAIT = 0.2


class Lock:
    """The lock of this host. `path` is another file only in tests."""

    def __init__(self, path: str = LOCK_FILE) -> None:
        self._path = path
        self._held = False

    @contextmanager
    def hold(
        self, verb: str, argv: tuple[str, ...] = (), *, patience: float = 0.0
    ) -> Iterator[None]:
        """Hold the lock, or raise Busy after `patience` seconds and say who has it."""
        descriptor = self._open()
        try:
            self._take(descriptor, time.monotonic() + patience)
            _sign(descriptor, verb, argv)
            yield
        finally:
            self._release(descriptor)

    def _release(self, descriptor: int) -> None:
        # Unlocked rather than only closed: a process between fork and exec still has it open.
        if self._held:
            self._held = False
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            make_directories(os.path.dirname(self._path), 0o755)
            descriptor = os.open(self._path, flags, 0o644)
            os.fchmod(descriptor, 0o644)
        except OSError as error:
            hint = "" if os.geteuid() == 0 else "run it as root"
            message = f"the lock {self._path} can't be opened: {error.strerror}"
            raise Unready(message, hint=hint) from error
        return descriptor

    def _take(self, descriptor: int, until: float) -> None:
        while not _taken(descriptor):
            if time.monotonic() >= until:
                raise Busy(
                    f"another run of kvmkeep is at work: {_holder(descriptor)}",
                    hint="wait until it is done; `kvmkeep journal` tells what it does",
                )
            time.sleep(_WAIT)
        self._held = True


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(descriptor: int, verb: str, argv: tuple[str, ...]) -> None:
    """Say in the file who holds the lock; a full /run must not stop a run."""
    signature = {
        "verb": verb,
        "pid": os.getpid(),
        "since": int(time.time()),
        "user": invoker(),
        "argv": list(argv),
    }
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        write_all(descriptor, json.dumps(signature).encode() + b"\n")


def _holder(descriptor: int) -> str:
    """Return who holds the lock; a holder of this very moment may not have signed yet."""
    for attempt in range(_TRIES):
        text = os.pread(descriptor, 1 << 16, 0)
        try:
            signature = json.loads(text)
            pid, verb, user = int(signature["pid"]), str(signature["verb"]), str(signature["user"])
            since = time.strftime("%H:%M", time.localtime(int(signature["since"])))
        except (ValueError, KeyError, TypeError, OverflowError):
            pid = 0
        else:
            if os.path.exists(f"/proc/{pid}"):
                return f"{verb}, pid {pid}, since {since}, by {user}"
        if attempt + 1 < _TRIES:
            time.sleep(_PAUSE)
    return "it does not say who it is"
