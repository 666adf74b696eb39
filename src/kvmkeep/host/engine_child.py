"""What the processes of an engine have in common, whichever way its data goes."""

from __future__ import annotations

import fcntl
import select
import signal
import subprocess
from contextlib import suppress
from typing import IO

from kvmkeep.errors import KvmkeepError
from kvmkeep.host.run import die_with_parent

_GRACE = 20.0
"""Seconds that an engine gets to take its locks away when it is asked to end."""
_PIPE = 1 << 20
"""Bytes that a pipe may hold (pipe(7), /proc/sys/fs/pipe-max-size)."""
PATIENCE = 2 * 3600.0
"""Seconds without a byte until an engine counts as one that hangs.

restic 0.17 and later try for 15 minutes to reach a store that does not answer, and borg may read
much of a repository before it takes anything. The limit of a whole disk is of days.
"""

Child = subprocess.Popen[bytes]


def started(argv: tuple[str, ...], *, fed: bool, failed: type[KvmkeepError]) -> Child:
    """Start an engine that dies with this process, and is `fed` or gives data.

    A signal to this process's group does not reach one that is fed: it is ended by that on which
    it stores nothing and takes its locks away (`end`). Raises `failed` where it can't be started.
    """
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0 if fed else None,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call
        )
    except OSError as error:
        raise failed(f"{argv[0]} can't be started: {error.strerror}") from error


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe that was asked for."""
    if stream is None:  # pragma: no cover - asked for above
        raise AssertionError("a pipe is missing")
    return stream


def widened(stream: IO[bytes] | None) -> IO[bytes]:
    """Return the pipe that the data goes through, as wide as it may be."""
    made = pipe(stream)
    with suppress(OSError):  # more than a user other than root may have
        fcntl.fcntl(made.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    return made


def comes_soon(descriptor: int, event: int, patience: float) -> bool:
    """Whether a pipe can be read or written, or has lost its other end, within so many seconds."""
    ready = select.poll()
    ready.register(descriptor, event)
    return bool(ready.poll(patience * 1000))


def ends_soon(child: Child, patience: float) -> bool:
    """Whether a process ends within so many seconds."""
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    return True


def end(child: Child, by: signal.Signals = signal.SIGINT) -> None:
    """End an engine that may be running, by a signal on which it takes its locks away."""
    child.send_signal(by)
    if not ends_soon(child, _GRACE):
        child.kill()
        child.wait()


def fate(child: Child) -> str:
    """Wait for an engine that has stopped working, and tell how it ended."""
    code = child.wait()
    return f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
