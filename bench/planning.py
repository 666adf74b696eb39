"""`kvmkeep plan --facts FILE`: its time and memory, and how they grow with the guests."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.clock import TREE, Cost, child, environment
from bench.figure import BenchError, Figure, Goal, Sample, Unit
from bench.site import write_spec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PART = "planning"
SIZES = (10, 100, 1000, 10_000)
JUDGED = 1000
GOAL_SECONDS = 1.0
GOAL_MIB = 150.0
GOAL_GROWTH = 1.3
"""How much more a guest may cost among ten times as many; 1 is a straight line."""

_LARGEST_REPEATED = 1000


def measure(place: Path, repetitions: int) -> list[Figure]:
    """Measure a bare host, where each guest is still to be made."""
    figures: list[Figure] = []
    costs = {size: _verb(place, size, repetitions) for size in SIZES}
    stages = {size: _stages(place, size, repetitions) for size in SIZES}
    for size in SIZES:
        judged = size == JUDGED
        seconds = Sample(tuple(cost.seconds for cost in costs[size]), Unit.SECONDS)
        peak = Sample(tuple(cost.peak for cost in costs[size]), Unit.MIB)
        figures += [
            Figure(
                part=PART,
                name=f"plan --facts, {size} guests, time",
                ours=seconds,
                judged=seconds,
                goal=Goal(GOAL_SECONDS) if judged else None,
                remark=_shares(stages[size]),
            ),
            Figure(
                part=PART,
                name=f"plan --facts, {size} guests, peak memory",
                ours=peak,
                judged=peak,
                goal=Goal(GOAL_MIB) if judged else None,
            ),
        ]
    thought = Sample(tuple(run["make_plan"] for run in stages[JUDGED]), Unit.SECONDS)
    figures.append(
        Figure(
            part=PART,
            name=f"make_plan alone, {JUDGED} guests, time",
            ours=thought,
            judged=thought,
            goal=Goal(GOAL_SECONDS),
        )
    )
    figures.append(_growth("time", {n: min(c.seconds for c in costs[n]) for n in SIZES}))
    figures.append(_growth("memory", {n: min(c.peak for c in costs[n]) for n in SIZES}))
    thinking = {size: min(run["make_plan"] for run in stages[size]) for size in SIZES}
    figures.append(_growth("time of make_plan alone", thinking))
    return figures


def _verb(place: Path, guests: int, repetitions: int) -> list[Cost]:
    spec = write_spec(place, guests)
    facts = place / f"facts-{guests}.json"
    _inner("facts", str(spec), str(facts))
    verb = ["plan", "--facts", str(facts), "--exit-code"]
    argv = [sys.executable, "-m", "kvmkeep", "--spec", str(spec), *verb]
    rounds = repetitions if guests <= _LARGEST_REPEATED else 1
    return [child(argv, ok=(9,)) for _ in range(rounds)]


def _stages(place: Path, guests: int, repetitions: int) -> list[dict[str, float]]:
    spec, facts = place / f"spec-{guests}", place / f"facts-{guests}.json"
    rounds = repetitions if guests <= _LARGEST_REPEATED else 1
    runs = []
    for _ in range(rounds):
        values = json.loads(_inner("stages", str(spec), str(facts)))
        runs.append({str(name): float(seconds) for name, seconds in values.items()})
    return runs


def _inner(*arguments: str) -> str:
    argv = [sys.executable, "-m", "bench.inner", *arguments]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment() | {"PYTHONPATH": f"{TREE / 'src'}:{TREE}"},
    )
    if done.returncode:
        message = f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        raise BenchError(message)
    return done.stdout


def _shares(runs: Sequence[dict[str, float]]) -> str:
    best = {name: min(run[name] for run in runs) for name in runs[0]}
    return ", ".join(f"{name} {seconds:.3f} s" for name, seconds in best.items())


def _growth(what: str, cost: dict[int, float]) -> Figure:
    """Compare what a further guest costs at the upper end with what it costs in the middle.

    That is (cost(high) - cost(middle)) / (high - middle), over the same from low to middle: the
    start-up, which is the same for all, cancels out.
    """
    low, middle, high = SIZES[-3:]
    upper = (cost[high] - cost[middle]) / (high - middle)
    lower = (cost[middle] - cost[low]) / (middle - low)
    sample = Sample((upper / lower,), Unit.TIMES)
    return Figure(
        part=PART,
        name=f"growth of {what} ({low}-{middle}-{high})",
        ours=sample,
        judged=sample,
        goal=Goal(GOAL_GROWTH),
    )
