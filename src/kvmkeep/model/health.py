"""What is wrong with a host, each thing as an administrator wants it told at night."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class Severity(StrEnum):
    """How bad something is, in the words of monitoring plugins."""

    OK = "ok"
    """Nothing to do, but worth knowing."""
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    """It could not be looked at."""

    @property
    def code(self) -> int:
        """The exit code that a monitoring plugin has for it (Monitoring Plugins' guidelines)."""
        return _CODES[self]

    @property
    def rank(self) -> int:
        """Its place in a list that begins with the worst.

        What can't be seen may be worse than a warning; what is known to be critical is not.
        """
        return _RANKS[self]


_CODES = {Severity.OK: 0, Severity.WARNING: 1, Severity.CRITICAL: 2, Severity.UNKNOWN: 3}
_RANKS = {Severity.CRITICAL: 0, Severity.UNKNOWN: 1, Severity.WARNING: 2, Severity.OK: 3}


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was found.

    `name` is the same for each finding of a kind (`array-degraded`), and never changes: alerts are
    written for it. `subject` is the thing it is about, `why` why it matters, `todo` what to type
    or to do.
    """

    name: str
    severity: Severity
    subject: str
    what: str
    why: str
    todo: str


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in the order in which they should be read."""
    return tuple(sorted(findings, key=lambda one: (one.severity.rank, one.subject, one.name)))


def worst(findings: Iterable[Finding]) -> Severity:
    """Return the severity of the whole: that of the worst finding."""
    return min((one.severity for one in findings), key=lambda one: one.rank, default=Severity.OK)


class Sample(Struct, frozen=True, kw_only=True):
    """A value with the labels that tell whose it is, as pairs of name and text."""

    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Measure(Struct, frozen=True, kw_only=True):
    """A gauge: its name ends in its unit, as Prometheus wants it (`_bytes`, `_ratio`)."""

    name: str
    help: str
    samples: tuple[Sample, ...]
