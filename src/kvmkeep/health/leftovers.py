"""What lies about: seeds, trash, a last run that did not end, and one that does nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta

from kvmkeep.health.patient import Patient
from kvmkeep.model.facts import VOLUMES, SeedFile
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.journal import DONE
from kvmkeep.model.names import STATE_FRESH, stamped_time
from kvmkeep.model.trash import TrashEntry, trash_entries
from kvmkeep.model.units import GuestName

_OLD = timedelta(days=30)
_IDLE = timedelta(minutes=30)
"""How long a run may hold the lock before its first step: a question waits for ten minutes."""


def leftover_findings(patient: Patient) -> Iterator[Finding]:
    """Return what was left lying."""
    for seed in () if patient.unseen(VOLUMES) else patient.facts.seeds:
        yield from _seed(patient, seed)
    for entry in trash_entries(patient.facts.volumes, patient.spec.storage.vg, patient.facts.trash):
        yield from _trash(patient, entry)
    yield from _last_run(patient)
    yield from _lock(patient)


def _seed(patient: Patient, seed: SeedFile) -> Iterator[Finding]:
    guest = patient.scene.every_guest.get(GuestName(seed.guest))
    volume = patient.scene.volume(guest.root) if guest is not None else None
    if volume is not None and STATE_FRESH in volume.tags:
        return  # its first boot is not over
    yield Finding(
        name="seed-left",
        severity=Severity.WARNING,
        subject=f"seed {seed.path}",
        what="it still lies on the host, though no guest needs it",
        why="it holds the hash of a password; a guest that sees it may be set up by it again",
        todo=f"kvmkeep apply {guest.name}" if guest is not None else f"rm {shlex.quote(seed.path)}",
    )


def _trash(patient: Patient, entry: TrashEntry) -> Iterator[Finding]:
    subject = f"trash {entry.name}"
    since = stamped_time(entry.stamp)
    if entry.moving or entry.emptying:
        verb = "emptied" if entry.emptying else "moved"
        if not patient.vitals.working:
            yield Finding(
                name="trash-unfinished",
                severity=Severity.WARNING,
                subject=subject,
                what=f"it was being {verb} when a run was stopped",
                why="what is half done is neither a guest nor trash",
                todo=f"kvmkeep trash empty {entry.name}"
                if entry.emptying
                else "run the same line again, as `kvmkeep journal` tells it",
            )
    elif since is not None and patient.now - since > _OLD:
        yield Finding(
            name="trash-old",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it lies there for {(patient.now - since).days} days and takes {entry.size}",
            why="its room is not there for guests and snapshots",
            todo=f"kvmkeep trash list; if it may go: kvmkeep trash empty {entry.name}",
        )


def _last_run(patient: Patient) -> Iterator[Finding]:
    run = patient.vitals.last_run
    if run is None or run.alive or run.outcome == DONE:
        return
    end = f"ended with: {run.outcome}" if run.outcome else "was killed"
    yield Finding(
        name="run-unfinished",
        severity=Severity.WARNING,
        subject=f"run {run.name}",
        what=f"it {end}",
        why="what it was to do is done in part",
        todo=f"kvmkeep journal {run.name}; then run it again: {run.command_line}",
    )


def _lock(patient: Patient) -> Iterator[Finding]:
    holder = patient.vitals.holder
    if holder is None:
        return
    since = datetime.fromtimestamp(holder.since, patient.now.tzinfo)
    if patient.now - since < _IDLE:
        return
    yield Finding(
        name="lock-held",
        severity=Severity.WARNING,
        subject="the lock of kvmkeep",
        what=f"{holder.verb}, pid {holder.pid}, by {holder.user}, has held it since "
        f"{since:%Y-%m-%d %H:%M}, and has begun no step",
        why="until it ends, no dead guest is started and no snapshot grows",
        todo=f"what it waits for: ps -o stat,wchan,args {holder.pid}; to end it: kill {holder.pid}",
    )
