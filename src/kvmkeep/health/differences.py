"""What is not as the spec says: the plan, as findings."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.planning.disks.grow import unbegun
from kvmkeep.planning.disks.grow_spare import cut_off
from kvmkeep.planning.running.next_boot import kept_down


def difference_findings(patient: Patient) -> Iterator[Finding]:
    """Return a finding for each subject that the plan would change, or can't.

    It is critical where a guest would not come up again: who finds that out by a power cut is late.
    """
    down = {one.subject: one.reason for one in kept_down(patient.spec, patient.facts)}
    todo: dict[str, list[str]] = {}
    for step in patient.plan.steps:
        todo.setdefault(step.subject, []).append(step.what)
    seen = {problem.what for problem in patient.facts.problems}
    for refusal in patient.plan.refusals:
        if refusal.subject in seen:
            continue  # told as what can't be looked at
        stays = refusal.subject in down
        yield Finding(
            name="spec-refused",
            severity=Severity.CRITICAL if stays else Severity.WARNING,
            subject=refusal.subject,
            what=f"it can't be made as the spec says: {refusal.reason}",
            why=f"{_stays_off(down[refusal.subject])}, and apply changes nothing until then"
            if stays
            else "apply changes nothing at all until that is settled",
            todo=refusal.hint,
        )
    refused = {one.subject for one in patient.plan.refusals}
    scene = patient.scene
    smaller = {f"guest {one.name}" for one in patient.spec.guests if unbegun(scene, one)}
    for subject, steps in todo.items():
        more = f", and {len(steps) - 1} more" if len(steps) > 1 else ""
        stays = subject in down and subject not in refused
        unless = f"if nobody made a disk of it larger in the spec, {cut_off(scene)}; else: "
        first = unless if subject in smaller else ""
        yield Finding(
            name="spec-differs",
            severity=Severity.CRITICAL if stays else Severity.WARNING,
            subject=subject,
            what=f"it is not as the spec says; apply would: {steps[0]}{more}",
            why=_stays_off(down[subject])
            if stays
            else "somebody changed the host or the spec, and not the other",
            todo=f"{first}kvmkeep plan; then kvmkeep apply, or kvmkeep adopt to keep what is",
        )


def _stays_off(reason: str) -> str:
    return f"as it is, it can't be started, by recover neither: {reason}"
