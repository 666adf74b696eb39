"""What is not as the spec says: the plan, as findings."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity


def difference_findings(patient: Patient) -> Iterator[Finding]:
    """Return a finding for each subject that the plan would change, or can't."""
    todo: dict[str, list[str]] = {}
    for step in patient.plan.steps:
        todo.setdefault(step.subject, []).append(step.what)
    seen = {problem.what for problem in patient.facts.problems}
    for refusal in patient.plan.refusals:
        if refusal.subject in seen:
            continue  # told as what can't be looked at
        yield Finding(
            name="spec-refused",
            severity=Severity.WARNING,
            subject=refusal.subject,
            what=f"it can't be made as the spec says: {refusal.reason}",
            why="apply changes nothing at all until that is settled",
            todo=refusal.hint,
        )
    for subject, steps in todo.items():
        more = f", and {len(steps) - 1} more" if len(steps) > 1 else ""
        yield Finding(
            name="spec-differs",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it is not as the spec says; apply would: {steps[0]}{more}",
            why="somebody changed the host or the spec, and not the other",
            todo="kvmkeep plan; then kvmkeep apply, or kvmkeep adopt to keep what is",
        )
