"""The process of an engine that gives the data of an object on its stdout."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from contextlib import suppress
from typing import Self

from kvmkeep.errors import StepFailed
from kvmkeep.host.run import die_with_parent

_GRACE = 20.0
"""Seconds that an engine gets to take its locks away when it is asked to end."""
_PIPE = 1 << 20
"""Bytes that a pipe may hold (pipe(7), /proc/sys/fs/pipe-max-size)."""


class EngineOutput:
    """The engine's process. Where the block inside ends badly, it is ended."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._name = argv[0]
        try:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                bufsize=0,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call
            )
        except OSError as error:
            raise StepFailed(f"{argv[0]} can't be started: {error.strerror}") from error
        stdout = self._child.stdout
        if stdout is None:  # pragma: no cover - asked for above
            raise AssertionError("a pipe is missing")
        self._stdout = stdout
        with suppress(OSError):  # more than a user other than root may have
            fcntl.fcntl(stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            self._end()
        self._stdout.close()

    def fill(self, view: memoryview) -> int:
        """Fill a buffer, and return how much there was: less than asked for only at the end."""
        done = 0
        while done < len(view):
            got = os.readv(self._stdout.fileno(), [view[done:]])
            if not got:
                break
            done += got
        return done

    def finish(self) -> None:
        """See that this was all, and that it ended well; raises StepFailed."""
        if os.read(self._stdout.fileno(), 1):
            raise StepFailed(f"{self._name} gives more than the block list has")
        if self._child.wait() != 0:
            raise self.failed("it had given all")

    def failed(self, where: str) -> StepFailed:
        """Return the failure of an engine that has ended too early."""
        code = self._child.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return StepFailed(f"{self._name} {how}: {where}")

    def _end(self) -> None:
        """End it; on SIGINT, engines take their locks away."""
        if self._child.poll() is not None:
            return
        self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
