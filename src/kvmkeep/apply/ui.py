"""What a run shows while it works: one that shows nothing, and one that can't fail.

All calls come from the run's own thread.
"""

from __future__ import annotations

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

    def round_begins(self, number: int) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.round_begins(number)

    def step_begins(self, number: int, total: int, step: Step) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.step_begins(number, total, step)

    def progress(self, done: int, total: int, rate: float) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.progress(done, total, rate)

    def waiting(self, message: str, seconds: float, limit: float) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.waiting(message, seconds, limit)

    def step_ends(self, number: int, total: int, report: StepReport) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.step_ends(number, total, report)

    def stopping(self, urgent: bool) -> None:  # noqa: FBT001 - see Ui
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.stopping(urgent)

    def warn(self, message: str) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.warn(message)

    def run_ends(self, report: Report) -> None:
        """Pass it on."""
        with suppress(OSError, ValueError):
            self._ui.run_ends(report)
