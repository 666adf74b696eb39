"""The fault sweep: for each plan, whatever goes wrong at any of its actions, once more is enough.

Each case is a whole run of the real executor, under the real flow, lock and journal, on a host in
memory; then a second run without the fault, and a third that finds nothing to do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
from faults.door import (
    MODES,
    Effect,
    FaultyDoor,
    Grave,
    Killed,
    Way,
    digest,
    is_tearable,
)
from faults.plans import (
    PLANS,
    Case,
    foreign,
    fragments,
    in_service,
    snapshot_of_frozen_guest,
    snapshot_of_suspended_guest,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmkeep.apply.journal import Journals
from kvmkeep.apply.ui import Ui
from kvmkeep.errors import Declined, Interrupted, KvmkeepError, StepFailed
from kvmkeep.flow import Look, RunSettings, reach
from kvmkeep.host.lock import Lock
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.plan import Outcome, Plan, Report, Step
from kvmkeep.model.text import lines_of
from kvmkeep.report.outcome import failure_text
from tests.unit.apply.scripted import MemoryFolder, MemoryLines, noon

Make = Callable[[], Case]

STRIDE = 1 if os.environ.get("KVMKEEP_SWEEP") == "whole" else 3
"""How many actions lie between two that the same mode strikes: with `make sweep`, none."""
LONGEST_STEP = 40
"""No step has more actions: what stood before a step that ended sooner is not asked for."""


class MortalLines(MemoryLines):
    """A journal that ends where the process does."""

    grave = Grave()

    def append(self, line: bytes) -> None:
        self.grave.check()
        super().append(line)


class MortalFolder(MemoryFolder):
    """Makes journals that end where the process does."""

    def __init__(self, grave: Grave) -> None:
        super().__init__()
        self._grave = grave

    def create(self, name: str) -> MemoryLines:
        lines = MortalLines(name)
        lines.grave = self._grave
        self.files[name] = lines
        return lines


class StandUi(Ui):
    """Notes how the host stood before each step, and which request to stop came before it."""

    def __init__(self, door: FaultyDoor) -> None:
        self.stood: list[str] = []
        self.begun_after_stop = 0
        self.report: Report | None = None
        self._door = door

    def step_begins(self, number: int, total: int, step: Step) -> None:
        del total, step
        assert number == len(self.stood) + 1
        self.begun_after_stop += self._door.stop.requested
        left = self._door.at - len(self._door.acted)
        looked_at = self._door.at >= 0 and left < LONGEST_STEP
        self.stood.append(digest(self._door.host) if looked_at else "")

    def run_ends(self, report: Report) -> None:
        self.report = report


@dataclass
class Run:
    """One run: how it ended, and what it was doing."""

    case: Case
    door: FaultyDoor
    ui: StandUi
    folder: MortalFolder
    plans: list[Plan] = field(default_factory=list)
    error: KvmkeepError | Killed | None = None

    @property
    def told(self) -> str:
        """What the administrator reads."""
        assert isinstance(self.error, KvmkeepError)
        return f"{self.error.message}\n{self.error.touched}"

    @property
    def could_not_forget(self) -> bool:
        """Whether it was kept from taking out what dead runs left, and went on."""
        return any({"forget", "delete"} & {*one.argv} for one in self.door.excuses)

    @property
    def patient(self) -> bool:
        """Whether the action that was struck is one of those that are tried again anyhow."""
        struck = self.door.struck
        if not isinstance(struck, Command):
            return False
        alone = [step for plan in self.plans for step in plan.steps if step.isolated]
        # Such a step is tried again by the run itself, after it has looked anew.
        if any(struck == one for step in alone for one in (step.probe, *step.all_actions)):
            return True
        polls = {poll.command.argv for plan in self.plans for poll in polls_of(plan)}
        return struck.argv in polls or "Checkpoints" in struck.argv

    @property
    def last_record(self) -> dict[str, object]:
        """The journal's last line; empty where there is no journal."""
        lines = [line for one in self.folder.files.values() for line in one.lines]
        return json.loads(lines[-1]) if lines else {}


def polls_of(plan: Plan) -> list[Poll]:
    actions = [action for step in plan.steps for action in step.all_actions]
    changes = [one for one in actions if isinstance(one, Checkpoint)]
    inside = [poll for one in changes for poll in (*one.verify, *one.keeps)]
    return inside + [action for action in actions if isinstance(action, Poll)]


def run(case: Case, lock: Lock, at: int = -1, *mode: Way | Effect) -> Run:
    grave, stop = Grave(), Stop()
    door = FaultyDoor(case.host, at, *mode, stop=stop, grave=grave)  # type: ignore[arg-type]
    this = Run(case, door, StandUi(door), MortalFolder(grave))

    def look() -> Look:
        grave.check()
        this.plans.append(case.planner(case.spec, case.host.facts(case.spec)))
        return Look(spec=b"", facts=b"", plan=this.plans[-1])

    context = RunSettings(
        spec_dir="/spec", door=door, libvirt=None, ui=this.ui, stop=stop, lock=lock,  # type: ignore[arg-type]
        journals=Journals(this.folder, noon), argv=("kvmkeep", "apply"),
    )  # fmt: skip
    try:
        reach(context, "apply", look, None)
    except (KvmkeepError, Killed) as error:
        this.error = error
    return this


def judge(this: Run, before: str) -> None:
    """Demand of the run that was struck what it owes the administrator."""
    way, error = this.door.way, this.error
    assert foreign(this.case.host) == before
    if way is Way.KILLED:
        assert isinstance(error, Killed)
        names_what_was_running(this)
        return
    if error is None:
        # A stop may come too late to matter; a fault must have been one that is tried again.
        assert this.door.excused or this.patient
        return
    if way in {Way.STOP, Way.STOP_NOW}:
        assert isinstance(error, Interrupted)
        assert this.ui.begun_after_stop == 0
        if isinstance(error, Declined):
            assert this.ui.stood == []
            return
    else:
        assert isinstance(error, StepFailed), error
    assert "Nothing was lost" in this.told
    assert this.last_record["kind"] == "end"
    names_the_place(this)


def names_what_was_running(this: Run) -> None:
    """Demand that the journal of a killed run ends with what it was about to do."""
    record, struck = this.last_record, this.door.struck
    if isinstance(struck, WriteFile):
        assert (record["kind"], record["path"]) == ("file", struck.path)
    elif struck is not None and "Checkpoints" not in struck.argv:
        assert record["kind"] in {"command", "wait"}
        assert record["argv"] == list(struck.argv)


def names_the_place(this: Run) -> None:
    """Demand that the message tells the step, the command, and truly what was done of it."""
    count, told, struck = len(this.ui.stood), this.told, this.door.struck
    report = this.ui.report
    assert report is not None
    if "stopped on request after" in told:
        assert f"after {count} step" in told
        return
    if f"Stopped before step {count + 1} of" in told:
        return
    if "Not all went well" in told:
        failed = [one for one in report.steps if one.outcome is not Outcome.DONE]
        assert failed
        assert all(one.step.what in told for one in failed)
        assert all(line in told for one in failed for line in lines_of(one.detail)[-1:])
        return
    assert f"step {count} of {report.total}" in told
    assert told.startswith(failure_text(report, "apply"))
    failure = report.steps[-1].failure
    assert failure is not None
    nothing = (f"Nothing of step {count} was done;", f"Nothing is left of step {count}, and")
    if any(words in told for words in nothing):
        assert digest(this.case.host) == this.ui.stood[-1]
    if this.door.way in {Way.FAILS, Way.HANGS}:
        if isinstance(struck, WriteFile):
            assert struck.path in told
        else:
            assert struck is not None
            assert failure.command is not None
            if this.door.excused:
                return  # what accepts the injected end leaves the blame to the look after it
            assert failure.command.argv == struck.argv
            assert "did not end within" in told or "injected" in told
    if "rolled back to what it was" in told:
        assert f"Nothing is left of step {count}, and it will be done again" in told
        assert "half done" not in told
    if "NetworkManager does it by itself within" in told:
        kept = this.case.host.nm._saved == {}
        assert not kept or "unless the checkpoint is gone" in told


def again(case: Case, lock: Lock, before: str) -> None:
    """Run without a fault: the goal is reached, and then there is nothing left to do."""
    second = run(case, lock)
    assert second.error is None
    case.host.systemd.run_ended()
    in_service(case.host, case)
    assert foreign(case.host) == before
    assert case.planner(case.spec, case.host.facts(case.spec)).empty


@cache
def actions_of(make: Make, lock: Lock) -> tuple[Command | WriteFile, ...]:
    """Return what a run without a fault does."""
    return tuple(run(make(), lock).door.acted)


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> Lock:
    path: Path = tmp_path_factory.mktemp("lock") / "lock"
    return Lock(str(path))


@pytest.mark.parametrize("make", PLANS, ids=lambda make: make.__name__)
def test_without_a_fault_the_goal_is_reached(make: Make, lock: Lock) -> None:
    case = make()
    before = foreign(case.host)
    this = run(case, lock)
    assert this.error is None
    assert len(this.door.acted) >= 4
    again(case, lock, before)
    assert run(case, lock).ui.stood == []


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: f"{mode[0].name}-{mode[1].name}")
@pytest.mark.parametrize("make", PLANS, ids=lambda make: make.__name__)
def test_whatever_goes_wrong_anywhere_once_more_is_enough(
    make: Make, mode: tuple[Way, Effect], lock: Lock
) -> None:
    straight = actions_of(make, lock)
    # One mode begins where the one before it did not, so each action is struck in some ways.
    for at, action in list(enumerate(straight))[MODES.index(mode) % STRIDE :: STRIDE]:
        if mode[1] is Effect.HALF and mode[0] is not Way.STOP_NOW and not is_tearable(action):
            continue
        if isinstance(action, WriteFile) and mode == (Way.HANGS, Effect.HALF):
            continue  # a write is whole or nothing, unless the process dies
        case = make()
        before, left = foreign(case.host), fragments(case.host, case)
        try:
            this = run(case, lock, at, *mode)
            assert this.door.struck == action
            judge(this, before)
            case = replace(case, remains=left if this.could_not_forget else frozenset())
            case.host.systemd.run_ended()
            again(case, lock, before)
        except BaseException as error:
            what = action if isinstance(action, Command) else f"write {action.path}"
            error.add_note(f"action {at} of {len(straight)}: {what}")
            raise


@pytest.mark.parametrize("effect", [Effect.NONE, Effect.WHOLE])
@pytest.mark.parametrize("make", [snapshot_of_frozen_guest, snapshot_of_suspended_guest])
def test_a_guest_that_a_killed_run_left_standing_goes_on_by_itself(
    make: Make, effect: Effect, lock: Lock
) -> None:
    left = set()
    for at in range(len(actions_of(make, lock))):
        case = make()
        run(case, lock, at, Way.KILLED, effect)
        domain = case.host.libvirt.domains["web"]
        left.add((domain.state, domain.frozen))
        case.host.sleep(300)
        assert (domain.state, domain.frozen) == ("running", False)
    assert len(left) >= 2, "no kill left the guest standing: this proves nothing"


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(PLANS),
    st.lists(st.tuples(st.integers(0, 76), st.sampled_from(MODES)), min_size=2, max_size=4),
)
def test_what_goes_wrong_again_and_again_is_mended_once_nothing_does(
    lock: Lock, make: Make, faults: list[tuple[int, tuple[Way, Effect]]]
) -> None:
    case = make()
    before, left = foreign(case.host), fragments(case.host, case)
    for at, mode in faults:
        this = run(case, lock, at, *mode)
        assert foreign(case.host) == before
        case = replace(case, remains=left if this.could_not_forget else case.remains)
    again(case, lock, before)
