"""Runs plans on the fake host as the flow does: the certain steps, then a new look."""

from __future__ import annotations

from collections.abc import Callable

from fakes.host import FakeHost

from kvmkeep.host.door import Door
from kvmkeep.model.command import Action, Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan, Step
from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.recover import recovery


def plan_recover(spec: Spec, facts: Facts) -> Plan:
    """Plan to have all guests up that run with the host."""
    return recovery(spec, facts).plan


class StepError(Exception):
    """A command of a step did not end well."""


def carry_out(door: Door, step: Step) -> None:
    """Run a step's probe and actions."""
    if step.probe is not None:
        _act(door, step.probe)
    try:
        for action in step.all_actions:
            _act(door, action)
    finally:
        for command in step.ends:
            _act(door, command)


def reach(
    host: FakeHost,
    spec: Spec,
    planner: Callable[[Spec, Facts], Plan] = make_plan,
    *,
    door: Door | None = None,
    limit: int = 6,
) -> list[Step]:
    """Plan and act until nothing is left to do; returns all steps that were run.

    A plan that assumes nothing is complete: once it was carried out, the next one is empty.
    """
    done: list[Step] = []
    complete = False
    for _ in range(limit):
        plan = planner(spec, host.facts(spec))
        assert plan.refusals == (), plan.refusals
        if plan.empty:
            return done
        assert not complete, f"missing in the plan before: {[step.what for step in plan.steps]}"
        assert plan.certain, "a plan that can't begin"
        complete = plan.certain == plan.steps
        for step in plan.certain:
            carry_out(door or host, step)
            done.append(step)
    raise AssertionError(f"still to do: {[step.what for step in plan.steps]}")


def _act(door: Door, action: Action) -> None:
    match action:
        case Command():
            result = door.run(action)
            if not result.ok:
                raise StepError(f"{action}: {result.code} {result.tail or result.text}")
        case WriteFile():
            door.write(action)
        case Poll():
            _wait(door, action)
        case Checkpoint():
            _change(door, action)


def _wait(door: Door, poll: Poll) -> None:
    deadline = door.clock() + poll.limit
    while not door.run(poll.command).ok:
        if door.clock() >= deadline:
            raise StepError(f"{poll.message}: {poll.command}")
        door.sleep(poll.every)


def _change(door: Door, change: Checkpoint) -> None:
    kept = [poll for poll in change.keeps if door.run(poll.command).ok]
    for one in change.undo.arm:
        _act(door, one)
    at = door.run(change.create()).text.strip().removeprefix('o "').removesuffix('"')
    for one in (change.watch(at), *change.body, *change.verify, *kept):
        _act(door, one)
    for one in (change.destroy(at), *change.undo.disarm, change.undo.settle):
        _act(door, one)
