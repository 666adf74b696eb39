"""What a run shows while it works: one that shows nothing, and one that can't fail.

All calls come from the run's own thread.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from kvmkeep.model.plan import Report, Step, StepReport


class Ui:
    """What a run tells while it works; this one shows nothing.

    Texts may hold what tools said: show them harmless.
    """

    def round_begins(self, number: int) -> None:
        """Begin to look at the host: the first time, again after new knowledge, or to verify."""

    def step_begins(self, number: int, total: int, step: Step) -> None:
        """Begin step `number` (from 1) of `total` that are planned so far."""

    def progress(self, done: int, total: int, rate: float) -> None:
        """Show bytes done, bytes in all (0: unknown) and bytes per second, some times a second."""

    def waiting(self, message: str, seconds: float, limit: float) -> None:
        """Show what is being waited for, for how long already and at most."""

    def step_ends(self, number: int, total: int, report: StepReport) -> None:
        """Tell how the step ended."""

    def stopping(self, urgent: bool) -> None:  # noqa: FBT001 - one question, one answer
        """Tell that a request to stop arrived; `urgent` when it was the second one."""

    def warn(self, message: str) -> None:
        """Tell of trouble that does not stop the run."""

    def run_ends(self, report: Report) -> None:
        """Tell what the run did, also when an error follows."""


class SteadyUi(Ui):
    """Passes everything on, and goes on without a screen when the terminal went away."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui


def _steady(name: str) -> Callable[..., None]:
    def passed_on(self: SteadyUi, *arguments: object, **named: object) -> None:
        with suppress(OSError, ValueError):
            getattr(self._ui, name)(*arguments, **named)

    return passed_on


for _name in (name for name in vars(Ui) if not name.startswith("_")):
    setattr(SteadyUi, _name, _steady(_name))
