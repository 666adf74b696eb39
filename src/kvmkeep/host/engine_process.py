"""The process of an engine that stores what it reads from its stdin."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import IO, Self

from kvmkeep.errors import NotStored
from kvmkeep.host.run import Bounded, die_with_parent

_GRACE = 20.0
"""Seconds that an engine gets to take its locks away when it is asked to end."""
_KEPT = 64 << 10
_PIPE = 1 << 20
"""Bytes that a pipe may hold (pipe(7), /proc/sys/fs/pipe-max-size)."""


class EngineProcess:
    """The engine's process. Where the block inside ends badly, it is ended and stores nothing."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._name = argv[0]
        self._said = Bounded(_KEPT)
        try:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - one system call
            )
        except OSError as error:
            raise NotStored(f"{argv[0]} can't be started: {error.strerror}") from error
        self._stdin, self._stdout = _pipe(self._child.stdin), _pipe(self._child.stdout)
        with suppress(OSError):  # more than a user other than root may have
            fcntl.fcntl(self._stdin.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            self._end()
        with suppress(OSError):
            self._stdin.close()
        self._listener.join()
        self._stdout.close()

    def feed(self, block: bytes) -> None:
        """Give it a block; raises NotStored where it does not take any more."""
        rest = memoryview(block)
        try:
            while rest:
                rest = rest[os.write(self._stdin.fileno(), rest) :]
        except BrokenPipeError:
            raise self._failed() from None

    def finish(self) -> bytes:
        """Tell it that this was all, and return what it said; raises NotStored."""
        self._stdin.close()
        if self._child.wait() != 0:
            raise self._failed()
        self._listener.join()
        return self._said.bytes()

    def _failed(self) -> NotStored:
        code = self._child.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        return NotStored(f"{self._name} {how} before it had stored the disk")

    def _end(self) -> None:
        """End it while its stdin is open; on SIGINT, engines take their locks away."""
        self._child.send_signal(signal.SIGINT)
        try:
            self._child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _listen(self) -> None:
        while data := os.read(self._stdout.fileno(), _KEPT):
            self._said.add(data)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:  # pragma: no cover - asked for above
        raise AssertionError("a pipe is missing")
    return stream
