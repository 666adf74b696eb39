"""Requests to stop a run: the first lets the step finish, the second ends its command."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from kvmkeep.model.command import Command, Progress

_Handler = Callable[[int, FrameType | None], object] | int | None

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether somebody asked to stop, and how urgently.

    A signal only counts here; `tick` is called between two acts and tells of it, since a signal
    handler must not write to a terminal that is being written to.
    """

    def __init__(self) -> None:
        self._presses = 0
        self._told = 0
        self._shields = 0
        self._before: dict[signal.Signals, _Handler] = {}
        self.announce: Callable[[bool], None] = _tell_nobody
        self.ended_command = False
        """Whether a command was ended because of the request."""

    def press(self) -> None:
        """Ask to stop; the second time urgently."""
        self._presses += 1

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._presses > 0

    @property
    def urgent(self) -> bool:
        """Whether somebody asked a second time."""
        return self._presses > 1

    def tick(self) -> None:
        """Tell of a new request, once for each of the two kinds."""
        level = min(self._presses, 2)
        if level > self._told:
            self._told = level
            self.announce(level > 1)

    def ends(self, command: Command) -> bool:
        """Whether a running command must end now.

        The long ones, which show progress, are safe to repeat: they end at the first request.
        """
        if self._shields:
            return False
        return self.urgent or (self.requested and command.progress is not Progress.NONE)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Let no request end a command inside: for what undoes a change."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count signals as requests, as long as the context lasts.

        A hang-up that is ignored (nohup) stays ignored.
        """
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._listen()
        try:
            yield
        finally:
            self._listen_no_more()
            self._before = {}

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Let signals do what they did before `listening`: while somebody is asked a question."""
        self._listen_no_more()
        try:
            yield
        finally:
            self._listen()

    def _listen(self) -> None:
        for number, handler in self._before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def _listen_no_more(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.press()


def _tell_nobody(_urgent: bool) -> None:  # noqa: FBT001 - shape of announce
    return
