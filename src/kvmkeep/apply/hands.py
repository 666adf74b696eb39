"""How one command is carried out: journaled before and after, its progress shown."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.apply.journal import Journal
from kvmkeep.apply.secrets import masked
from kvmkeep.apply.ui import Ui
from kvmkeep.host.door import Door, Result
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Command, Progress, WriteFile
from kvmkeep.model.plan import Failure

_MOST_SAID = 4000
"""Characters of a tool's last lines that a message holds: a guest's agent may say anything."""
_ON_STDOUT = frozenset({Progress.QEMU_IMG, Progress.BLOCKS})


class Hands(Struct, frozen=True, kw_only=True):
    """All that a step needs to be carried out."""

    door: Door
    journal: Journal
    ui: Ui
    stop: Stop


class StopAsked(Exception):
    """Somebody asked to stop, and the step does so; `failure` tells where."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.problem)
        self.failure = failure


def stop_if_asked(hands: Hands, doing: str) -> None:
    """Raise StopAsked before something that need not be begun."""
    hands.stop.tick()
    if hands.stop.requested:
        raise StopAsked(Failure(doing=doing, problem="It was not begun: you asked to stop."))


def carry_out(hands: Hands, command: Command) -> tuple[Result, Failure | None]:
    """Run a command; raises StopAsked where a request to stop ended it, or kept it from starting.

    A long command (one that shows progress) is not begun when a stop was asked for.
    """
    if command.progress is not Progress.NONE:
        stop_if_asked(hands, command.why)
    result = attempt(hands, command)
    if result.ok:
        return result, None
    failure = failure_of(command, result)
    if hands.stop.ended_command:
        raise StopAsked(failure)
    return result, failure


def attempt(hands: Hands, command: Command) -> Result:
    """Run a command, whatever was asked for and however it ends."""
    hands.journal.command_begins(command)
    shown = command.progress is not Progress.NONE
    result = hands.door.run(command, _Rate(hands).watch if shown else None)
    hands.journal.command_ends(command, result)
    return result


def write(hands: Hands, file: WriteFile) -> Failure | None:
    """Write a file, journaled before and after."""
    hands.journal.file_begins(file)
    problem = ""
    try:
        hands.door.write(file)
    except OSError as error:
        problem = f"The file {file.path} could not be written: {error.strerror or error}."
    hands.journal.file_ends(problem)
    return Failure(doing=file.why, problem=problem) if problem else None


def failure_of(command: Command, result: Result) -> Failure:
    """Return what a command's bad end means."""
    # Cut only once it is masked: a part of a secret would not be recognised.
    tail = result.tail if result.stderr or command.progress not in _ON_STDOUT else ""
    said = masked(command, tail)[-_MOST_SAID:]
    problem = ""
    if result.code in command.ok and command.expect and not result.timed_out:
        answer = said if command.secret_stdin else result.text.strip()[:200]
        problem = f"It answered {answer!r} where {command.expect!r} was expected."
    meaning = next((one.sentence for one in command.meanings if one.words in said), "")
    problem = f"{problem} {meaning}".strip()
    return Failure(
        doing=command.why,
        command=command,
        code=result.code,
        timed_out=result.timed_out,
        said=said,
        problem=problem,
    )


class _Rate:
    """Turns bytes done into a rate: the mean since the first look, which does not jump about."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._first: tuple[float, int] | None = None

    def watch(self, done: int, total: int) -> None:
        now = self._hands.door.clock()
        if self._first is None:
            self._first = (now, done)
        then, before = self._first
        rate = (done - before) / (now - then) if now > then else 0.0
        self._hands.ui.progress(done, total, rate)
