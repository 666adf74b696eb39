"""Questions to the machine's tools: an answer, or a problem that says why there is none."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from kvmkeep.host.door import Door, Result
from kvmkeep.model.command import NOT_FOUND, NOT_STARTED, Command
from kvmkeep.model.facts import Problem
from kvmkeep.model.text import masked_lines
from kvmkeep.model.units import Size

T = TypeVar("T")

_TIMEOUT = 30.0
"""Seconds that a question may take: LVM may have to wait for another LVM command's lock."""


class Unanswered(Exception):
    """A tool gave no usable answer; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


def ask(door: Door, what: str, argv: tuple[str, ...], *, hint: str = "") -> str:
    """Return what a read-only command prints; raise Unanswered when it does not end well.

    `what` names in words what is not seen then.
    """
    return answer(question(door, what, argv), what, argv, hint=hint)


def question(door: Door, what: str, argv: tuple[str, ...]) -> Result:
    """Run a read-only command, and return how it ended."""
    return door.run(Command(argv=argv, why=f"see {what}", timeout=_TIMEOUT))


def answer(result: Result, what: str, argv: tuple[str, ...], *, hint: str = "") -> str:
    """Return what the command printed, or raise Unanswered as `ask` does."""
    program = argv[0]
    if result.ok:
        return whole(result, what, program).decode("utf-8", "replace")
    if result.timed_out:
        reason = _late(result, program)
    elif result.code == NOT_FOUND:
        reason = f"{program} is not installed"
    else:
        said = [line.strip() for line in masked_lines(result.tail).splitlines() if line.strip()]
        reason = f"{program} failed with exit code {result.code}: {' / '.join(said[-3:])}"
    raise Unanswered(
        Problem(what=what, reason=reason[:400], hint=hint or f"try: {argv_text(argv)}")
    )


def whole(result: Result, what: str, program: str, todo: str = "") -> bytes:
    """Return all that a command printed; raise Unanswered where there was more than is kept.

    Without its middle, it may still be read, as something else.
    """
    if not result.cut:
        return result.stdout
    said = Size(len(result.stdout) + result.cut)
    reason = f"{program} printed {said}, which is more than is read of it"
    reason += f"; {todo}" if todo else ""
    raise Unanswered(Problem(what=what, reason=reason, hint=todo))


def _late(result: Result, program: str) -> str:
    if result.code == NOT_STARTED:
        return f"{program} was not asked: no time was left"
    return f"{program} did not answer within {result.seconds:.0f} s"


def decode(content: str | bytes, form: type[T], what: str, program: str) -> T:
    """Parse a tool's JSON into our types; raise Unanswered where it is not what was asked for."""
    try:
        data = content.encode("utf-8", "replace") if isinstance(content, str) else content
        return msgspec.json.decode(data, type=form, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = f"{program} answered with something else than the JSON expected: {error}"
        hint = "run it again; if it stays so, this version of the tool is not known yet"
        raise Unanswered(
            Problem(what=what, reason=masked_lines(reason)[:400], hint=hint)
        ) from error


def argv_text(argv: tuple[str, ...]) -> str:
    """Return a command for a hint, not too long."""
    text = str(Command(argv=argv, why=""))
    return text if len(text) <= 200 else text[:197] + "..."
