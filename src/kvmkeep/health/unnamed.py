"""Guests of ours whose file has left the spec: nobody looks after them."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.planning.scene import active
from kvmkeep.planning.unnamed import unnamed, ways_back


def unnamed_findings(patient: Patient) -> Iterator[Finding]:
    """Return a finding for each; one that is off and is to stay so needs nothing."""
    for domain in unnamed(patient.scene):
        on = active(domain)
        off = Severity.CRITICAL if domain.wanted else Severity.OK
        yield Finding(
            name="guest-unnamed",
            severity=Severity.WARNING if on else off,
            subject=f"guest {domain.name}",
            what="it is ours, and the spec does not name it (any more); it "
            + ("runs" if on else "is off, and is to run" if domain.wanted else "is off"),
            why="kvmkeep neither starts it after a power cut nor backs it up",
            todo=ways_back(domain.name),
        )
