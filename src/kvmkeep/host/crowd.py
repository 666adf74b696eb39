"""Many short questions side by side, in one thread: the silent ones don't hold up the others.

Each command is an exchange of its own (`host.run`), and what it waits for is one epoll(7)
descriptor, which itself can be waited for.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.host.door import Result
from kvmkeep.host.run import Setting, Talk, begin, not_run
from kvmkeep.model.command import NOT_STARTED, Command

_LIMIT = 1 << 20
"""Bytes kept of each stream of each command."""


def run_all(
    commands: Sequence[Command], setting: Setting, *, limit: float, at_once: int
) -> tuple[Result, ...]:
    """Run harmless commands side by side, at most `at_once`, for at most `limit` seconds in all.

    Those that are not over by then are killed; those that had no turn were never begun.
    """
    hurried = replace(setting, tick=0.05, grace=0.1, patience=0.1, linger=0.05, limit=_LIMIT)
    with _Crowd(hurried, time.monotonic() + limit) as crowd:
        return crowd.run(commands, at_once)


class _Running(Struct, frozen=True, kw_only=True):
    """A command that runs; closing `leave` ends it, whatever it does."""

    talk: Talk
    began: float
    leave: ExitStack


class _Crowd:
    """The commands that run, by their number."""

    def __init__(self, setting: Setting, deadline: float) -> None:
        self._setting = setting
        self._deadline = deadline
        self._selector = selectors.DefaultSelector()
        self._running: dict[int, _Running] = {}
        self._results: dict[int, Result] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for one in self._running.values():
            one.leave.close()
        self._selector.close()

    def run(self, commands: Sequence[Command], at_once: int) -> tuple[Result, ...]:
        """Run all of them; the results have the order of the commands."""
        waiting = deque(enumerate(commands))
        while waiting or self._running:
            while waiting and len(self._running) < at_once:
                self._begin(*waiting.popleft())
            if self._running:
                self._selector.select(self._setting.tick)
            for number in tuple(self._running):
                self._go_on(number, commands[number])
        return tuple(self._results[number] for number in range(len(commands)))

    def _begin(self, number: int, command: Command) -> None:
        began = time.monotonic()
        if began >= self._deadline:
            text = f"{command.argv[0]}: no time was left to begin it"
            self._results[number] = not_run(NOT_STARTED, text, timed_out=True)
            return
        talk = begin(command, self._setting)
        if isinstance(talk, Result):
            self._results[number] = talk
            return
        leave = ExitStack()
        leave.enter_context(talk)
        self._running[number] = _Running(talk=talk, began=began, leave=leave)
        self._selector.register(talk, selectors.EVENT_READ)

    def _go_on(self, number: int, command: Command) -> None:
        one = self._running[number]
        if one.talk.goes_on(0, min(self._deadline, one.began + command.timeout)):
            return
        self._selector.unregister(one.talk)
        self._results[number] = one.talk.end(time.monotonic() - one.began)
        del self._running[number]
        one.leave.close()
