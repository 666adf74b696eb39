"""`kvmkeep plan --facts FILE`: its time and memory, and how they grow with the guests."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.clock import TREE, Cost, child, environment
from bench.figure import BenchError, Figure, Goal, Sample, Unit
from bench.site import write_spec

if TYPE_CHECKING:
    from pathlib import Path

PART = "planning"
SIZES = (10, 100, 1000, 10_000)
JUDGED = 1000
GOAL_SECONDS = 1.0
GOAL_MIB = 150.0
GOAL_GROWTH = 1.3
"""How much more a guest may cost among ten times as many; 1 is a straight line."""

_DIFFERENCES, _NONE = 9, 0
_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class _Case:
    """What planning for some guests cost: the verb, and the processor time of its stages."""

    guests: int
    costs: tuple[Cost, ...]
    stages: tuple[dict[str, float], ...]

    @property
    def seconds(self) -> Sample:
        return Sample(tuple(cost.seconds for cost in self.costs), Unit.SECONDS)

    @property
    def processor(self) -> Sample:
        return Sample(tuple(cost.processor for cost in self.costs), Unit.SECONDS)

    @property
    def peak(self) -> Sample:
        return Sample(tuple(cost.peak for cost in self.costs), Unit.MIB)

    @property
    def thinking(self) -> Sample:
        return Sample(tuple(run["make_plan"] for run in self.stages), Unit.SECONDS)

    @property
    def shares(self) -> str:
        parts = (f"{name} {min(run[name] for run in self.stages):.3f} s" for name in self.stages[0])
        return f"{self.processor} of processor time; of it: " + ", ".join(parts)


def measure(place: Path, repetitions: int) -> list[Figure]:
    """Measure a bare host, where each guest is still to be made, and one with nothing to do."""
    cases = [_case(place, "bare", size, repetitions) for size in SIZES]
    made = _case(place, "made", JUDGED, repetitions)
    figures: list[Figure] = []
    for case in cases:
        judged = case.guests == JUDGED
        name = f"plan --facts, {case.guests} new guests"
        seconds = Goal(GOAL_SECONDS) if judged else None
        figures.append(_alone(f"{name}, time", case.seconds, seconds, case.shares))
        figures.append(_alone(f"{name}, peak", case.peak, Goal(GOAL_MIB) if judged else None))
        if judged:
            only = f"make_plan alone, {case.guests} new guests, processor time"
            figures.append(_alone(only, case.thinking, seconds))
    name = f"plan --facts, {made.guests} guests as they should be"
    figures.append(_alone(f"{name}, time", made.seconds, Goal(GOAL_SECONDS), made.shares))
    figures.append(_alone(f"{name}, peak", made.peak, Goal(GOAL_MIB)))
    figures.append(_growth("processor time", [case.processor for case in cases]))
    figures.append(_growth("peak", [case.peak for case in cases]))
    figures.append(_growth("processor time of make_plan", [case.thinking for case in cases]))
    return figures


def _case(place: Path, host: str, guests: int, repetitions: int) -> _Case:
    folder = place / host
    folder.mkdir(exist_ok=True)
    spec = write_spec(folder, guests)
    facts = folder / f"facts-{guests}.json"
    _inner(host, str(spec), str(facts))
    verb = ["plan", "--facts", str(facts), "--exit-code"]
    argv = [sys.executable, "-m", "kvmkeep", "--spec", str(spec), *verb]
    rounds = 1 if guests >= _ONCE else repetitions
    expected = (_DIFFERENCES if host == "bare" else _NONE,)
    return _Case(
        guests=guests,
        costs=tuple(child(argv, ok=expected) for _ in range(rounds)),
        stages=tuple(_stages(spec, facts) for _ in range(rounds)),
    )


def _stages(spec: Path, facts: Path) -> dict[str, float]:
    values = json.loads(_inner("stages", str(spec), str(facts)))
    return {str(name): float(seconds) for name, seconds in values.items()}


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


def _alone(name: str, sample: Sample, goal: Goal | None = None, remark: str = "") -> Figure:
    return Figure(part=PART, name=name, ours=sample, judged=sample, goal=goal, remark=remark)


def _growth(what: str, samples: list[Sample]) -> Figure:
    """Compare what a further guest costs at the upper end with what it costs in the middle.

    That is (cost(high) - cost(middle)) / (high - middle), over the same from low to middle: the
    start-up, which is the same for all, cancels out.
    """
    low, middle, high = SIZES[-3:]
    least, some, most = (sample.lowest for sample in samples[-3:])
    growth = ((most - some) / (high - middle)) / ((some - least) / (middle - low))
    name = f"growth of {what} for each guest, {middle} to {high} over {low} to {middle}"
    return _alone(name, Sample((growth,), Unit.TIMES), Goal(GOAL_GROWTH))
