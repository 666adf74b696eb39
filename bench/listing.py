"""`kvmkeep list` against `virsh list --all`, both on libvirt's test driver."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.clock import child, interleaved
from bench.figure import Figure, Goal, compared, difference_ms
from bench.site import write_driver, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from bench.figure import Sample

PART = "listing"
FEW, MANY = 10, 1000
GOAL_FEW_MS = 150.0
GOAL_MANY = 2.0


def measure(place: Path, repetitions: int) -> list[Figure]:
    """Compare at a usual number of guests and at far too many."""
    return [_few(place, repetitions * 3), _many(place, repetitions * 2)]


def _few(place: Path, repetitions: int) -> Figure:
    times = _times(place, FEW, repetitions)
    return Figure(
        part=PART,
        name=f"list, {FEW} guests",
        ours=times["ours"],
        against="virsh list --all",
        theirs=times["theirs"],
        judged=difference_ms(times["ours"], times["theirs"]),
        goal=Goal(GOAL_FEW_MS),
    )


def _many(place: Path, repetitions: int) -> Figure:
    times = _times(place, MANY, repetitions)
    against = "virsh list --all"
    return compared(
        PART, f"list, {MANY} guests", against, times["ours"], times["theirs"], limit=GOAL_MANY
    )


def _times(place: Path, guests: int, repetitions: int) -> dict[str, Sample]:
    uri = write_driver(place, guests)
    spec = write_spec(place, guests)
    ours = [sys.executable, "-m", "kvmkeep", "--spec", str(spec), "--connect", uri, "list"]
    theirs = ["virsh", "--connect", uri, "list", "--all"]
    child(ours)
    child(theirs)
    sides = {"ours": lambda: child(ours).seconds, "theirs": lambda: child(theirs).seconds}
    return interleaved(sides, repetitions)
