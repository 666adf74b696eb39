"""The process of an engine that gives the data of an object on its stdout."""

from __future__ import annotations

import os
import select
from typing import Self

from kvmkeep.errors import StepFailed
from kvmkeep.host.engine_child import PATIENCE, comes_soon, end, fate, started, widened
from kvmkeep.model.command import innermost


class EngineOutput:
    """The engine's process. Where the block inside ends badly, it is ended.

    One that gives nothing for so many seconds, its `patience`, has failed.
    """

    def __init__(self, argv: tuple[str, ...], patience: float = PATIENCE) -> None:
        self._name = innermost(argv)[0]
        self._patience = patience
        self._child = started(argv, fed=False, failed=StepFailed)
        self._stdout = widened(self._child.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None:
            end(self._child)
        self._stdout.close()

    def fill(self, view: memoryview) -> int:
        """Fill a buffer, and return how much there was: less than asked for only at the end.

        Raises StepFailed: whoever writes what is read here has errors of his own.
        """
        done = 0
        while done < len(view):
            if not comes_soon(self._stdout.fileno(), select.POLLIN, self._patience):
                minutes = self._patience / 60
                raise StepFailed(f"{self._name} gave nothing for {minutes:.0f} minutes")
            try:
                got = os.readv(self._stdout.fileno(), [view[done:]])
            except OSError as error:
                raise self._unreadable(error) from error
            if not got:
                break
            done += got
        return done

    def finish(self) -> None:
        """See that this was all, and that it ended well; raises StepFailed."""
        try:
            more = os.read(self._stdout.fileno(), 1)
        except OSError as error:
            raise self._unreadable(error) from error
        if more:
            raise StepFailed(f"{self._name} gives more than the block list has")
        if self._child.wait() != 0:
            raise self.failed("it had given all")

    def _unreadable(self, error: OSError) -> StepFailed:
        return StepFailed(f"what {self._name} gives can't be read: {error.strerror}")

    def failed(self, where: str) -> StepFailed:
        """Return the failure of an engine that has ended too early."""
        return StepFailed(f"{self._name} {fate(self._child)}: {where}")
