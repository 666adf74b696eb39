"""A door without a machine: it answers from a script, counts time, and fails where it is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from kvmkeep.apply.journal import Journal, Journals
from kvmkeep.apply.ui import Ui
from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Command, Undo, WriteFile
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.plan import Noun, Report, Step, StepReport


def command(line: str, **more: object) -> Command:
    return Command(argv=tuple(line.split()), why=f"do {line}", **more)  # type: ignore[arg-type]


UNDO = Undo(
    arm=(WriteFile(path="/undo", content=b"", why="arm"), command("systemd-run undo")),
    after=75,
    run=command("systemctl start undo"),
    disarm=(command("systemctl stop timer"), command("rm /undo")),
    settle=command("systemctl daemon-reload"),
)
"""An undo of the network, as a checkpoint has it."""


class Mode(StrEnum):
    """How an action is made to fail."""

    BEFORE = "fails before it took effect"
    AFTER = "fails after it took effect"
    HANG = "hangs until its time limit"
    KEYBOARD = "is interrupted by Ctrl-C"


def ended(code: int = 0, stdout: str = "", stderr: str = "", **more: object) -> Result:
    values: dict[str, object] = {"timed_out": False, "ok": code == 0, "seconds": 0.5, **more}
    return Result(code=code, stdout=stdout.encode(), stderr=stderr.encode(), **values)  # type: ignore[arg-type]


class ScriptedDoor:
    """Answers a command by its first words; otherwise it succeeds and says nothing.

    `fault` makes the n-th action (from 0) fail in a mode. `stops_at` presses the button while
    the n-th action runs.
    """

    def __init__(
        self,
        answers: dict[str, Callable[[int], Result]] | None = None,
        *,
        fault: tuple[int, Mode] | None = None,
        stops_at: int = -1,
    ) -> None:
        self.answers = answers or {}
        self.fault = fault
        self.stop = Stop()
        self.stops_at = stops_at
        self.ran: list[str] = []
        self.took_effect: list[str] = []
        self.counts: dict[str, int] = {}
        self.now = 0.0

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        self.now += 0.5
        result = self._act(str(command))
        if result is None:
            self.now += command.timeout
            return ended(-15, timed_out=True)
        if watch is not None:
            watch(10, 100)
            self.now += 1.0
            watch(60, 100)
        answer = command.expect in {"", result.text.strip()}
        ok = result.code in command.ok and answer and not result.timed_out
        return Result(
            code=result.code,
            stdout=result.stdout,
            stderr=result.stderr,
            seconds=0.5,
            timed_out=result.timed_out,
            ok=ok,
        )

    def write(self, file: WriteFile) -> None:
        result = self._act(f"write {file.path}")
        if result is None or result.code:
            raise OSError(28, "No space left on device", file.path)

    def _act(self, line: str) -> Result | None:
        number = len(self.ran)
        self.ran.append(line)
        if number == self.stops_at:
            self.stop.press()
        mode = self.fault[1] if self.fault is not None and self.fault[0] == number else None
        if mode in {None, Mode.AFTER}:
            self.took_effect.append(line)
        if mode is Mode.KEYBOARD:
            raise KeyboardInterrupt
        if mode is Mode.HANG:
            return None
        if mode is not None:
            return ended(1, stderr="injected")
        for words, answer in self.answers.items():
            if line.startswith(words):
                self.counts[words] = self.counts.get(words, 0) + 1
                return answer(self.counts[words])
        return ended()

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        raise NotImplementedError

    def names(self, directory: str) -> tuple[str, ...]:
        raise NotImplementedError

    def look(self, path: str) -> ImageFile | None:
        raise NotImplementedError

    def device(self, path: str) -> str:
        raise NotImplementedError

    def which(self, program: str) -> str:
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def clock(self) -> float:
        return self.now


class MemoryLines:
    """Lines kept in memory; they can't be kept while `full`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: list[bytes] = []
        self.full = False
        self.closed = False

    def append(self, line: bytes) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.lines.append(line)

    def close(self) -> None:
        self.closed = True


class MemoryFolder:
    """A folder in memory."""

    def __init__(self) -> None:
        self.files: dict[str, MemoryLines] = {}
        self.full = False

    def create(self, name: str) -> MemoryLines:
        lines = MemoryLines(f"/journal/{name}")
        lines.full = self.full
        self.files[name] = lines
        return lines

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.files))

    def read(self, name: str) -> bytes:
        return b"".join(line + b"\n" for line in self.files[name].lines)

    def remove(self, name: str) -> None:
        del self.files[name]


class RecordingUi(Ui):
    """Notes what it was told, in words."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.report: Report | None = None

    def round_begins(self, number: int) -> None:
        self.told.append(f"round {number}")

    def step_begins(self, number: int, total: int, step: Step) -> None:
        self.told.append(f"begin {number}/{total} {step.what}")

    def progress(self, done: int, total: int, rate: float) -> None:
        self.told.append(f"progress {done}/{total} at {rate:.0f}")

    def waiting(self, message: str, seconds: float, limit: float) -> None:
        self.told.append(f"waiting {message} {seconds:.0f}/{limit:.0f}")

    def step_ends(self, number: int, total: int, report: StepReport) -> None:
        self.told.append(f"end {number}/{total} {report.outcome}")

    def stopping(self, urgent: bool) -> None:  # noqa: FBT001 - see Ui
        self.told.append(f"stopping {urgent}")

    def warn(self, message: str) -> None:
        self.told.append(f"warn {message}")

    def run_ends(self, report: Report) -> None:
        self.report = report


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def new_journal(folder: MemoryFolder | None = None, ui: RecordingUi | None = None) -> Journal:
    return Journals(folder or MemoryFolder(), noon).begin(
        "apply",
        ("kvmkeep", "apply"),
        user="alice",
        version="1.2.3",
        host="build",
        troubled=(ui or RecordingUi()).warn,
    )


def step(what: str, *actions: object, **more: object) -> Step:
    values = {"noun": Noun.STORAGE, "subject": "guest a", "why": "it is wanted", **more}
    return Step(what=what, actions=actions, **values)  # type: ignore[arg-type]
