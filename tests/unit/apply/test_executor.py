"""A plan is carried out in order, and stops cleanly at whatever goes wrong."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from kvmkeep.apply.executor import apply_plan
from kvmkeep.errors import Refused
from kvmkeep.host.door import Result
from kvmkeep.model.command import Checkpoint, Meaning, Poll, Progress, WriteFile
from kvmkeep.model.plan import Left, Outcome, Plan, Refusal, Report
from tests.unit.apply.scripted import (
    UNDO,
    MemoryFolder,
    Mode,
    RecordingUi,
    ScriptedDoor,
    command,
    ended,
    new_journal,
    step,
)

CHECKPOINT = "busctl call org.freedesktop.NetworkManager /org/freedesktop/NetworkManager"
MADE = {
    f"{CHECKPOINT} org.freedesktop.NetworkManager CheckpointCreate": lambda _n: ended(
        stdout='o "/org/freedesktop/NetworkManager/Checkpoint/1"\n'
    )
}

CHANGE = Checkpoint(
    undo=UNDO,
    devices=("/d/1",),
    timeout=60,
    body=(command("nmcli add"), command("nmcli up")),
    verify=(Poll(command=command("ping gw"), limit=10, message="the gateway"),),
    why="bring up the bridge",
)

PLAN = Plan(
    steps=(
        step("make the LV", command("lvcreate x"), probe=command("lvs x", ok=(5,))),
        step(
            "fill it",
            command("qemu-img convert", progress=Progress.QEMU_IMG, total_bytes=100),
            command("lvchange x"),
        ),
        step("save", WriteFile(path="/root/kvm/a.xml", content=b"<a/>", why="keep its XML")),
        step(
            "start",
            command("virsh start a"),
            Poll(command=command("virsh ping a"), limit=30, message="a to answer", otherwise="Look."),
        ),
        step(
            "bridge",
            CHANGE,
        ),
    )
)  # fmt: skip

ORDER = [
    "lvs x",
    "lvcreate x",
    "qemu-img convert",
    "lvchange x",
    "write /root/kvm/a.xml",
    "virsh start a",
    "virsh ping a",
    "write /undo",
    "systemd-run undo",
    "busctl ... CheckpointCreate",
    "watch it",
    "nmcli add",
    "nmcli up",
    "ping gw",
    "busctl ... CheckpointDestroy",
    "systemctl stop timer",
    "rm /undo",
    "systemctl daemon-reload",
]
DISARMED = ["systemctl stop timer", "rm /undo", "systemctl daemon-reload"]
UNDONE = ["systemctl start undo", "busctl ... CheckpointDestroy", "systemctl daemon-reload"]  # fmt: skip


def world(**more: object) -> ScriptedDoor:
    return ScriptedDoor({"lvs x": lambda _n: ended(5), **MADE}, **more)  # type: ignore[arg-type]


def short(lines: list[str]) -> list[str]:
    watched = str(CHANGE.watch("/org/freedesktop/NetworkManager/Checkpoint/1"))
    words = [("watch it" if line == watched else line).split() for line in lines]
    return [f"busctl ... {w[5]}" if w[0] == "busctl" else " ".join(w) for w in words]


def carry_out(door: ScriptedDoor, plan: Plan = PLAN, ui: RecordingUi | None = None) -> Report:
    return apply_plan(plan, door, new_journal(), ui or RecordingUi(), door.stop)


def test_all_actions_run_in_order() -> None:
    door = world()
    ui = RecordingUi()
    report = carry_out(door, ui=ui)
    assert short(door.ran) == ORDER
    assert report.ok
    assert report.total == 5
    assert [one.outcome for one in report.steps] == [Outcome.DONE] * 5
    assert ui.told[:2] == ["begin 1/5 make the LV", "end 1/5 done"]
    assert "progress 60/100 at 50" in ui.told
    assert "waiting a to answer 0/30" in ui.told


STEP_OF = [1, 1, 2, 2, 3, 4, 4, *[5] * 11]
POLLS = [number for number, line in enumerate(ORDER) if "ping" in line]
OTHERS = [number for number in range(len(ORDER)) if number not in POLLS]


def follows(number: int) -> list[str]:
    """Return what is run once an action of the network's change has failed."""
    if number < ORDER.index("write /undo"):
        return []
    if number == ORDER.index("watch it"):
        return ["busctl ... CheckpointDestroy", *DISARMED]
    if number < ORDER.index("nmcli add"):
        return DISARMED
    kept = number >= ORDER.index("systemctl stop timer")
    return ["systemctl daemon-reload", UNDONE[0]] if kept else UNDONE


def left(report: Report) -> Left | None:
    failure = report.steps[-1].failure
    return None if failure is None else failure.left


def check_stopped(door: ScriptedDoor, report: Report, number: int) -> None:
    last = report.steps[-1]
    assert not report.ok
    assert len(report.steps) == STEP_OF[number]
    if number == 0 and last.failure is not None:
        assert left(report) is Left.NOTHING, "a probe changes nothing"
    assert all(one.outcome is Outcome.DONE for one in report.steps[:-1])
    after = short(door.ran[number + 1 :])
    assert after == follows(number)
    if number >= ORDER.index("write /undo"):
        assert last.failure is not None
        begun = number >= ORDER.index("nmcli add")
        assert ("rolled back" if begun else "not touched") in last.failure.aftermath


@pytest.mark.parametrize("mode", [Mode.BEFORE, Mode.AFTER, Mode.HANG])
@pytest.mark.parametrize("number", OTHERS)
def test_a_failure_stops_the_run_in_its_step(number: int, mode: Mode) -> None:
    door = world(fault=(number, mode))
    report = carry_out(door)
    check_stopped(door, report, number)
    last = report.steps[-1]
    changed = number == 0 and mode is not Mode.HANG
    assert last.outcome is (Outcome.CHANGED if changed else Outcome.FAILED)
    assert last.failure is not None
    assert last.detail
    if not ORDER[number].startswith("write"):
        assert last.failure.command is not None
        assert short([str(last.failure.command)]) == [ORDER[number]]
        assert last.failure.timed_out == (mode is Mode.HANG)
    else:
        assert "No space left on device" in last.failure.problem


@pytest.mark.parametrize("number", POLLS)
@pytest.mark.parametrize("mode", [Mode.BEFORE, Mode.AFTER])
def test_a_poll_forgives_a_failure(number: int, mode: Mode) -> None:
    door = world(fault=(number, mode))
    assert carry_out(door).ok
    assert short(door.ran) == [*ORDER[: number + 1], *ORDER[number:]]


@pytest.mark.parametrize("number", range(len(ORDER)))
def test_ctrl_c_in_a_command_is_an_interruption(number: int) -> None:
    door = world(fault=(number, Mode.KEYBOARD))
    report = carry_out(door)
    assert report.steps[-1].outcome is Outcome.INTERRUPTED
    after = short(door.ran[number + 1 :])
    kept = ORDER[number] in DISARMED  # whoever else is to run it next finds the undo armed
    assert after == ([] if kept else follows(number))


@pytest.mark.parametrize("number", range(len(ORDER)))
def test_a_request_to_stop_is_heard_at_each_action(number: int) -> None:
    door = world(stops_at=number)
    report = carry_out(door)
    ran = short(door.ran)
    if number >= ORDER.index("busctl ... CheckpointDestroy"):
        assert report.ok  # too late to stop anything
        return
    assert report.steps[-1].outcome is Outcome.INTERRUPTED
    expected = {
        "lvs x": ["lvs x", "lvcreate x"],
        "qemu-img convert": ["qemu-img convert", "lvchange x"],
    }
    armed, begun = ORDER.index("write /undo"), ORDER.index("nmcli add")
    if number >= armed:
        assert ran == [*ORDER[: max(number + 1, begun)], *UNDONE]
        return
    assert ran == [*ORDER[:number], *expected.get(ORDER[number], [ORDER[number]])]


def test_a_step_that_was_not_begun_has_no_failure() -> None:
    door = world()
    door.stop.press()
    report = carry_out(door)
    assert door.ran == []
    (only,) = report.steps
    assert (only.outcome, only.failure) == (Outcome.INTERRUPTED, None)


def test_a_long_command_is_not_begun_after_a_request_to_stop() -> None:
    long = command("qemu-img convert", progress=Progress.QEMU_IMG)
    plan = Plan(steps=(step("fill", command("lvcreate x"), long),))
    door = ScriptedDoor(stops_at=0)
    report = carry_out(door, plan)
    assert door.ran == ["lvcreate x"]
    failure = report.steps[0].failure
    assert failure is not None
    assert "you asked to stop" in failure.problem
    assert left(report) is Left.HALF, "the first command was run"


def test_a_command_that_was_ended_on_request_is_an_interruption() -> None:
    door = ScriptedDoor(fault=(0, Mode.BEFORE), stops_at=0)
    door.stop.ended_command = True
    report = carry_out(door, Plan(steps=(step("fill", command("lvcreate x")),)))
    assert report.steps[0].outcome is Outcome.INTERRUPTED


def test_a_failure_beside_a_request_to_stop_is_a_failure() -> None:
    door = ScriptedDoor(fault=(0, Mode.BEFORE), stops_at=0)
    report = carry_out(door, Plan(steps=(step("fill", command("lvcreate x")),)))
    assert report.steps[0].outcome is Outcome.FAILED


def test_only_certain_steps_run_and_numbers_go_on() -> None:
    ui = RecordingUi()
    plan = Plan(steps=(step("one", command("a")), step("two", command("b"), assumes="something")))
    door = ScriptedDoor()
    report = apply_plan(plan, door, new_journal(), ui, done=3)
    assert door.ran == ["a"]
    assert report.total == 1
    assert report.ok
    assert ui.told == ["begin 4/5 one", "end 4/5 done"]


def test_a_refused_plan_never_runs() -> None:
    refusal = Refusal(subject="guest a", reason="no room", hint="make room")
    door = ScriptedDoor()
    with pytest.raises(Refused, match="no room"):
        carry_out(door, Plan(steps=PLAN.steps, refusals=(refusal,)))
    assert door.ran == []


def test_an_unexpected_answer_is_quoted() -> None:
    door = ScriptedDoor({"lvs": lambda _n: ended(stdout="  no \n")})
    plan = Plan(steps=(step("look", command("lvs x", expect="yes")),))
    failure = carry_out(door, plan).steps[0].failure
    assert failure is not None
    assert failure.problem == "It answered 'no' where 'yes' was expected."


def test_what_a_bad_end_means_is_told_where_the_tool_does_not() -> None:
    meanings = (
        Meaning(words="404", sentence="It is gone."),
        Meaning(words="403", sentence="Not allowed."),
    )
    for said, problem in (("x 403\nin main.go:7", "Not allowed."), ("500", "")):
        end = ended(1, stderr=said)
        door = ScriptedDoor({"lvs": lambda _n, end=end: end})
        plan = Plan(steps=(step("look", replace(command("lvs x"), meanings=meanings)),))
        failure = carry_out(door, plan).steps[0].failure
        assert failure is not None
        assert failure.problem == problem
        assert failure.said == said


def test_how_far_a_command_was_is_not_what_it_said_last() -> None:
    end = ended(-15, stdout="    (1.00/100%)\r    (2.00/100%)\r")
    copy = command("qemu-img convert", progress=Progress.QEMU_IMG, total_bytes=100)
    door = ScriptedDoor({"qemu-img": lambda _n: end})
    failure = carry_out(door, Plan(steps=(step("copy", copy),))).steps[0].failure
    assert failure is not None
    assert (failure.code, failure.said) == (-15, "")


def test_secrets_are_not_told_by_what_a_tool_repeats() -> None:
    folder = MemoryFolder()
    door = ScriptedDoor({"chpasswd": lambda _n: ended(1, stderr="bad line: root:$6$abc$def\n")})
    secret = command("chpasswd x", stdin=b"root:$6$abc$def\nok\n", secret_stdin=True)
    write = WriteFile(path="/s", content=b"$6$abc$def", why="keep", secret=True)
    plan = Plan(steps=(step("set", write, secret),))
    report = apply_plan(plan, door, new_journal(folder), RecordingUi())
    told = b"".join(
        folder.files[name].lines[i]
        for name in folder.files
        for i in range(len(folder.files[name].lines))
    )
    assert b"$6$abc" not in told
    assert "$6$abc" not in repr(report.steps[0].detail)
    expected = command("chpasswd x", stdin=b"root:$6$abc$def\n", secret_stdin=True, expect="hm")
    door = ScriptedDoor({"chpasswd": lambda _n: ended(stdout="root:$6$abc$def")})
    report = carry_out(door, Plan(steps=(step("set", expected),)))
    assert "$6$abc" not in repr(report.steps[0].detail)


def test_a_poll_stops_at_its_limit_and_says_what_to_look_at() -> None:
    door = ScriptedDoor({"virsh": lambda _n: ended(1, stderr="not yet")})
    poll = Poll(command=command("virsh ping"), limit=10, message="a", otherwise="Look at it.")
    failure = carry_out(door, Plan(steps=(step("wait", poll),))).steps[0].failure
    assert failure is not None
    assert failure.problem == "It did not succeed within 10 s (5 tries). Look at it."
    assert failure.said == "not yet"
    assert door.now <= 11


def test_a_poll_that_hangs_does_not_outlive_its_limit() -> None:
    door = ScriptedDoor({"virsh": lambda _n: ended(1)}, fault=(0, Mode.HANG))
    poll = Poll(command=command("virsh ping", timeout=600), limit=10, message="a", every=0)
    carry_out(door, Plan(steps=(step("wait", poll),)))
    assert door.now <= 11


def test_a_poll_does_not_wait_for_a_missing_program() -> None:
    door = ScriptedDoor({"virsh": lambda _n: ended(127, stderr="not found")})
    poll = Poll(command=command("virsh ping"), limit=600, message="a")
    failure = carry_out(door, Plan(steps=(step("wait", poll),))).steps[0].failure
    assert failure is not None
    assert (failure.code, len(door.ran)) == (127, 1)


def test_a_poll_ends_at_a_request_to_stop() -> None:
    door = ScriptedDoor({"virsh": lambda _n: ended(1)}, stops_at=2)
    poll = Poll(command=command("virsh ping"), limit=600, message="a")
    report = carry_out(door, Plan(steps=(step("wait", poll),)))
    assert report.steps[0].outcome is Outcome.INTERRUPTED
    assert left(report) is Left.NOTHING
    assert len(door.ran) == 3


def test_a_request_in_the_last_try_is_an_interruption() -> None:
    door = ScriptedDoor({"virsh": lambda _n: ended(1)}, stops_at=0)
    poll = Poll(command=command("virsh ping"), limit=0.1, message="a")
    report = carry_out(door, Plan(steps=(step("wait", poll),)))
    assert report.steps[0].outcome is Outcome.INTERRUPTED


def test_the_journal_tells_each_command_before_it_runs() -> None:
    folder = MemoryFolder()
    door = world(fault=(2, Mode.KEYBOARD))
    apply_plan(PLAN, door, new_journal(folder), RecordingUi(), door.stop)
    (lines,) = folder.files.values()
    kinds = [json.loads(line)["kind"] for line in lines.lines]
    assert kinds == [
        "begin", "step", "command", "ended", "command", "ended", "step-ended", "step", "command",
        "step-ended",
    ]  # fmt: skip


def test_a_full_disk_does_not_stop_a_run_on_its_way() -> None:
    folder, ui = MemoryFolder(), RecordingUi()
    journal = new_journal(folder, ui)
    (lines,) = folder.files.values()
    lines.full = True
    door = world()
    assert apply_plan(PLAN, door, journal, ui, door.stop).ok
    assert len([one for one in ui.told if one.startswith("warn the journal")]) == 1


HELD = Plan(
    steps=(
        replace(
            step("hold", command("virsh suspend a"), command("lvcreate a")),
            finally_=(command("virsh resume a"), command("virsh domstate a")),
        ),
    )
)


def test_what_always_ends_a_step_is_run_after_its_actions() -> None:
    door = world()
    assert carry_out(door, HELD).ok
    assert short(door.ran) == [
        "virsh suspend a", "lvcreate a", "virsh resume a", "virsh domstate a"
    ]  # fmt: skip


def test_what_always_ends_a_step_is_run_after_a_failure_which_is_told() -> None:
    door = ScriptedDoor({"virsh suspend a": lambda _n: ended(1)})
    (report,) = carry_out(door, HELD).steps
    assert short(door.ran) == ["virsh suspend a", "virsh resume a", "virsh domstate a"]
    assert report.failure is not None
    assert report.failure.command == command("virsh suspend a")
    assert "What always ends this step was done" in report.failure.aftermath


def test_a_failing_end_fails_the_step_and_ends_the_rest_of_it() -> None:
    door = ScriptedDoor({"virsh resume a": lambda _n: ended(1)})
    (report,) = carry_out(door, HELD).steps
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    assert report.failure.command == command("virsh resume a")
    assert "virsh domstate a" not in door.ran
    door = ScriptedDoor({name: lambda _n: ended(1) for name in ("lvcreate a", "virsh resume a")})
    (report,) = carry_out(door, HELD).steps
    assert report.failure is not None
    assert report.failure.command == command("lvcreate a")
    assert "Then this failed as well" in report.failure.aftermath


def test_a_thorough_end_goes_on_behind_a_failure_and_tells_the_first() -> None:
    names = ("virsh resume a", "virsh domstate a")
    always, last = tuple(map(command, names)), (command("lvremove a"),)
    held = Plan(steps=(replace(HELD.steps[0], always=always, finally_=last),))
    door = ScriptedDoor({name: lambda _n: ended(1) for name in names})
    (report,) = carry_out(door, held).steps
    assert report.failure is not None
    assert report.failure.command == command("virsh resume a")
    assert short(door.ran)[2:] == [*names]


PLACED = Plan(
    steps=(
        replace(
            step("copy", command("cp a work"), command("chmod work")),
            place=(command("mv work b"),),
            finally_=(command("rm work"),),
        ),
    )
)


@pytest.mark.parametrize(
    ("failing", "left"),
    [
        ("cp a work", Left.UNDONE),
        ("chmod work", Left.UNDONE),
        ("mv work b", Left.HALF),
        ("rm work", Left.DONE),
    ],
)
def test_what_is_left_where_only_the_end_of_a_step_counts(failing: str, left: Left) -> None:
    (report,) = carry_out(ScriptedDoor({failing: lambda _n: ended(1)}), PLACED).steps
    assert report.failure is not None
    assert (report.failure.command, report.failure.left) == (command(failing), left)


def test_what_could_not_be_taken_away_is_left() -> None:
    door = ScriptedDoor({name: lambda _n: ended(1) for name in ("chmod work", "rm work")})
    (report,) = carry_out(door, PLACED).steps
    assert report.failure is not None
    assert report.failure.left is Left.HALF


@pytest.mark.parametrize(("pressed", "left"), [(0, Left.UNDONE), (1, Left.UNDONE), (2, Left.HALF)])
def test_a_request_to_stop_leaves_nothing_either(pressed: int, left: Left) -> None:
    line = " ".join(PLACED.steps[0].all_actions[pressed].argv)  # type: ignore[union-attr]
    door = world()

    def press(_n: int) -> Result:
        door.stop.press()
        door.stop.press()
        door.stop.ended_command = True
        return ended(-15)

    door.answers[line] = press
    (report,) = carry_out(door, PLACED).steps
    assert report.outcome is Outcome.INTERRUPTED
    assert report.failure is not None
    assert report.failure.left is left


def test_what_always_ends_a_step_is_not_hindered_by_a_request_to_stop() -> None:
    door = world()
    long = command("lvcreate a", progress=Progress.QEMU_IMG, total_bytes=1)
    plan = Plan(steps=(replace(HELD.steps[0], actions=(command("virsh suspend a"), long)),))
    door.answers["virsh suspend a"] = lambda _n: (door.stop.press(), door.stop.press(), ended())[2]
    (report,) = carry_out(door, plan).steps
    assert report.outcome is Outcome.INTERRUPTED
    assert short(door.ran)[-2:] == ["virsh resume a", "virsh domstate a"]


def test_what_always_ends_a_step_is_run_when_ctrl_c_comes_through() -> None:
    def pressed(_n: int) -> Result:
        raise KeyboardInterrupt

    door = ScriptedDoor({"lvcreate a": pressed})
    (report,) = carry_out(door, HELD).steps
    assert report.outcome is Outcome.INTERRUPTED
    assert short(door.ran)[-2:] == ["virsh resume a", "virsh domstate a"]


def test_a_step_alone_leaves_out_only_what_comes_after_it() -> None:
    door = ScriptedDoor({"act db": lambda _: ended(1, stderr="no")})
    one = replace(step("start db", command("act db")), subject="guest db", isolated=True)
    wait = replace(step("wait db", command("act wait")), subject="guest db", isolated=True)
    web = replace(step("start web", command("act web")), subject="guest web", after=("guest db",))
    mail = replace(step("start mail", command("act mail")), subject="guest mail")
    report = apply_plan(Plan(steps=(one, wait, web, mail)), door, new_journal(), RecordingUi())
    assert [one.outcome for one in report.steps] == ["failed", "skipped", "skipped", "done"]
    assert not report.ok
    assert report.steps[2].detail == "guest db did not get so far"
    assert door.ran == ["act db", "act mail"]


def test_what_comes_after_something_left_out_is_left_out_too() -> None:
    door = ScriptedDoor({"act a": lambda _: ended(1)})
    steps = (
        replace(step("a", command("act a")), subject="a", isolated=True),
        replace(step("b", command("act b")), subject="b", after=("a",)),
        replace(step("c", command("act c")), subject="c", after=("b",)),
    )
    report = apply_plan(Plan(steps=steps), door, new_journal(), RecordingUi())
    assert [one.outcome for one in report.steps] == ["failed", "skipped", "skipped"]
