"""How a run ended, when it did not end well: what happened, how things stand, what to type."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sized

from kvmkeep.model.command import NOT_FOUND, Command
from kvmkeep.model.plan import Failure, Left, Outcome, Plan, Report, StepReport
from kvmkeep.model.text import lines_of, one_line
from kvmkeep.report.text import command_line, refusal_lines

_WIDTH = 80
_LAST_LINES = 25
_LEFT = {
    Left.HALF: "Step {} may be half done, and will be done again",
    Left.NOTHING: "Nothing of step {} was done",
    Left.UNDONE: "Nothing is left of step {}, and it will be done again",
    Left.UNDOING: "Step {} is being undone, and will be done again",
    Left.DONE: "Step {} is done",
}


def failure_text(report: Report, verb: str) -> str:
    """Return what is to be said about a run whose last step did not end well."""
    last = report.steps[-1]
    number = len(report.steps)
    lines = [f"{_head(last)} {number} of {report.total}: {one_line(last.step.what)}"]
    if last.failure is not None:
        lines += _failure_lines(last.failure)
    lines += ["", _state(report, last), f"To go on, type: kvmkeep {one_line(verb)}"]
    if report.journal:
        lines.append(f"Full log: {one_line(report.journal)}")
    return "\n".join(lines)


def _head(last: StepReport) -> str:
    if last.outcome is Outcome.CHANGED:
        return "The host has changed since the plan was made. Stopped before step"
    if last.outcome is Outcome.INTERRUPTED and last.failure is None:
        return "You asked to stop. Stopped before step"
    if last.outcome is Outcome.INTERRUPTED:
        return "You asked to stop. Stopped in step"
    return "Stopped in step"


def _failure_lines(failure: Failure) -> list[str]:
    lines = [f"What was being done: {one_line(failure.doing)}"]
    if failure.command is not None:
        lines += ["The command:", f"  {command_line(failure.command)}"]
        lines.append(ending(failure, failure.command))
    if failure.problem:
        lines.append(one_line(failure.problem))
    said = lines_of(failure.said)[-_LAST_LINES:]
    if said:
        lines += ["Its last lines:", *(f"  {line}" for line in said)]
    if failure.aftermath:
        lines.append(one_line(failure.aftermath))
    return lines


def ending(failure: Failure, command: Command) -> str:
    """Return how a command ended, as a sentence."""
    if failure.timed_out:
        return f"It did not end within {command.timeout:.0f} s and was stopped."
    if failure.code == NOT_FOUND:
        return f"It could not be run: there is no program {one_line(command.argv[0])}."
    if failure.code < 0:
        return f"It was ended by signal {-failure.code} ({_signal_name(-failure.code)})."
    return f"It ended with exit code {failure.code}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _state(report: Report, last: StepReport) -> str:
    number = len(report.steps)
    left = report.total - number
    its = _LEFT[_left(last)].format(number)
    if _left(last) is Left.NOTHING and last.failure is not None and last.failure.aftermath:
        its += " but what always ends it"
    before = {
        1: "no step was done before it",
        2: "step 1 is done",
    }.get(number, f"the {number - 1} before it are done")
    after = "no more was planned" if left == 0 else f"the {left} after it were not begun"
    return f"{its}; {before}; {after}. Nothing was lost."


def _left(last: StepReport) -> Left:
    if last.outcome is Outcome.CHANGED:
        return Left.NOTHING
    if last.failure is not None:
        return last.failure.left
    return Left.NOTHING if last.outcome is Outcome.INTERRUPTED else Left.HALF


def unfinished_text(report: Report, verb: str, *, tried_again: bool = True) -> str:
    """Return what is to be said about a run that left some of its steps out, or tried in vain."""
    lines = [f"Not all went well{', and trying again did not help' if tried_again else ''}:"]
    for one in report.steps:
        if one.outcome is Outcome.DONE:
            continue
        lines.append(f"{one_line(one.step.subject)}: {one_line(one.step.what)}: {one.outcome}")
        lines += [f"  {line}" for line in lines_of(one.detail)[-_LAST_LINES:]]
    lines += ["", "The other steps are done. Nothing was lost."]
    lines.append(f"To try again, type: kvmkeep {one_line(verb)}")
    if report.journal:
        lines.append(f"Full log: {one_line(report.journal)}")
    return "\n".join(lines)


def refusal_text(plan: Plan) -> str:
    """Return all reasons why a plan is refused."""
    return "\n".join(refusal_lines(plan.refusals, _WIDTH))


def leftover_text(plan: Plan) -> str:
    """Return what is still left to do after all steps were done."""
    count = len(plan.steps) + len(plan.refusals)
    things = "1 thing is" if count == 1 else f"{count} things are"
    lines = [f"All steps were done, but {things} still to do for this command:"]
    lines += [f"  {one_line(step.subject)}: {one_line(step.what)}" for step in plan.steps]
    lines += [f"  {one_line(r.subject)}: {one_line(r.reason)}" for r in plan.refusals]
    return "\n".join(lines)


def counted(steps: Sized) -> str:
    """Return how many steps these are."""
    return "1 step" if len(steps) == 1 else f"{len(steps)} steps"


def again_text(verb: str, argv: tuple[str, ...]) -> str:
    """Return what to type to go on: what was typed, unless that was for more than this goal."""
    return shlex.join(_words_again(verb, argv))


def shows_text(verb: str, argv: tuple[str, ...]) -> str:
    """Return what tells which command shows what is left, and does none of it."""
    words = _words_again(verb, argv)
    end = _end_of_verb(verb, words)
    shows = "plan" if verb == "apply" else shlex.join((*words[:end], "--dry-run", *words[end:]))
    return f"`kvmkeep {shows}` shows what is left and why"


def _words_again(verb: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    return argv[1:] if _end_of_verb(verb, argv[1:]) else tuple(verb.split())


def _end_of_verb(verb: str, words: tuple[str, ...]) -> int:
    """Return where a verb of one or two words ends in a command line; 0 where it isn't."""
    sought = tuple(verb.split())
    ends = range(len(sought), len(words) + 1)
    return next((end for end in ends if words[end - len(sought) : end] == sought), 0)
