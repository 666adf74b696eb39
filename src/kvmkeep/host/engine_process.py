"""The process of an engine that stores what it reads from its stdin."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress
from typing import Self

from kvmkeep.errors import NotStored
from kvmkeep.host.engine_child import (
    PATIENCE,
    comes_soon,
    end,
    ends_soon,
    fate,
    pipe,
    started,
    widened,
)
from kvmkeep.host.run import Bounded
from kvmkeep.model.command import innermost

_KEPT = 64 << 10


class EngineProcess:
    """The engine's process. Where the block inside ends badly, it is ended and stores nothing.

    One that takes nothing for so many seconds, its `patience`, has failed.
    """

    def __init__(
        self, argv: tuple[str, ...], ends_by: signal.Signals, patience: float = PATIENCE
    ) -> None:
        self._name = innermost(argv)[0]
        self._ends_by = ends_by
        self._patience = patience
        self._said = Bounded(_KEPT)
        self._child = started(argv, fed=True, failed=NotStored)
        self._stdin, self._stdout = widened(self._child.stdin), pipe(self._child.stdout)
        os.set_blocking(self._stdin.fileno(), False)  # else a write waits for all of its bytes
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            end(self._child, self._ends_by)  # its stdin is open: what it has is not taken for all
        with suppress(OSError):
            self._stdin.close()
        self._listener.join()
        self._stdout.close()

    def feed(self, block: bytes) -> None:
        """Give it a block; raises NotStored where it does not take any more."""
        rest = memoryview(block)
        try:
            while rest:
                if not comes_soon(self._stdin.fileno(), select.POLLOUT, self._patience):
                    raise self._hangs("took nothing")
                rest = rest[os.write(self._stdin.fileno(), rest) :]
        except BrokenPipeError:
            raise self._failed() from None

    def finish(self) -> bytes:
        """Tell it that this was all, and return what it said; raises NotStored."""
        self._stdin.close()
        if not ends_soon(self._child, self._patience):
            raise self._hangs("had not stored what it took")
        if self._child.wait() != 0:
            raise self._failed()
        self._listener.join()
        return self._said.bytes()

    def _failed(self) -> NotStored:
        how = fate(self._child)
        return NotStored(f"{self._name} {how} before it had stored the disk")

    def _hangs(self, how: str) -> NotStored:
        return NotStored(f"{self._name} {how} for {self._patience / 60:.0f} minutes")

    def _listen(self) -> None:
        while data := os.read(self._stdout.fileno(), _KEPT):
            self._said.add(data)
