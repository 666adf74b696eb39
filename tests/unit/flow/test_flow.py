"""Rounds of looking and acting, and how each run ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.apply.journal import Journals
from kvmkeep.apply.sight import Sight
from kvmkeep.errors import (
    Busy,
    Declined,
    Interrupted,
    KvmkeepError,
    NotConverged,
    Refused,
    StepFailed,
    Unready,
)
from kvmkeep.flow import (
    PAUSE,
    ROUNDS,
    TRIES,
    Confirm,
    Look,
    RunSettings,
    keep_spec,
    look_beside,
    reach,
)
from kvmkeep.host.door import Door
from kvmkeep.host.lock import Lock
from kvmkeep.model.command import WriteFile
from kvmkeep.model.names import GOOD_SPEC
from kvmkeep.model.plan import Note, Plan, Refusal, Report
from tests.unit.apply.scripted import (
    MemoryFolder,
    RecordingUi,
    ScriptedDoor,
    command,
    ended,
    noon,
    step,
)

ONE = step("one", command("act 1"))
TWO = step("two", command("act 2"))
MAYBE = step("two", command("act ?"), assumes="the image has cloud-init")
NO = Refusal(subject="guest a", reason="no room", hint="make room")
NO_TOO = Refusal(subject="guest b", reason="no VLAN", hint="")
EMPTY = Plan()


class Site:
    """A host whose looks are given in advance; the last one stays."""

    def __init__(self, path: Path, *looks: Plan | Exception, **more: object) -> None:
        self.looks = list(looks)
        self.looked = 0
        self.verb = "apply"
        self.door = ScriptedDoor(**more)  # type: ignore[arg-type]
        self.folder = MemoryFolder()
        self.ui = RecordingUi()
        self.before_look: Callable[[], None] = lambda: None
        self.context = RunSettings(
            spec_dir="/spec",
            door=self.door,
            libvirt=None,  # type: ignore[arg-type]
            ui=self.ui,
            stop=self.door.stop,
            lock=Lock(str(path / "lock")),
            journals=Journals(self.folder, noon),
            argv=("kvmkeep", "apply"),
        )

    def look(self) -> Look:
        self.before_look()
        found = self.looks[min(self.looked, len(self.looks) - 1)]
        self.looked += 1
        if isinstance(found, Exception):
            raise found
        return Look(spec=b"spec", facts=b"facts", plan=found)

    def reach(self, confirm: Confirm | None = None) -> Report:
        return reach(self.context, self.verb, self.look, confirm)

    def fails(self, kind: type[KvmkeepError], confirm: Confirm | None = None) -> KvmkeepError:
        with pytest.raises(kind) as caught:
            self.reach(confirm)
        assert type(caught.value) is kind
        return caught.value

    @property
    def acts(self) -> list[str]:
        return [line for line in self.door.ran if line.startswith("act")]

    @property
    def outcome(self) -> str:
        (lines,) = self.folder.files.values()
        assert lines.closed
        return str(json.loads(lines.lines[-1])["outcome"])


def test_steps_run_and_a_last_look_proves_it(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, TWO)), EMPTY)
    report = site.reach()
    assert site.acts == ["act 1", "act 2"]
    assert report.ok
    assert report.total == 2
    assert site.looked == 2
    assert site.outcome == "done"
    assert report.journal in {lines.path for lines in site.folder.files.values()}
    assert site.ui.report == report


def test_with_nothing_to_do_nothing_is_run_and_no_journal_written(tmp_path: Path) -> None:
    site = Site(tmp_path, EMPTY)
    report = site.reach()
    assert report.ok
    assert (report.steps, report.journal) == ((), "")
    assert site.acts == []
    assert site.folder.files == {}


def test_what_rests_on_an_assumption_is_planned_again(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, MAYBE)), Plan(steps=(TWO,)), EMPTY)
    report = site.reach()
    assert site.acts == ["act 1", "act 2"]
    assert report.ok
    assert report.total == 2
    assert "begin 2/2 two" in site.ui.told
    assert [one for one in site.ui.told if one.startswith("round")] == [
        "round 1", "round 2", "round 3",
    ]  # fmt: skip
    assert len(site.folder.files) == 1


def test_an_assumption_that_vanished_leaves_nothing_to_do(tmp_path: Path) -> None:
    report = Site(tmp_path, Plan(steps=(ONE, MAYBE)), EMPTY).reach()
    assert report.ok
    assert report.total == 1


def test_all_refusals_are_told_and_nothing_is_run(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,), refusals=(NO, NO_TOO)))
    error = site.fails(Refused)
    assert "no room" in error.message
    assert "no VLAN" in error.message
    assert site.acts == []
    assert site.folder.files == {}


def test_a_refusal_after_the_first_step_does_not_say_that_nothing_was_touched(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, MAYBE)), Plan(refusals=(NO,)))
    error = site.fails(StepFailed)
    assert "After 1 step " in error.message
    assert "no room" in error.message
    assert site.outcome.startswith("StepFailed: After 1 step")


def test_a_host_that_can_not_be_looked_at_is_not_touched(tmp_path: Path) -> None:
    site = Site(tmp_path, Unready("libvirt does not answer", hint="start it"))
    assert site.fails(Unready).message == "libvirt does not answer"


def test_a_host_that_can_not_be_looked_at_again_was_touched(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, TWO)), Unready("no libvirt", hint="start it"))
    error = site.fails(StepFailed)
    assert error.message == "After 2 steps the host can't be looked at again: no libvirt"
    assert error.hint == "start it"


def test_where_nobody_attends_it_is_looked_at_again_for_a_while(tmp_path: Path) -> None:
    silent = Unready("libvirt does not answer", hint="start it")
    site = Site(tmp_path, silent, Plan(steps=(ONE,)), silent, EMPTY)
    site.context = replace(site.context, unattended=True, sight=Sight(seconds=180))
    assert site.reach().ok
    assert site.acts == ["act 1"]
    assert [line for line in site.ui.told if line.startswith("round")] == ["round 1", "round 2"]


def test_what_is_left_in_the_end_is_named(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)), Plan(steps=(TWO,)))
    error = site.fails(NotConverged)
    assert "guest a: two" in error.message
    assert site.acts == ["act 1"]


def test_where_nobody_attends_what_came_up_meanwhile_is_done_as_well(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)), Plan(steps=(TWO,)), EMPTY)
    site.context = replace(site.context, unattended=True)
    report = site.reach()
    assert site.acts == ["act 1", "act 2"]
    assert report.total == 2
    assert site.looked == 3


@pytest.mark.parametrize("rest", [Plan(steps=(ONE, TWO)), Plan(steps=(TWO,), refusals=(NO,))])
def test_but_nothing_is_done_twice_or_against_a_refusal(tmp_path: Path, rest: Plan) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)), rest)
    site.context = replace(site.context, unattended=True)
    site.fails(NotConverged)
    assert site.acts == ["act 1"]


def test_and_what_comes_up_for_ever_is_left_to_the_next_run(tmp_path: Path) -> None:
    plans = [Plan(steps=(step(f"{n}", command(f"act {n}")),)) for n in range(ROUNDS + 2)]
    site = Site(tmp_path, *plans)
    site.context = replace(site.context, unattended=True)
    site.fails(NotConverged)
    assert len(site.acts) == ROUNDS


@pytest.mark.parametrize(
    ("verb", "typed", "shows"),
    [
        ("apply", ("apply", "web", "--yes"), "kvmkeep plan"),
        ("snapshot revert", ("--spec", "/my spec", "snapshot", "revert", "web", "noon"),
         "kvmkeep --spec '/my spec' snapshot revert --dry-run web noon"),
        ("shutdown", ("shutdown",), "kvmkeep shutdown --dry-run"),
        ("backup run", ("backup", "rebuild", "x"), "kvmkeep backup run --dry-run"),
    ],
)  # fmt: skip
def test_what_is_left_is_shown_by_the_same_verb(
    tmp_path: Path, verb: str, typed: tuple[str, ...], shows: str
) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))
    site.context = replace(site.context, argv=("kvmkeep", *typed))
    site.verb = verb
    assert site.fails(NotConverged).hint == f"`{shows}` shows what is left and why"


def test_a_verb_without_a_dry_run_names_none(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))
    site.context = replace(site.context, dry_run=False)
    assert site.fails(NotConverged).hint == ""


def test_a_plan_that_never_gets_certain_is_given_up(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, MAYBE)))
    site.fails(NotConverged)
    assert site.acts == ["act 1"] * ROUNDS


def test_a_plan_without_a_certain_step_is_given_up(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(MAYBE,)))
    site.fails(NotConverged)
    assert site.acts == []


def test_a_failed_step_is_told_with_its_command(tmp_path: Path) -> None:
    bad = {"act 2": lambda _n: ended(5, stderr="no space")}
    site = Site(tmp_path, Plan(steps=(ONE, TWO, ONE)), answers=bad)
    error = site.fails(StepFailed)
    assert "Stopped in step 2 of 3: two" in error.message
    assert "act 2" in error.message
    assert "no space" in error.message
    assert site.ui.report is not None
    assert site.ui.report.total == 3
    assert site.acts == ["act 1", "act 2"]


def test_a_request_to_stop_is_heard_between_steps(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, TWO)), stops_at=1)
    error = site.fails(Interrupted)
    assert "Stopped before step 2 of 2" in error.message
    assert site.acts == ["act 1"]
    assert "stopping False" in site.ui.told


def test_a_request_in_the_first_look_leaves_all_untouched(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))
    site.before_look = lambda: os.kill(os.getpid(), signal.SIGINT)
    site.fails(Declined)
    assert site.acts == []


def test_a_request_in_a_later_look_stops_there(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, MAYBE)), Plan(steps=(TWO,)))
    site.before_look = lambda: site.door.stop.press() if site.looked else None
    assert "after 1 step" in site.fails(Interrupted).message
    assert site.acts == ["act 1"]


def test_a_request_before_the_first_step_leaves_all_untouched(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))

    def confirm(_plan: Plan) -> bool:
        site.door.stop.press()
        return True

    site.fails(Declined, confirm)
    assert site.acts == []


def test_no_means_no(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))
    site.fails(Declined, lambda _plan: False)
    assert site.acts == []
    assert site.folder.files == {}


def test_ctrl_c_at_the_question_means_no(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))

    def confirm(_plan: Plan) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return True

    site.fails(Declined, confirm)
    assert site.acts == []


def test_the_question_is_asked_again_only_for_what_was_not_shown(tmp_path: Path) -> None:
    asked: list[int] = []

    def confirm(plan: Plan) -> bool:
        asked.append(len(plan.steps))
        return True

    Site(tmp_path, Plan(steps=(ONE, MAYBE)), Plan(steps=(TWO,)), EMPTY).reach(confirm)
    assert asked == [2]
    other = step("another", command("act 3"))
    site = Site(tmp_path, Plan(steps=(ONE, MAYBE)), Plan(steps=(other,)), EMPTY)
    site.reach(confirm)
    assert asked == [2, 2, 1]
    site = Site(tmp_path, Plan(steps=(ONE, MAYBE)), Plan(steps=(other,)), EMPTY)
    site.fails(Interrupted, lambda plan: len(plan.steps) == 2)
    assert site.acts == ["act 1"]


def test_without_a_journal_nothing_is_run(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))
    site.folder.full = True
    site.fails(Unready)
    assert site.acts == []


def test_a_host_that_goes_down_needs_no_journal(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE, TWO)), EMPTY)
    site.folder.full = True
    site.context = replace(site.context, unattended=True)
    report = site.reach()
    assert (report.ok, report.journal) == (True, "")
    assert site.acts == ["act 1", "act 2"]
    (told,) = [line for line in site.ui.told if "journal" in line]
    assert "No space left on device; this run goes on without one" in told


def test_only_one_run_at_a_time(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))
    with Lock(str(tmp_path / "lock")).hold("start"):
        assert "start, pid" in site.fails(Busy).message
    assert site.looked == 0


@pytest.mark.parametrize(
    ("argv", "again"),
    [
        (("--spec", "/my spec", "apply", "web"), "kvmkeep --spec '/my spec' apply web"),
        (("backup", "run", "--all"), "kvmkeep apply"),
        ((), "kvmkeep apply"),
    ],
)
def test_what_to_type_next_is_what_was_typed_if_it_was_this_goal(
    tmp_path: Path, argv: tuple[str, ...], again: str
) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)), answers={"act": lambda _: ended(1)})
    site.context = replace(site.context, argv=("kvmkeep", *argv))
    assert f"To go on, type: {again}\n" in site.fails(StepFailed).message


def test_the_watch_of_a_timer_is_waited_for(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)), EMPTY)
    with ExitStack() as first:
        first.enter_context(Lock(str(tmp_path / "lock")).hold("watch"))
        site.ui.waiting = lambda *_: first.close()  # type: ignore[method-assign]
        site.reach()
    assert site.acts == ["act 1"]


def test_who_waits_for_the_watch_can_stop(tmp_path: Path) -> None:
    site = Site(tmp_path, Plan(steps=(ONE,)))
    site.ui.waiting = lambda *_: site.context.stop.press()  # type: ignore[method-assign]
    with Lock(str(tmp_path / "lock")).hold("watch"):
        site.fails(Declined)
    assert site.looked == 0


def test_a_checkpoint_of_a_killed_run_is_waited_for_before_each_look(tmp_path: Path) -> None:
    listed = {"busctl": lambda n: ended(stdout='ao 1 "/c/1"' if n == 1 else "ao 0")}
    site = Site(tmp_path, Plan(steps=(ONE,)), EMPTY, answers=listed)
    site.reach()
    assert [line.split()[0] for line in site.door.ran] == ["busctl", "busctl", "act", "busctl"]


def test_where_nobody_attends_no_checkpoint_of_others_is_waited_for(tmp_path: Path) -> None:
    listed = {"busctl": lambda _: ended(stdout='ao 1 "/c/1"')}
    site = Site(tmp_path, Plan(steps=(ONE,)), EMPTY, answers=listed)
    site.context = replace(site.context, unattended=True)
    assert site.reach().ok


def test_a_bug_is_told_to_the_journal(tmp_path: Path) -> None:
    def broken(_number: int) -> object:
        raise ZeroDivisionError

    site = Site(tmp_path, Plan(steps=(ONE,)), answers={"act": broken})
    with pytest.raises(ZeroDivisionError):
        site.reach()
    assert site.outcome == "ended by an unexpected error"


ALONE = replace(step("db", command("act db")), subject="guest db", isolated=True)
BESIDE = replace(step("web", command("act web")), subject="guest web")


def test_a_step_alone_is_tried_again_after_a_new_look(tmp_path: Path) -> None:
    answers = {"act db": lambda number: ended(1 if number < 3 else 0)}
    site = Site(
        tmp_path, Plan(steps=(ALONE, BESIDE)), Plan(steps=(ALONE,)), Plan(steps=(ALONE,)), EMPTY,
        answers=answers,
    )  # fmt: skip
    site.reach()
    assert site.acts == ["act db", "act web", "act db", "act db"]
    assert site.door.now > PAUSE + 2 * PAUSE
    assert site.outcome == "done"


def test_and_not_for_ever(tmp_path: Path) -> None:
    answers = {"act db": lambda _: ended(1, stderr="no such disk")}
    site = Site(tmp_path, Plan(steps=(ALONE, BESIDE)), answers=answers)
    error = site.fails(StepFailed)
    assert site.acts.count("act db") == TRIES
    assert "guest db: db: failed" in error.message
    assert "no such disk" in error.message
    assert "guest web" not in error.message


@pytest.mark.parametrize(
    ("before", "tries", "told"),
    [
        (2, TRIES, "Not all went well, and trying again did not help:"),
        (ROUNDS - 1, 1, "Not all went well:"),
    ],
)
def test_its_own_tries_are_counted_and_not_the_rounds_before_it(
    tmp_path: Path, before: int, tries: int, told: str
) -> None:
    site = Site(
        tmp_path, *[Plan(steps=(ONE, MAYBE))] * before, Plan(steps=(ALONE,)),
        answers={"act db": lambda _: ended(1)},
    )  # fmt: skip
    error = site.fails(StepFailed)
    assert site.acts.count("act db") == tries
    assert error.message.startswith(told)


def test_one_that_stays_dead_ends_no_tries_of_those_just_reached(tmp_path: Path) -> None:
    late = replace(step("web", command("act web")), subject="guest web", isolated=True)
    dead = replace(ALONE, subject="guest dead", what="dead", actions=(command("act dead"),))
    late = replace(late, after=(ALONE.subject,))
    answers = {
        "act dead": lambda _: ended(1),
        "act db": lambda number: ended(1 if number < TRIES else 0),
        "act web": lambda number: ended(1 if number < 2 else 0),
    }
    looks = [Plan(steps=(dead, ALONE, late))] * TRIES + [Plan(steps=(dead, late))]
    site = Site(tmp_path, *looks, answers=answers)
    error = site.fails(StepFailed)
    assert site.acts.count("act web") == 2
    assert site.acts.count("act dead") == TRIES + 1
    assert error.message.startswith("Not all went well, and trying again did not help:")


def test_a_plan_for_once_is_not_tried_again(tmp_path: Path) -> None:
    plan = Plan(steps=(step("one", command("act fails"), isolated=True),), once=True)
    site = Site(tmp_path, plan, answers={"act fails": lambda _: ended(1)})
    error = site.fails(StepFailed)
    assert site.acts == ["act fails"]
    assert error.message.startswith("Not all went well:")


class Kept:
    """A door behind which only the file of the last good spec is looked for."""

    def __init__(self, *, full: bool) -> None:
        self.full = full
        self.written: list[WriteFile] = []

    def read(self, path: str, limit: int) -> bytes | None:
        assert (path, limit > 0) == (GOOD_SPEC, True)
        return self.written[-1].content if self.written else None

    def write(self, file: WriteFile) -> None:
        if self.full:
            raise OSError(28, "No space left on device", file.path)
        self.written.append(file)


@pytest.mark.parametrize("full", [False, True])
def test_a_spec_is_kept_once_and_a_full_disk_only_told(tmp_path: Path, full: bool) -> None:  # noqa: FBT001
    site = Site(tmp_path)
    door = Kept(full=full)
    context = replace(site.context, door=door)  # type: ignore[arg-type]
    for files in ({"host.yaml": b"a"}, {"host.yaml": b"a"}, {}, {"host.yaml": b"b"}):
        keep_spec(context, files)
    assert len(door.written) == (0 if full else 2)
    warnings = [line for line in site.ui.told if "could not be kept" in line]
    assert len(warnings) == (3 if full else 0)


def test_a_run_of_nobody_keeps_no_spec_without_guests_in_place_of_one_with_some(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    door = Kept(full=False)
    alone = replace(site.context, door=door, unattended=True)  # type: ignore[arg-type]
    bare, whole = {"host.yaml": b"a"}, {"host.yaml": b"a", "guests/web.yaml": b"b"}
    for files in (bare, whole, bare):
        keep_spec(alone, files)
    assert len(door.written) == 2
    assert site.ui.told[-1] == (
        "warn the spec has no guests any more: the last good one stays as it was, with some; look "
        f"whether {site.context.spec_dir}/guests is mounted"
    )
    keep_spec(replace(alone, typed=True), bare)
    keep_spec(replace(alone, unattended=False), bare)
    assert len(door.written) == 2, "a timer's run of another verb"
    keep_spec(replace(alone, unattended=False, typed=True), bare)
    assert len(door.written) == 3, "somebody saw it"


def test_notes_that_are_to_be_known_later_are_kept_without_a_step(tmp_path: Path) -> None:
    note = Note(subject="guest a", text="held back: its LV is gone")
    site = Site(tmp_path, Plan(notes=(note,), recorded=True))
    assert site.reach().ok
    (lines,) = site.folder.files.values()
    told = [json.loads(line) for line in lines.lines]
    assert [one["kind"] for one in told] == ["begin", "plan", "note", "end"]
    assert (told[2]["subject"], told[2]["text"]) == (note.subject, note.text)
    site = Site(tmp_path, Plan(recorded=True))
    site.reach()
    assert site.folder.files == {}


def test_what_is_seen_beside_the_facts_is_seen_through_the_runs_door(tmp_path: Path) -> None:
    def beside(door: Door) -> bytes:
        asked.append(door)
        return b"seen"

    asked: list[Door] = []
    site = Site(tmp_path, EMPTY)
    assert look_beside(site.context) == b""
    assert look_beside(replace(site.context, beside=beside)) == b"seen"
    assert asked == [site.door]
