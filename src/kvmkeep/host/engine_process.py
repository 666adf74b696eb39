"""The process of an engine that stores what it reads from its stdin."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from typing import Self

from kvmkeep.errors import NotStored
from kvmkeep.host.engine_child import end, fate, pipe, started, widened
from kvmkeep.host.run import Bounded
from kvmkeep.model.command import innermost

_KEPT = 64 << 10


class EngineProcess:
    """The engine's process. Where the block inside ends badly, it is ended and stores nothing."""

    def __init__(self, argv: tuple[str, ...], ends_by: signal.Signals) -> None:
        self._name = innermost(argv)[0]
        self._ends_by = ends_by
        self._said = Bounded(_KEPT)
        self._child = started(argv, fed=True, failed=NotStored)
        self._stdin, self._stdout = widened(self._child.stdin), pipe(self._child.stdout)
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
        how = fate(self._child)
        return NotStored(f"{self._name} {how} before it had stored the disk")

    def _listen(self) -> None:
        while data := os.read(self._stdout.fileno(), _KEPT):
            self._said.add(data)
