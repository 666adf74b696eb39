"""One run at a time: a lock that the kernel releases when its holder dies, however it dies.

Commands do not inherit it: a daemon that a tool starts on the way (LVM's dmeventd) would hold it
for ever. A command that outlived its run is prevented in another way: see `host.run`.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from kvmkeep.errors import Busy, Unready
from kvmkeep.host.environment import invoker
from kvmkeep.host.files import make_directories, write_all
from kvmkeep.model.names import LOCK_FILE

_TRIES = 5
_PAUSE = 0.02
_WAIT = 0.2

_LIMITS = {"watch": 90.0, "snapshot watch": 90.0, "": 0.5}
"""Seconds that others wait for the end of a short run, by its verb.

A watch comes from a timer: nobody can know when not to type. One that starts a guest may take
longer, and then says who is at work. Who only looks (see `locked`) signs nothing.
"""


class Waits(Protocol):
    """Is called again and again while a lock is waited for; may raise to give up.

    `seconds` have passed of at most `limit`.
    """

    def __call__(self, message: str, seconds: float, limit: float) -> None:
        """Tell of it."""


class Lock:
    """The lock of this host; `path` is that of another. Several hold one that is `shared`."""

    def __init__(self, path: str = LOCK_FILE, *, shared: bool = False) -> None:
        self.path = path
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._held = False

    @contextmanager
    def hold(
        self,
        verb: str,
        argv: tuple[str, ...] = (),
        *,
        patience: float = 0.0,
        waits: Waits | None = None,
    ) -> Iterator[None]:
        """Hold the lock, or raise Busy after `patience` seconds and say who has it.

        A run that is soon over is waited for in any case.
        """
        descriptor = self._open()
        try:
            self._take(descriptor, patience, waits)
            _sign(descriptor, verb, argv)
            yield
        finally:
            self._release(descriptor)

    def _release(self, descriptor: int) -> None:
        # Unlocked rather than only closed: a process between fork and exec still has it open.
        if self._held:
            self._held = False
            # In a shared one, the words of somebody who still holds it may stand.
            if self._kind == fcntl.LOCK_EX:
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            make_directories(os.path.dirname(self.path), 0o755)
            # Whoever may open it may lock it (flock(2)), and have no guest started after a cut.
            descriptor = os.open(self.path, flags, 0o600)
            os.fchmod(descriptor, 0o600)
        except OSError as error:
            hint = "" if os.geteuid() == 0 else "run it as root"
            message = f"the lock {self.path} can't be opened: {error.strerror}"
            raise Unready(message, hint=hint) from error
        return descriptor

    def _take(self, descriptor: int, patience: float, waits: Waits | None) -> None:
        began = time.monotonic()
        while not _taken(descriptor, self._kind):
            verb, holder = _holder(descriptor)
            passed = time.monotonic() - began
            limit = max(patience, _LIMITS.get(verb, 0.0))
            if passed >= limit:
                raise Busy(
                    f"another run of kvmkeep is at work: {holder}",
                    hint="wait until it is done; `kvmkeep journal` tells what it does",
                    lock=self.path,
                )
            if waits is not None:
                waits(f"another run of kvmkeep to end: {holder}", passed, limit)
            time.sleep(_WAIT)
        self._held = True


class HeldLock(Lock):
    """A lock that whoever gives it to a run holds already, around several runs."""

    @contextmanager
    def hold(
        self,
        verb: str,
        argv: tuple[str, ...] = (),
        *,
        patience: float = 0.0,
        waits: Waits | None = None,
    ) -> Iterator[None]:
        """Hold it, as the caller does."""
        del verb, argv, patience, waits
        yield


class ForgoneLock(Lock):
    """A lock that is done without where it can't be had, which is told: not to act is worse."""

    def __init__(self, lock: Lock, tells: Callable[[str], None]) -> None:
        self._lock = lock
        self._tells = tells

    @contextmanager
    def hold(
        self,
        verb: str,
        argv: tuple[str, ...] = (),
        *,
        patience: float = 0.0,
        waits: Waits | None = None,
    ) -> Iterator[None]:
        """Hold it, if it can be had within `patience` seconds."""
        with ExitStack() as held:
            try:
                held.enter_context(self._lock.hold(verb, argv, patience=patience, waits=waits))
            except (Busy, Unready) as error:
                self._tells(f"{error.message}; {verb} goes on without the lock")
            yield


def locked(path: str) -> bool:
    """Whether somebody holds the lock of that file; raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
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


def _holder(descriptor: int) -> tuple[str, str]:
    """Return the holder's verb, and who it is; one of this very moment may not have signed yet."""
    for attempt in range(_TRIES):
        text = os.pread(descriptor, 1 << 16, 0)
        try:
            signature = json.loads(text)
            pid, verb, user = int(signature["pid"]), str(signature["verb"]), str(signature["user"])
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(int(signature["since"])))
        except (ValueError, KeyError, TypeError, OverflowError):
            pid = 0
        else:
            if os.path.exists(f"/proc/{pid}"):
                return verb, f"{verb}, pid {pid}, since {since}, by {user}"
        if attempt + 1 < _TRIES:
            time.sleep(_PAUSE)
    return "", _listed(descriptor) or "it does not say who it is"


def _listed(descriptor: int) -> str:
    """Return who holds the lock by the kernel's list (proc_locks(5)); empty where it has nobody.

    Of several that share one, the last to sign may be gone.
    """
    seen = os.fstat(descriptor)
    file = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
    try:
        rows = [row.split() for row in Path("/proc/locks").read_text("ascii").splitlines()]
        pids = [row[4] for row in rows if row[1] == "FLOCK" and row[5] == file]
        return ", ".join(f"pid {pid} ({_words(pid)})" for pid in pids)
    except (OSError, ValueError, IndexError):
        return ""


def _words(pid: str) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return " ".join(words.replace("\0", " ").split())
