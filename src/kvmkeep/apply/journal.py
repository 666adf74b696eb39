"""The journal: what each run did, line by line, for people; nothing depends on it to be correct.

A run that can't begin its journal is refused before its first step; where the host starts or goes
down, nobody is there to mend it, and it goes on without one. One whose journal fails on the way (a
full disk) goes on too: to stop between two steps of a network change or of a first boot would do
more harm than a gap in the explanation. It says so once, and the next run is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from kvmkeep.apply.secrets import masked
from kvmkeep.errors import Unready
from kvmkeep.host.append import AppendFolder, Folder, Lines, Nowhere
from kvmkeep.host.clock import utc_now
from kvmkeep.host.door import Door, Result
from kvmkeep.model.command import Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.journal import (
    JOURNAL_VERSION,
    Entry,
    Run,
    oldest_first,
    outlived,
    run_name,
    unanswered,
)
from kvmkeep.model.names import JOURNAL_DIR
from kvmkeep.model.plan import Plan, Step, StepReport

_TAIL = 8 << 10
_STDIN = 16 << 10
_ENDING = ".jsonl"
_LARGEST = 256 << 20

Field = str | int | float | bool | tuple[str, ...]


def digest(document: bytes) -> str:
    """Return what tells two documents apart in the journal."""
    return hashlib.sha256(document).hexdigest()


class Journal:
    """The journal of one run. Its methods never raise; `troubled` is told once of a failure."""

    def __init__(
        self, lines: Lines, now: Callable[[], datetime], troubled: Callable[[str], None]
    ) -> None:
        self._lines = lines
        self._now = now
        self._troubled = troubled
        self._told = False

    @property
    def path(self) -> str:
        """The file that tells."""
        return self._lines.path

    def planned(self, plan: Plan, spec_digest: str, facts_digest: str) -> None:
        """Tell what this round is about to do, and from which spec and facts."""
        steps = tuple(f"{step.subject}: {step.what}" for step in plan.steps)
        certain = len(plan.certain)
        self._keep("plan", spec=spec_digest, facts=facts_digest, certain=certain, steps=steps)
        for note in plan.notes:
            self._keep("note", subject=note.subject, text=note.text)

    def step_begins(self, number: int, total: int, step: Step) -> None:
        """Tell of a step."""
        self._keep("step", number=number, total=total, subject=step.subject, what=step.what)

    def command_begins(self, command: Command) -> None:
        """Tell of a command before it runs."""
        more: dict[str, Field] = {}
        if command.secret_stdin:
            more["stdin"] = f"(secret, {len(command.stdin)} bytes)"
        elif command.stdin:
            more["stdin"] = command.stdin[:_STDIN].decode("utf-8", "backslashreplace")
        if command.stdout_to:
            more["stdout_to"] = command.stdout_to
        self._keep("command", argv=command.argv, why=command.why, **more)

    def command_ends(self, command: Command, result: Result) -> None:
        """Tell how a command ended."""
        said = masked(command, result.tail)[-_TAIL:]
        self._keep(
            "ended",
            code=result.code,
            ok=result.ok,
            timed_out=result.timed_out,
            seconds=round(result.seconds, 3),
            said=said,
        )

    def file_begins(self, file: WriteFile) -> None:
        """Tell of a file before it is written; of a secret one only that it is."""
        size = len(file.content)
        content = "(secret)" if file.secret else digest(file.content)
        mode = f"{file.mode:04o}"
        self._keep("file", path=file.path, mode=mode, bytes=size, sha256=content, why=file.why)

    def file_ends(self, problem: str) -> None:
        """Tell whether the file was written; `problem` is empty if it was."""
        self._keep("written", ok=not problem, problem=problem)

    def poll_begins(self, poll: Poll) -> None:
        """Tell what is being waited for."""
        self._keep("wait", message=poll.message, limit=poll.limit, argv=poll.command.argv)

    def poll_ends(self, poll: Poll, result: Result, tries: int, seconds: float) -> None:
        """Tell how the last of the tries ended."""
        said = masked(poll.command, result.tail)[-_TAIL:]
        self._keep(
            "waited",
            ok=result.ok,
            tries=tries,
            seconds=round(seconds, 3),
            code=result.code,
            said=said,
        )

    def checkpoint(self, what: str, checkpoint: Checkpoint, path: str) -> None:
        """Tell of a checkpoint of the network: made, kept or rolled back."""
        self._keep("checkpoint", what=what, path=path, timeout=checkpoint.timeout)

    def step_ends(self, report: StepReport) -> None:
        """Tell how the step ended."""
        seconds = round(report.seconds, 3)
        self._keep("step-ended", outcome=report.outcome, seconds=seconds, detail=report.detail)

    def ends(self, outcome: str) -> None:
        """Tell how the run ended, and close."""
        self._keep("end", outcome=outcome)
        self._lines.close()

    def begins(self, verb: str, argv: tuple[str, ...], user: str, version: str, host: str) -> None:
        """Tell what the run is; raises OSError, since a run without a journal is refused."""
        line = _line(
            self._now(),
            "begin",
            v=JOURNAL_VERSION,
            verb=verb,
            argv=argv,
            user=user,
            pid=os.getpid(),
            version=version,
            host=host,
        )
        self._lines.append(line)

    def _keep(self, kind: str, **fields: Field) -> None:
        try:
            self._lines.append(_line(self._now(), kind, **fields))
        except OSError as error:
            if not self._told:
                self._told = True
                reason = error.strerror or str(error)
                self._troubled(f"the journal {self.path} can't be written on: {reason}")


def _line(now: datetime, kind: str, **fields: Field) -> bytes:
    record = {"time": now.isoformat(timespec="milliseconds"), "kind": kind, **fields}
    return json.dumps(record).encode()


class Journals:
    """The journals of this host's runs."""

    def __init__(self, folder: Folder | None = None, now: Callable[[], datetime] = utc_now) -> None:
        self._folder = folder if folder is not None else AppendFolder(JOURNAL_DIR)
        self._now = now

    def begin(
        self,
        verb: str,
        argv: tuple[str, ...],
        *,
        user: str,
        version: str,
        host: str,
        troubled: Callable[[str], None],
        needed: bool = True,
    ) -> Journal:
        """Begin a run's journal, or raise Unready if it is `needed`: else there is none then."""
        name = f"{run_name(self._now(), verb, os.getpid())}{_ENDING}"
        self._prune(name)
        try:
            journal = Journal(self._folder.create(name), self._now, troubled)
            journal.begins(verb, argv, user, version, host)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"the journal can't be begun: {error.filename or name}: {reason}"
            if needed:
                raise Unready(message, hint="free some space, or run it as root") from error
            troubled(f"{message}; this run goes on without one")
            return Journal(Nowhere(), self._now, troubled)
        return journal

    def names(self) -> tuple[str, ...]:
        """Return the names of the kept runs, the oldest first; raises Unready."""
        try:
            found = (name for name in self._folder.names() if name.endswith(_ENDING))
            return oldest_first(found, self._now())
        except OSError as error:
            raise _unreadable(error) from error

    def read(self, name: str) -> Run:
        """Return a run as far as its journal can be read; raises Unready if not at all."""
        try:
            return read_run(name.removesuffix(_ENDING), self._folder.read(name))
        except OSError as error:
            raise _unreadable(error) from error

    def _prune(self, coming: str) -> None:
        try:
            names = self.names()
        except Unready:
            return
        for name in outlived(names, coming):
            self._folder.remove(name)


def _unreadable(error: OSError) -> Unready:
    hint = "run it as root" if isinstance(error, PermissionError) else ""
    return Unready(f"the journal can't be read: {error.strerror}", hint=hint)


def last_runs(door: Door, now: datetime) -> Iterator[Run]:
    """Return the newest run, then those that may be unfinished since; raises OSError.

    The door may be in a hurry.
    """
    names = (name for name in door.names(JOURNAL_DIR) if name.endswith(_ENDING))
    for name in unanswered(oldest_first(names, now), now):
        content = door.read(f"{JOURNAL_DIR}/{name}", _LARGEST) or b""
        yield read_run(name.removesuffix(_ENDING), content)


def has_begun(door: Door, pid: int, since: int) -> bool:
    """Whether a process has begun a run's journal since then, in seconds; raises OSError."""
    first = datetime.fromtimestamp(since, UTC).strftime("%Y%m%dT%H%M%S")
    mine = (one for one in door.names(JOURNAL_DIR) if one.endswith(f"-{pid}{_ENDING}"))
    return any(one[: len(first)] >= first for one in mine)


def read_run(name: str, content: bytes) -> Run:
    """Return a run as its journal tells it; torn or foreign lines are counted, not believed."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    entries = [_entry(line) for line in lines]
    known = tuple(entry for entry in entries if entry is not None)
    begin = next((entry for entry in known if entry.kind == "begin"), None)
    end = next((entry for entry in reversed(known) if entry.kind == "end"), None)
    if begin is None:
        begin = Entry(time="", kind="begin", fields=())
    version = begin.field("v")
    pid = begin.field("pid")
    return Run(
        name=name,
        verb=begin.field("verb"),
        started=begin.time,
        user=begin.field("user"),
        pid=int(pid) if pid.isdecimal() and len(pid) < 12 else 0,
        command_line=begin.field("argv"),
        outcome=end.field("outcome") if end is not None else "",
        entries=known,
        damaged=len(lines) - len(known),
        newer=version.isdecimal() and len(version) < 9 and int(version) > JOURNAL_VERSION,
    )


def _entry(line: bytes) -> Entry | None:
    try:
        record = json.loads(line)
        time, kind = record.pop("time"), record.pop("kind")
        if not (isinstance(time, str) and isinstance(kind, str)):
            return None
        fields = tuple((key, _text(value)) for key, value in record.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Entry(time=time, kind=kind, fields=fields)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return shlex.join(value)
    return json.dumps(value)
