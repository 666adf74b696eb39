"""Snapshots: lost, filling, past their date, forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kvmkeep.health.patient import Patient
from kvmkeep.model.facts import Volume
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.names import TAG_OURS, stamped_time
from kvmkeep.model.snapshot import FILLING, SnapshotSet, expired, snapshot_sets

_NEARLY_FULL = 90.0
_FORGOTTEN = timedelta(days=14)
"""A set without a date is asked about after that."""

_FULL = "a snapshot that is full is lost; its guest goes on"


def snapshot_findings(patient: Patient) -> Iterator[Finding]:
    """Return what is wrong with sets of snapshots, and with snapshots of others."""
    for one in snapshot_sets(patient.facts.volumes, patient.spec.storage.vg):
        yield from _set(patient, one)
    volumes = patient.scene.volumes
    for volume in volumes.values():
        if volume.origin and TAG_OURS not in volume.tags:
            origin = volumes.get(volume.origin, volume)
            overflows, ours = volume.size < origin.size, TAG_OURS in origin.tags
            yield from _foreign(volume, overflows=overflows, ours=ours)


def _set(patient: Patient, one: SnapshotSet) -> Iterator[Finding]:
    subject = f"snapshot {one.name} of {one.guest}"
    delete = f"kvmkeep snapshot delete {one.guest} {one.name}"
    if one.trouble:
        yield Finding(
            name="snapshot-lost",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it is no good: {one.trouble}",
            why="nobody can go back to it, and it slows its guest down as long as it is there",
            todo=delete,
        )
        return
    if one.can_overflow and one.filled_percent >= FILLING:
        nearly = one.filled_percent >= _NEARLY_FULL
        yield Finding(
            name="snapshot-filling",
            severity=Severity.CRITICAL if nearly else Severity.WARNING,
            subject=subject,
            what=f"it is {one.filled_percent:.0f} % full",
            why=_FULL,
            todo=f"kvmkeep snapshot watch {one.guest}; or, if it may go: {delete}",
        )
    taken = stamped_time(one.taken)
    if expired(one, patient.now):
        yield Finding(
            name="snapshot-expired",
            severity=Severity.WARNING,
            subject=subject,
            what="it is past its date",
            why="each snapshot slows its guest's writes down",
            todo=f"kvmkeep snapshot delete {one.guest} --expired",
        )
    elif not one.expires and taken is not None and patient.now - taken > _FORGOTTEN:
        yield Finding(
            name="snapshot-old",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it is {(patient.now - taken).days} days old and has no date to go",
            why="each snapshot slows its guest's writes down; nobody may know of it any more",
            todo=f"if it may go: {delete}",
        )


def _foreign(volume: Volume, *, overflows: bool, ours: bool) -> Iterator[Finding]:
    """Tell of a snapshot without our mark; `ours` when it is one of a guest's disk."""
    subject = f"snapshot {volume.vg}/{volume.name}"
    if volume.invalid:
        yield Finding(
            name="snapshot-lost",
            severity=Severity.WARNING,
            subject=subject,
            what="it got full, and is no good",
            why=f"nobody can go back to it, and it slows {volume.origin} down",
            todo=f"look at it: lvs {volume.vg}/{volume.name}; kvmkeep did not make it",
        )
    elif overflows and volume.filled_percent >= FILLING:
        yield Finding(
            name="snapshot-filling",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it is {volume.filled_percent:.0f} % full",
            why=_FULL,
            todo=f"lvextend --size +SIZE {volume.vg}/{volume.name}; kvmkeep did not make it",
        )
    elif ours:
        yield Finding(
            name="snapshot-of-others",
            severity=Severity.OK,
            subject=subject,
            what=f"somebody took it of {volume.origin} by other means than kvmkeep",
            why=f"{volume.origin} is slower and can't grow as long as it is there",
            todo=f"if it may go: lvremove {volume.vg}/{volume.name}",
        )
