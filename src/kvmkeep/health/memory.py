"""Memory: what is promised to guests against what there is."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.units import Size
from kvmkeep.planning.guards import promised


def memory_findings(patient: Patient) -> Iterator[Finding]:
    """Return whether guests are promised more than the host has without its reserve."""
    total = Size(sum(size.bytes for size in promised(patient.facts.domains).values()))
    have, reserve = patient.facts.memory, patient.spec.host.memory_reserve
    if not have.bytes or total <= have.minus(reserve):
        return
    more = total > have
    yield Finding(
        name="memory-promised",
        severity=Severity.CRITICAL if more else Severity.WARNING,
        subject="memory",
        what=f"{total} are promised to guests; the host has {have}, its reserve is {reserve}",
        why="when guests use what they were promised, the kernel kills one of them"
        if more
        else "the host itself may get short of memory",
        todo="give guests less memory, or switch autostart off for some: kvmkeep list",
    )
