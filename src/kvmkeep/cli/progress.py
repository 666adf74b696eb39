"""What a run shows on stderr: a drawn bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kvmkeep.apply.ui import Ui
from kvmkeep.model.plan import Outcome
from kvmkeep.model.text import escaped
from kvmkeep.model.units import Size

if TYPE_CHECKING:
    from rich.live import Live

    from kvmkeep.cli.streams import Streams
    from kvmkeep.model.plan import Report, Step, StepReport

_MINUTE = 60
_TENTH = 10


def make_ui(streams: Streams) -> PlainUi:
    """Return the way to show a run on this stderr."""
    return DrawnUi(streams) if streams.draws else PlainUi(streams)


def duration(seconds: float) -> str:
    """Return seconds as `3.1 s`, `59 s`, `4 min 05 s` or `2 h 03 min`."""
    if seconds < _TENTH:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    minutes, rest = divmod(whole, _MINUTE)
    if minutes < _MINUTE:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // _MINUTE} h {minutes % _MINUTE:02d} min"


def speed(rate: float) -> str:
    """Return bytes per second as `120.5 MiB/s`."""
    return f"{Size(max(0, int(rate)))}/s"


def remaining(done: int, total: int, rate: float) -> str:
    """Return how long the rest will take, or nothing where nobody can know."""
    return f"{duration((total - done) / rate)} left" if rate > 0 and total > done else ""


def waiting_text(message: str, seconds: float, limit: float) -> str:
    """Return what is being waited for, and how the time runs out: a count-down."""
    left = duration(float(round(max(0.0, limit - seconds)))).replace(".0", "")
    return f"waiting for {message}: {left} left of {duration(limit)}"


class PlainUi(Ui):
    """One line when something begins or ends, one for each tenth of a copy, one a minute."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._tenths = 0
        self._minutes = -1

    def round_begins(self, number: int) -> None:
        """Say that the host is looked at."""
        self._minutes = -1
        again = "" if number == 1 else " again"
        self._streams.talk(f"Looking at the host{again} ...")

    def step_begins(self, number: int, total: int, step: Step) -> None:
        """Say what begins."""
        self._tenths, self._minutes = 0, -1
        self._streams.talk(f"[{number}/{total}] {step.subject}: {step.what}")

    def progress(self, done: int, total: int, rate: float) -> None:
        """Say each tenth once."""
        tenth = done * 10 // total if total > 0 else 0
        if tenth > self._tenths:
            self._tenths = tenth
            left = remaining(done, total, rate)
            self._streams.talk(f"  {tenth * 10} %, {speed(rate)}{', ' + left if left else ''}")

    def waiting(self, message: str, seconds: float, limit: float) -> None:
        """Say once a minute that it still waits."""
        minute = int(seconds // _MINUTE)
        if minute > self._minutes:
            self._minutes = minute
            self._streams.talk("  " + waiting_text(message, seconds, limit))

    def step_ends(self, number: int, total: int, report: StepReport) -> None:
        """Say how it ended."""
        self._streams.talk(f"[{number}/{total}] {ending(report)}")

    def stopping(self, urgent: bool) -> None:  # noqa: FBT001 - see Ui
        """Say what a request to stop will lead to."""
        self._streams.talk(stopping_text(urgent=urgent))

    def warn(self, message: str) -> None:
        """Say it."""
        self._streams.talk(f"warning: {message}")

    def run_ends(self, report: Report) -> None:
        """Name the journal."""
        if report.journal:
            self._streams.talk(f"Journal: {report.journal}")

    def close(self) -> None:
        """Leave the terminal as it was."""


def ending(report: StepReport) -> str:
    """Return how a step ended, in a few words."""
    words = {
        Outcome.DONE: "done",
        Outcome.FAILED: "FAILED",
        Outcome.CHANGED: "not begun: the host has changed since the plan was made",
        Outcome.INTERRUPTED: "interrupted",
        Outcome.SKIPPED: "left out",
    }
    return f"{words[report.outcome]}, {duration(report.seconds)}"


def stopping_text(*, urgent: bool) -> str:
    """Return what a request to stop will lead to."""
    if urgent:
        return "Stopping now: the running command is ended."
    return "Stopping after this step. Press Ctrl-C once more to end its command now."


class DrawnUi(PlainUi):
    """The same lines, and below them one that moves: a bar, or the seconds of a wait."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(streams)
        self._live: Live | None = None

    def progress(self, done: int, total: int, rate: float) -> None:
        """Draw the bar with rate and remaining time."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(total, 1), completed=min(done, max(total, 1)), width=_BAR)
        percent = f"{done * 100 // total:3d} %" if total > 0 else str(Size(done))
        words = " ".join((percent, speed(rate), remaining(done, total, rate)))
        wide = self._streams.width > len(words) + _BAR + 4
        grid.add_row(*((bar,) if wide else ()), Text(words.rstrip()))
        self._draw(grid)

    def waiting(self, message: str, seconds: float, limit: float) -> None:
        """Draw the seconds of a wait."""
        from rich.text import Text

        words = "  " + escaped(waiting_text(message, seconds, limit))
        self._draw(Text(words, overflow="fold"))

    def step_ends(self, number: int, total: int, report: StepReport) -> None:
        """Take the moving line away, and say how it ended."""
        self._clear()
        super().step_ends(number, total, report)

    def stopping(self, urgent: bool) -> None:  # noqa: FBT001 - see Ui
        """Say it above the moving line."""
        self._clear()
        super().stopping(urgent)

    def warn(self, message: str) -> None:
        """Say it above the moving line."""
        self._clear()
        super().warn(message)

    def run_ends(self, report: Report) -> None:
        """Leave the terminal as it was."""
        self._clear()
        super().run_ends(report)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._clear()

    def _draw(self, what: object) -> None:
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            console = Console(file=self._streams.err, no_color=bool(os.environ.get("NO_COLOR")))
            self._live = Live(
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(what, refresh=True)  # type: ignore[arg-type]

    def _clear(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


_BAR = 24
