"""What a host's past tells at its start: a run that was killed, a clock that went back. No veto."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from kvmkeep.model.facts import Facts
from kvmkeep.model.names import stamped_time
from kvmkeep.model.plan import Note
from kvmkeep.model.vitals import LastRun

UNKEPT = Note(
    subject="clock",
    text="nobody keeps it right yet, and guests have started with it: timedatectl",
)
"""Where it was set by nobody, though the guests are up."""


def preflight(facts: Facts, run: LastRun | None) -> tuple[Note, ...]:
    """Return what is told; `run` is the last one before this one."""
    return (*_killed(run), *_clock(facts, run))


def _killed(run: LastRun | None) -> Iterator[Note]:
    if run is not None and not run.alive and not run.outcome:
        text = "it was killed, so what it was to do is done in part"
        todo = f"kvmkeep journal {run.name}; then run it again: {run.command_line}"
        yield Note(subject=f"run {run.name}", text=f"{text}: {todo}")


def _clock(facts: Facts, run: LastRun | None) -> Iterator[Note]:
    """Tell of a clock that is behind what was done on this host: its battery may be empty."""
    backups = ((stamped_time(one.moment), "a backup") for one in facts.backups.last)
    runs = [] if run is None else [(_begun(run), "the last run of kvmkeep")]
    known = [(time, what) for time, what in (*backups, *runs) if time is not None]
    last, what = max(known, default=(datetime.min.replace(tzinfo=UTC), ""))
    if last > facts.now:
        then = last.strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"it says {facts.time}, but {what} is of {then}: it is wrong, or was so then"
        yield Note(subject="clock", text=f"{text}; guests start with it: timedatectl")


def _begun(run: LastRun) -> datetime | None:
    """Return when a run began, to the second: its name begins with that."""
    return stamped_time(f"{run.name.partition('.')[0]}Z")
