"""What a tired person reads."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.model.command import Checkpoint, Command, Poll, WriteFile
from kvmkeep.model.plan import (
    Failure,
    Left,
    Note,
    Outcome,
    Plan,
    Refusal,
    Report,
    Risk,
    Step,
    StepReport,
)
from kvmkeep.report.outcome import failure_text, leftover_text, refusal_text
from kvmkeep.report.text import plan_text as text_of
from tests.unit.apply.scripted import UNDO, command, step


def plan_text(plan: Plan, *, explain: bool = False, width: int = 80) -> str:
    """Return what `kvmkeep plan` shows."""
    return text_of(plan, typed="kvmkeep plan", then="kvmkeep apply", explain=explain, width=width)


LONG = "a very long sentence that surely does not fit into a terminal of forty columns at all"

PLAN = Plan(
    steps=(
        step("fetch it", command("curl x"), subject="image rocky9"),
        step("bring up br", command("nmcli up"), subject="network public", risk=Risk.NETWORK),
        step("make the LV", command("lvcreate x"), probe=command("lvs x")),
        step("start it", command("virsh start a"), risk=Risk.GUEST),
        step("start b", command("virsh start b"), risk=Risk.GUEST, assumes="it has cloud-init"),
    ),
    notes=(Note(subject="image rocky9", text="it has no checksum"),),
)


def test_a_plan_reads_like_this() -> None:
    assert (
        plan_text(PLAN)
        == """\
image rocky9
  1. fetch it
     because it is wanted

network public
  2. bring up br
     because it is wanted
     risk: changes interfaces of the uplink; rolled back unless it proves good

guest a
  3. make the LV
     because it is wanted
  4. start it
     because it is wanted
     risk: starts, stops or changes a guest
  5. start b
     because it is wanted
     risk: starts, stops or changes a guest
     from here on as if it has cloud-init; planned anew once that is known

Worth knowing:
  image rocky9: it has no checksum

5 steps, 1 of them touches the network, 2 of them touch guests, 1 planned anew
once what is assumed is known. To run it, type: kvmkeep apply
"""
    )


def test_what_is_to_be_typed_is_never_wrapped() -> None:
    typed = "kvmkeep remove --shutdown --limit 600 --spec '/srv/my spec' web"
    refused = Plan(refusals=(Refusal(subject="guest a", reason="no room", hint=""),))
    assert text_of(refused, typed=typed, width=60).endswith(f"then type:\n  {typed}\n")
    then = "kvmkeep apply --spec '/srv/my spec' a rather-long-name another-long-name"
    assert text_of(PLAN, typed="", then=then).endswith(f" To run it, type:\n  {then}\n")


def test_a_plan_of_another_verb_invites_to_nothing() -> None:
    one = Plan(steps=(step("go", command("a")),))
    assert text_of(one, typed="kvmkeep start a -n").endswith("\n\n1 step.\n")
    assert text_of(Plan(), typed="kvmkeep start a -n") == "Nothing to do.\n"


def test_an_empty_plan_says_so() -> None:
    assert plan_text(Plan()) == "Nothing to do: the host is as the spec says.\n"


def test_one_step_is_one_step() -> None:
    one = Plan(steps=(step("go", command("a"), why=""),))
    assert (
        plan_text(one)
        == """\
guest a
  1. go

1 step. To run it, type: kvmkeep apply
"""
    )


def test_all_refusals_come_first() -> None:
    refusals = (
        Refusal(subject="guest a", reason="no room", hint="make room"),
        Refusal(subject="network b", reason="VLAN 5 is taken", hint=""),
    )
    text = plan_text(Plan(steps=PLAN.steps, refusals=refusals))
    assert text.startswith("""\
Refused, for 2 reasons. Nothing is done until all are mended:
  guest a: no room
    -> make room
  network b: VLAN 5 is taken

image rocky9
""")
    assert text.endswith("Mend what is named above, then type: kvmkeep plan\n")
    assert (
        refusal_text(Plan(refusals=refusals[:1]))
        == """\
Refused, for 1 reason. Nothing is done until it is mended:
  guest a: no room
    -> make room"""
    )


def test_each_command_can_be_shown_exactly() -> None:
    argv = ("printf", "it's $HOME", "x" * 90)
    secret = Command(argv=("chpasswd",), why="w", stdin=b"root:x\n", secret_stdin=True)
    actions = (
        Command(argv=argv, why="w"),
        secret,
        Command(argv=("virsh", "dumpxml"), why="w", stdin=b"12", stdout_to="/a b"),
        WriteFile(path="/etc/x", content=b"12345", why="w", mode=0o640),
        Poll(command=command("virsh ping"), limit=30, message="m"),
        Checkpoint(undo=UNDO,
            devices=("/d",), timeout=60, body=(command("nmcli up"),), why="w",
            verify=(Poll(command=command("ping gw"), limit=5, message="m"),),
        ),
    )  # fmt: skip
    text = plan_text(Plan(steps=(step("go", *actions, probe=command("lvs x")),)), explain=True)
    lines = [line.strip() for line in text.splitlines()]
    assert "? lvs x" in lines
    assert f"$ {shlex.join(argv)}" in lines
    assert "$ chpasswd   < (secret input, 7 bytes)" in lines
    assert "$ virsh dumpxml   < (input, 2 bytes) > '/a b'" in lines
    assert "write /etc/x (5 bytes, mode 0640)" in lines
    assert "$ virsh ping   # until it succeeds, at most 30 s" in lines
    assert "$ nmcli up" in lines
    assert [line for line in lines if "CheckpointCreate aouu 1 /d 60 2" in line]
    assert [line for line in lines if "CheckpointDestroy" in line]
    assert "root:x" not in text


@pytest.mark.parametrize("width", [1, 20, 40, 80, 500])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    plan = Plan(
        steps=(step(LONG, command("a"), why=LONG, risk=Risk.NETWORK, assumes=LONG),),
        refusals=(Refusal(subject="guest a", reason=LONG, hint=LONG),),
        notes=(Note(subject="guest a", text=LONG),),
    )
    text = plan_text(plan, width=width)
    assert max(map(len, text.splitlines())) <= max(40, min(width, 100))
    assert " ".join(text.split()).count("a very long sentence") == 6


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_moves_the_cursor(text: str) -> None:
    plan = Plan(
        steps=(Step(noun=PLAN.steps[0].noun, subject=text, what=text, why=text, assumes=text,
                    actions=(Command(argv=("a", text), why=text),)),),
        refusals=(Refusal(subject=text, reason=text, hint=text),),
        notes=(Note(subject=text, text=text),),
    )  # fmt: skip
    for shown in (plan_text(plan, explain=True), leftover_text(plan)):
        assert not [c for c in shown if ord(c) < 32 and c != "\n"]
        assert not set(shown) & set("\x7f\x80\x9b\u202e\u2066")


def failed(failure: Failure | None, outcome: Outcome = Outcome.FAILED, done: int = 2) -> str:
    steps = tuple(
        StepReport(step=one, outcome=Outcome.DONE, seconds=1.0) for one in PLAN.steps[:done]
    )
    last = StepReport(step=PLAN.steps[done], outcome=outcome, seconds=1.0, failure=failure)
    return failure_text(Report(steps=(*steps, last), total=5, journal="/j.jsonl"), "apply")


def failure(**more: object) -> Failure:
    values = {"doing": "make it", "command": command("lvcreate 'a", timeout=60), **more}
    return Failure(**values)  # type: ignore[arg-type]


def test_a_failure_reads_like_this() -> None:
    said = "\x1b[31mno space\n\nuse less\n"
    assert (
        failed(failure(code=5, said=said, aftermath="It was undone."))
        == """\
Stopped in step 3 of 5: make the LV
What was being done: make it
The command:
  lvcreate ''"'"'a'
It ended with exit code 5.
Its last lines:
  \\x1b[31mno space
  use less
It was undone.

Step 3 may be half done, and will be done again; the 2 before it are done; \
the 2 after it were not begun. Nothing was lost.
To go on, type: kvmkeep apply
Full log: /j.jsonl"""
    )


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        ({"code": 5}, "It ended with exit code 5."),
        ({"code": -9}, "It was ended by signal 9 (SIGKILL)."),
        ({"code": -99}, "It was ended by signal 99 (unknown)."),
        ({"code": -15, "timed_out": True}, "It did not end within 60 s and was stopped."),
        ({"code": 127}, "It could not be run: there is no program lvcreate."),
    ],
)
def test_each_end_has_its_own_sentence(ending: dict[str, object], sentence: str) -> None:
    assert sentence in failed(failure(**ending)).splitlines()


def test_where_no_command_is_to_blame_there_is_none() -> None:
    text = failed(Failure(doing="keep its XML", problem="The file /x could not be written."))
    assert "The command:" not in text
    assert "The file /x could not be written." in text


def test_what_was_not_begun_is_said() -> None:
    text = failed(None, Outcome.INTERRUPTED, done=0)
    assert text.startswith("You asked to stop. Stopped before step 1 of 5: fetch it\n")
    assert "Nothing of step 1 was done; no step was done before it; the 4 after it" in text
    text = failed(failure(code=1), Outcome.CHANGED, done=1)
    assert text.startswith("The host has changed since the plan was made. Stopped before step 2")
    assert "Nothing of step 2 was done; step 1 is done; the 3 after it" in text


def test_a_step_that_was_only_ended_was_not_left_alone() -> None:
    ended = failure(
        code=-15, left=Left.NOTHING, aftermath="What always ends this step was done: x."
    )
    text = failed(ended, Outcome.INTERRUPTED)
    assert (
        "Nothing of step 3 was done but what always ends it; the 2 before it are done; the 2 after"
        in text
    )


def test_an_interrupted_step_may_be_half_done() -> None:
    text = failed(failure(code=-15), Outcome.INTERRUPTED, done=4)
    assert text.startswith("You asked to stop. Stopped in step 5 of 5")
    assert (
        "Step 5 may be half done, and will be done again; the 4 before it are done; no more was"
        in text
    )


@pytest.mark.parametrize(
    ("left", "sentence"),
    [
        (Left.NOTHING, "Nothing of step 3 was done; the 2 before it"),
        (Left.UNDONE, "Nothing is left of step 3, and it will be done again; the 2 before it"),
        (Left.UNDOING, "Step 3 is being undone, and will be done again; the 2 before it"),
        (Left.DONE, "Step 3 is done; the 2 before it"),
    ],
)
@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.INTERRUPTED])
def test_what_is_left_of_the_step_is_said(left: Left, sentence: str, outcome: Outcome) -> None:
    text = failed(failure(code=1, left=left), outcome)
    assert sentence in text
    assert "half done" not in text


def test_a_first_step_that_is_done_is_not_done_as_well() -> None:
    text = failed(failure(code=1, left=Left.DONE), done=0)
    assert "Step 1 is done; no step was done before it; the 4" in text


def test_a_run_without_a_journal_names_none() -> None:
    last = StepReport(step=PLAN.steps[0], outcome=Outcome.FAILED, seconds=0.0)
    assert "story" not in failure_text(Report(steps=(last,), total=1, journal=""), "start")


def test_what_is_left_is_listed() -> None:
    refusals = (Refusal(subject="guest b", reason="gone", hint=""),)
    assert (
        leftover_text(Plan(steps=PLAN.steps[:1], refusals=refusals))
        == """\
All steps were done, but 2 things are still to do for this command:
  image rocky9: fetch it
  guest b: gone"""
    )
    assert "1 thing is" in leftover_text(Plan(refusals=refusals))
