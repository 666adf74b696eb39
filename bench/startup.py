"""How long it takes until kvmkeep does anything: `--help` against a bare Python."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.clock import child, interleaved
from bench.figure import Figure, Goal, difference_ms

if TYPE_CHECKING:
    from pathlib import Path

PART = "startup"
GOAL_MS = 60.0


def measure(_place: Path, repetitions: int) -> list[Figure]:
    """Compare `kvmkeep --help` with a Python that does nothing."""
    ours = [sys.executable, "-m", "kvmkeep", "--help"]
    theirs = [sys.executable, "-c", "pass"]
    child(ours)  # compiles what was not compiled yet
    times = interleaved(
        {"ours": lambda: child(ours).seconds, "theirs": lambda: child(theirs).seconds},
        repetitions * 3,
    )
    return [
        Figure(
            part=PART,
            name="kvmkeep --help",
            ours=times["ours"],
            against="python -c pass",
            theirs=times["theirs"],
            judged=difference_ms(times["ours"], times["theirs"]),
            goal=Goal(GOAL_MS),
        )
    ]
