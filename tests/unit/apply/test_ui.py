"""A screen shows what a run does, and never stops it."""

from __future__ import annotations

import pytest

from kvmkeep.apply.ui import SteadyUi, Ui
from kvmkeep.model.plan import Outcome, Report, StepReport
from tests.unit.apply.scripted import RecordingUi, command, step


class BrokenUi:
    """A terminal that went away."""

    def __getattr__(self, name: str) -> object:
        def fail(*_arguments: object, **_named: object) -> None:
            raise BrokenPipeError(name)

        return fail


@pytest.mark.parametrize("ui", [SteadyUi(BrokenUi()), Ui(), SteadyUi(RecordingUi())])  # type: ignore[arg-type]
def test_no_screen_stops_a_run(ui: Ui) -> None:
    one = step("make it", command("lvcreate"))
    ui.round_begins(1)
    ui.step_begins(1, 1, one)
    ui.progress(1, 2, 3.0)
    ui.waiting("it", 1.0, 2.0)
    ui.step_ends(1, 1, StepReport(step=one, outcome=Outcome.DONE, seconds=1.0))
    ui.stopping(urgent=True)
    ui.warn("careful")
    ui.run_ends(Report(steps=(), total=0, journal=""))


def test_all_that_a_run_tells_is_passed_on() -> None:
    told = {name for name in vars(Ui) if not name.startswith("_")}
    assert "run_ends" in told
    assert told <= set(vars(SteadyUi))
    ui = RecordingUi()
    SteadyUi(ui).warn("careful")
    assert ui.told == ["warn careful"]
