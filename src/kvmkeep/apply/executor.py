"""Carry out the certain steps of a plan, one after the other, and report how each ended."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from kvmkeep.apply.checkpoint import change_network
from kvmkeep.apply.hands import Hands, StopAsked, attempt, carry_out, failure_of, write
from kvmkeep.apply.journal import Journal
from kvmkeep.apply.polling import wait_for
from kvmkeep.apply.ui import Ui
from kvmkeep.errors import Refused
from kvmkeep.host.door import Door
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import NOT_STARTED, Action, Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.plan import Failure, Left, Outcome, Plan, Report, Step, StepReport, strands


def apply_plan(
    plan: Plan, door: Door, journal: Journal, ui: Ui, stop: Stop | None = None, *, done: int = 0
) -> Report:
    """Carry out `plan.certain`; stops at the first step that does not end well.

    After one that is `isolated`, only those are left out that come after it.

    `done` is the number of steps that earlier rounds did: steps are numbered on from there. The
    report's `total` counts the certain steps of this plan.
    """
    if plan.refusals:
        raise Refused(plan.refusals[0].reason, hint=plan.refusals[0].hint)
    hands = Hands(door=door, journal=journal, ui=ui, stop=stop or Stop())
    total = done + len(plan.steps)
    reports: list[StepReport] = []
    bad: set[str] = set()
    for number, step in enumerate(plan.certain, done + 1):
        hands.stop.tick()
        if hands.stop.requested:
            reports.append(StepReport(step=step, outcome=Outcome.INTERRUPTED, seconds=0.0))
            break
        journal.step_begins(number, total, step)
        ui.step_begins(number, total, step)
        missing = [subject for subject in (*step.after, step.subject) if subject in bad]
        report = _left_out(step, missing[0]) if missing else _carry_out_step(hands, step)
        reports.append(report)
        journal.step_ends(report)
        ui.step_ends(number, total, report)
        if report.outcome is not Outcome.DONE:
            bad.add(step.subject)
        if strands(report):
            break
    return Report(steps=tuple(reports), total=len(plan.certain), journal=journal.path)


def _left_out(step: Step, missing: str) -> StepReport:
    detail = f"{missing} did not get so far"
    return StepReport(step=step, outcome=Outcome.SKIPPED, seconds=0.0, detail=detail)


def _carry_out_step(hands: Hands, step: Step) -> StepReport:
    began = hands.door.clock()
    try:
        outcome, failure = _probe_and_act(hands, step)
    except StopAsked as stopped:
        outcome, failure = Outcome.INTERRUPTED, stopped.failure
    except KeyboardInterrupt:
        # Nobody counts signals here (see Stop.listening): the door ended the command.
        problem = "It was interrupted in the middle."
        outcome, failure = Outcome.INTERRUPTED, Failure(doing=step.what, problem=problem)
    return StepReport(
        step=step,
        outcome=outcome,
        seconds=hands.door.clock() - began,
        detail=_detail(failure),
        failure=failure,
    )


def _probe_and_act(hands: Hands, step: Step) -> tuple[Outcome, Failure | None]:
    if step.probe is not None:
        result, failure = carry_out(hands, step.probe)
        if failure is not None:
            answered = 0 <= result.code < NOT_STARTED and not result.timed_out
            failure = replace(failure, left=Left.NOTHING)
            return (Outcome.CHANGED if answered else Outcome.FAILED), failure
    try:
        failure = _act_all(hands, step)
    except StopAsked as stopped:
        raise StopAsked(_run_finally(hands, step, stopped.failure) or stopped.failure) from None
    except BaseException:
        _run_finally(hands, step, None)
        raise
    failure = _run_finally(hands, step, failure)
    return (Outcome.DONE if failure is None else Outcome.FAILED), failure


def _act_all(hands: Hands, step: Step) -> Failure | None:
    for number, action in enumerate(step.all_actions):
        undone = bool(step.place) and number < len(step.actions)
        left = Left.UNDONE if undone else Left.HALF
        try:
            failure = _act(hands, action)
        except StopAsked as stopped:
            if isinstance(action, Checkpoint):
                raise
            begun = number > 0 or stopped.failure.command is not None
            raise StopAsked(
                replace(stopped.failure, left=left if begun else Left.NOTHING)
            ) from None
        if failure is not None:
            return failure if isinstance(action, Checkpoint) else replace(failure, left=left)
    return None


def _run_finally(hands: Hands, step: Step, failure: Failure | None) -> Failure | None:
    """Do what always ends the step; return what is to be told of the whole."""
    failed: Failure | None = None
    with hands.stop.shield():
        for number, command in enumerate(step.ends):
            if failed is not None and number >= len(step.always):
                break
            result = attempt(hands, command)
            if failed is None and not result.ok:
                failed = failure_of(command, result)
    if failed is not None:
        if failure is None:
            return replace(failed, left=Left.DONE if step.place else failed.left)
        left = Left.HALF if step.place else failure.left
        text = f"Then this failed as well: {failed.doing}."
        return replace(failure, aftermath=text, left=left)
    if failure is None or not step.ends:
        return failure
    done = ", ".join(command.why for command in step.ends)
    return replace(failure, aftermath=f"What always ends this step was done: {done}.")


def _act(hands: Hands, action: Action) -> Failure | None:
    match action:
        case Command():
            return carry_out(hands, action)[1]
        case WriteFile():
            return write(hands, action)
        case Poll():
            return wait_for(hands, action)
        case Checkpoint():
            return change_network(hands, action)
        case _:
            assert_never(action)


def _detail(failure: Failure | None) -> str:
    if failure is None:
        return ""
    ending = ""
    if failure.command is not None:
        late = ", at its time limit" if failure.timed_out else ""
        ending = f"{failure.command.argv[0]} ended with {failure.code}{late}"
    parts = (ending, failure.problem, failure.said, failure.aftermath)
    return "\n".join(part for part in parts if part)
