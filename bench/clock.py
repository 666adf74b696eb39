"""Measuring: child processes with their time and memory, sides interleaved."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import BenchError, Sample, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TREE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """What a child process cost: seconds from its start to its end, and peak memory in MiB.

    `processor` is the seconds it computed: on a busy machine much less than it took.
    """

    seconds: float
    processor: float
    peak: float


def child(argv: Sequence[str], *, ok: tuple[int, ...] = (0,)) -> Cost:
    """Run a command with its output thrown away.

    The peak is ru_maxrss of just this child (wait4(2)); it is never below that of this process,
    which the child is forked from, so this process stays small.
    """
    with open(os.devnull, "r+b") as null:  # noqa: PTH123 - it is no path of ours
        begin = time.perf_counter()
        process = subprocess.Popen(
            argv, stdin=null, stdout=null, stderr=subprocess.PIPE, env=environment()
        )
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.stderr:
            process.stderr.close()
    if process.returncode not in ok:
        text = said.decode(errors="replace").strip()[-2000:]
        message = f"{' '.join(argv)} ended with {process.returncode}:\n{text}"
        raise BenchError(message)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def environment() -> dict[str, str]:
    """Return the environment for both sides: the same, and kvmkeep taken from this tree."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8", "PYTHONPATH": str(TREE / "src")}


def interleaved(
    sides: Mapping[str, Callable[[], float]], repetitions: int, unit: Unit = Unit.SECONDS
) -> dict[str, Sample]:
    """Measure all sides in each repetition, each time beginning with another one.

    A slow moment of the machine hits all sides alike, and none always runs on a warm cache that
    another one made.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(repetitions):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            found[name].append(sides[name]())
    return {name: Sample(tuple(values), unit) for name, values in found.items()}
