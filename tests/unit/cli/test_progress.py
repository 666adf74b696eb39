from __future__ import annotations

import io

import pytest

from kvmkeep.cli.progress import DrawnUi, PlainUi, duration, make_ui, remaining, speed
from kvmkeep.cli.streams import Streams
from kvmkeep.model.plan import Noun, Outcome, Report, Step, StepReport

STEP = Step(
    noun=Noun.STORAGE, subject="guest web", what="make the LV\x1b[2J", why="wanted", actions=()
)
MIB = 1 << 20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (3.14, "3.1 s"),
        (59.4, "59 s"),
        (245, "4 min 05 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_rate_and_remaining_time() -> None:
    assert speed(120.5 * MIB) == "120.5 MiB/s"
    assert remaining(50 * MIB, 150 * MIB, 10 * MIB) == "10 s left"
    assert remaining(0, 100, 0) == ""
    assert remaining(100, 100, 5) == ""


def test_without_a_terminal_there_are_plain_lines() -> None:
    err = io.StringIO()
    ui = make_ui(Streams(None, err))
    assert type(ui) is PlainUi
    ui.round_begins(1)
    ui.step_begins(1, 2, STEP)
    for percent in range(101):
        ui.progress(percent * MIB, 100 * MIB, MIB)
    ui.step_ends(1, 2, StepReport(step=STEP, outcome=Outcome.DONE, seconds=2.0))
    ui.step_begins(2, 2, STEP)
    for second in range(150):
        ui.waiting("guest web to answer", second, 600)
    ui.step_ends(2, 2, StepReport(step=STEP, outcome=Outcome.FAILED, seconds=150))
    ui.round_begins(2)
    ui.warn("the disk is nearly full")
    ui.stopping(False)
    ui.stopping(True)
    ui.run_ends(Report(steps=(), total=0, journal="/var/lib/x.jsonl"))
    ui.close()
    said = err.getvalue()
    assert "\x1b" not in said
    assert "\r" not in said
    assert said.count(" %") == 10
    assert "  50 %, 1 MiB/s, 50 s left" in said
    assert said.count("waiting for guest web to answer: ") == 3
    assert "[1/2] done, 2.0 s" in said
    assert "[2/2] FAILED, 2 min 30 s" in said
    assert "Looking at the host again" in said
    assert "Journal: /var/lib/x.jsonl" in said


def test_unknown_totals_do_not_divide_by_zero() -> None:
    ui = PlainUi(Streams(None, io.StringIO()))
    ui.progress(5, 0, 0)


@pytest.mark.parametrize("width", ["80", "40"])
def test_on_a_terminal_a_bar_moves_and_is_taken_away(
    width: str, terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", width)
    ui = make_ui(Streams(None, terminal))
    assert type(ui) is DrawnUi
    ui.step_begins(1, 1, STEP)
    ui.progress(30 * MIB, 100 * MIB, 10 * MIB)
    ui.progress(30 * MIB, 0, 10 * MIB)
    ui.waiting("guest web to answer\x1b[2J", 61, 600)
    ui.warn("careful")
    ui.progress(100 * MIB, 100 * MIB, 0)
    ui.stopping(False)
    ui.step_ends(1, 1, StepReport(step=STEP, outcome=Outcome.DONE, seconds=3))
    ui.run_ends(Report(steps=(), total=0, journal=""))
    ui.close()
    said = terminal.getvalue()
    assert "30 %" in said
    assert "10 MiB/s" in said
    assert "7.0 s left" in said
    assert "\x1b[2J" not in said
    # ECMA-48 DECTCEM: the cursor that was hidden is shown again at the end.
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")


def test_a_terminal_that_fails_is_left_alone() -> None:
    Streams(None, None).talk("nobody hears this")
