"""What the journal tells of a run: for reading only, nothing depends on it to be correct."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from msgspec import Struct

JOURNAL_VERSION = 1
DONE = "done"
"""The outcome of a run that did all it was to do."""
KEPT_RUNS = 500
"""Of each kind: those of timers, and all others."""
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(r"[0-9]{8}T[0-9.]+Z-(.+)-[0-9]+(?:\.jsonl)?")
_OFTEN = re.compile(r"watch|snapshot-watch|backup-(?:run|forget|prune|prove)(?:-.*)?")
"""What timers begin, day and night."""
_DOWN = "shutdown---host"
"""What is begun where the host goes down, and ends with it."""
_MINDED = timedelta(days=14)


class Entry(Struct, frozen=True, kw_only=True):
    """One line of a run's journal: `time` is UTC in ISO 8601; `fields` are in written order."""

    time: str
    kind: str
    fields: tuple[tuple[str, str], ...]

    def field(self, name: str) -> str:
        """Return a field's text, or nothing where the line has none."""
        return next((text for key, text in self.fields if key == name), "")


class Run(Struct, frozen=True, kw_only=True):
    """A run as its journal tells it; empty texts where the file does not say.

    `outcome` is empty where the run was killed or goes on. `damaged` counts the lines that could
    not be read; `newer` when a later version of kvmkeep wrote the file.
    """

    name: str
    verb: str
    started: str
    user: str
    pid: int
    command_line: str
    outcome: str
    entries: tuple[Entry, ...]
    damaged: int
    newer: bool


def run_name(moment: datetime, verb: str, pid: int) -> str:
    """Return a run's name: it sorts by time, and tells the verb."""
    return f"{moment.strftime(_STAMP)}-{verb.replace(' ', '-')}-{pid}"


def oldest_first(names: Iterable[str], now: datetime) -> tuple[str, ...]:
    """Return names of runs in order; what is still to come is the oldest: a clock was ahead."""
    limit = run_name(now, "~", 0)
    return tuple(sorted(names, key=lambda name: (name < limit, name)))


def outlived(names: tuple[str, ...], coming: str) -> Iterator[str]:
    """Return which of all runs, the oldest first, are to go where another one comes.

    What timers do each minute, hour and night must not cost what people did.
    """
    for often in (True, False):
        mine = [name for name in names if _often(name) is often]
        yield from mine[: max(0, len(mine) - KEPT_RUNS + (_often(coming) is often))]


def unanswered(names: tuple[str, ...], now: datetime) -> Iterator[str]:
    """Return the last run, then the last one of each verb that is typed and not long ago."""
    since, until = run_name(now - _MINDED, "", 0), run_name(now, "~", 0)
    yield from names[-1:]
    seen = {_DOWN, *map(_verb, names[-1:])}
    for name in reversed(names[:-1]):
        verb = _verb(name)
        if verb not in seen and not _often(name) and since < name < until:
            yield name
        seen.add(verb)


def _often(name: str) -> bool:
    return _OFTEN.fullmatch(_verb(name)) is not None


def _verb(name: str) -> str:
    match = _NAME.fullmatch(name)
    return match[1] if match is not None else name
