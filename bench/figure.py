"""What was measured: samples, the two sides of a figure, and the goal beside it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from statistics import median


class BenchError(Exception):
    """A figure could not be measured."""


class Unit(StrEnum):
    """What the numbers of a sample are."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MIB = "MiB"
    TIMES = "x"


@dataclass(frozen=True, slots=True)
class Sample:
    """The values of all repetitions, in the order in which they were measured."""

    values: tuple[float, ...]
    unit: Unit

    @property
    def lowest(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def middle(self) -> float:
        """The median: what the figure is judged by."""
        return median(self.values)

    @property
    def highest(self) -> float:
        """The largest value."""
        return max(self.values)

    def __str__(self) -> str:
        digits = 0 if self.highest >= 100 and self.unit is not Unit.TIMES else 2
        if self.unit is Unit.SECONDS and self.highest < 10:
            digits = 3
        parts = (f"{value:.{digits}f}" for value in (self.lowest, self.middle, self.highest))
        return f"{' / '.join(parts)} {self.unit}"


@dataclass(frozen=True, slots=True)
class Goal:
    """The largest median that is still good; the unit is that of the judged sample."""

    limit: float

    def met(self, sample: Sample) -> bool:
        """Tell whether a sample is good."""
        return sample.middle <= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    `judged` is the ratio or the difference of the two sides, one value for each repetition: both
    sides of a repetition ran one right after the other. Without another side it is the value
    itself. `remark` says what the reader needs to know to believe the line.
    """

    part: str
    name: str
    ours: Sample
    against: str = ""
    theirs: Sample | None = None
    judged: Sample
    goal: Goal | None = None
    remark: str = ""

    @property
    def verdict(self) -> str:
        """Return `met`, `MISSED`, or nothing where there is no goal."""
        if self.goal is None:
            return ""
        return "met" if self.goal.met(self.judged) else "MISSED"


def ratio(ours: Sample, theirs: Sample) -> Sample:
    """Return how many times the other side ours took, repetition by repetition."""
    pairs = zip(ours.values, theirs.values, strict=True)
    return Sample(tuple(mine / other for mine, other in pairs), Unit.TIMES)


def difference_ms(ours: Sample, theirs: Sample) -> Sample:
    """Return how many milliseconds more ours took, repetition by repetition."""
    pairs = zip(ours.values, theirs.values, strict=True)
    return Sample(tuple((mine - other) * 1000 for mine, other in pairs), Unit.MILLISECONDS)


def compared(
    part: str,
    name: str,
    against: str,
    ours: Sample,
    theirs: Sample,
    *,
    limit: float | None = None,
    remark: str = "",
) -> Figure:
    """Return a figure that is judged by the ratio of its sides."""
    return Figure(
        part=part,
        name=name,
        against=against,
        ours=ours,
        theirs=theirs,
        judged=ratio(ours, theirs),
        goal=None if limit is None else Goal(limit),
        remark=remark,
    )
