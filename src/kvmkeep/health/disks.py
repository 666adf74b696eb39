"""Disks, as far as they tell of themselves (SMART)."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.health.replacing import disk_of, move, named
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.vitals import PhysicalDisk

_WORN = 90
"""Percent of a flash disk's life: time to order another one."""


def disk_findings(patient: Patient) -> Iterator[Finding]:
    """Return what disks tell of themselves, and who tells nothing."""
    disks = patient.vitals.disks
    if disks is None:
        yield Finding(
            name="disks-not-asked",
            severity=Severity.OK,
            subject="disks",
            what="nobody asks them how they are: smartctl is not installed",
            why="many disks tell weeks before that they will fail",
            todo="apt install smartmontools, or: dnf install smartmontools",
        )
        return
    unasked = [disk.name for disk in disks if not disk.asked]
    if unasked:
        yield Finding(
            name="not-seen",
            severity=Severity.UNKNOWN,
            subject=f"disk {', '.join(unasked)}",
            what="it can't be looked at: others took all the time that there is",
            why="what is not seen may be well or not",
            todo=f"smartctl --xall /dev/{unasked[0]}; kvmkeep check, once no other hangs",
        )
    for disk in disks:
        if disk.asked:
            yield from _disk(patient, disk)


def _disk(patient: Patient, disk: PhysicalDisk) -> Iterator[Finding]:
    subject = f"disk {disk.name}"
    look = f"smartctl --xall /dev/{disk.name}"
    model = named(disk)
    replaced = move(disk.name, patient.facts.arrays, gone=bool(disk.gone))
    if disk.gone:
        yield Finding(
            name="disk-gone",
            severity=Severity.CRITICAL,
            subject=subject,
            what=f"the kernel gave it up: it is {disk.gone}{model}",
            why="nothing on it can be read or written any more",
            todo=f"dmesg; cat /proc/mdstat; it may be its cable; else {replaced}",
        )
        return
    if disk.silent:
        yield Finding(
            name="disk-hangs" if disk.hangs else "disk-tells-nothing",
            severity=Severity.WARNING if disk.hangs else Severity.OK,
            subject=subject,
            what=f"it {disk.silent}" if disk.hangs else f"it tells nothing: {disk.silent}",
            why="a disk that hangs stops all who write to it"
            if disk.hangs
            else "whether it will fail soon, nobody knows from here",
            todo=f"dmesg; cat /proc/mdstat; {look}"
            if disk.hangs
            else f"{look}; behind a RAID controller, ask that one: smartctl --scan",
        )
        return
    if disk.passed is False:
        yield Finding(
            name="disk-failing",
            severity=Severity.CRITICAL,
            subject=subject,
            what="it says of itself that it is failing"
            + (f": {', '.join(disk.warnings)}" if disk.warnings else "")
            + model,
            why="it may be gone within a day, with what lies on no other disk",
            todo=f"{look}; {replaced}",
        )
    if disk.hot:
        degrees = "" if disk.celsius is None else f": {disk.celsius} degrees Celsius"
        yield Finding(
            name="disk-hot",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it says that it is hotter or colder than it may be{degrees}{model}",
            why="it slows down, and ages; that is no sign that it fails",
            todo=f"look at its fans, and at what works it hard (cat /proc/mdstat); {look}",
        )
    if disk.pending:
        yield Finding(
            name="disk-unreadable",
            severity=Severity.WARNING,
            subject=subject,
            what=f"{disk.pending} of its sectors can't be read{model}",
            why="if the other copy is lost, these sectors are; more of them often follow",
            todo=_reread(patient, disk.name) + f"; if they stay: {look}; {replaced}",
        )
    if disk.worn_percent is not None and disk.worn_percent >= _WORN:
        yield Finding(
            name="disk-worn",
            severity=Severity.WARNING,
            subject=subject,
            what=f"{disk.worn_percent} % of its life is over{model}",
            why="a flash disk takes so many writes and no more; disks of one age go together",
            todo=f"{look}; {replaced}",
        )
    yield from _counts(disk, look)


def _counts(disk: PhysicalDisk, look: str) -> Iterator[Finding]:
    """Tell of counts that never go back: that they are there is no alarm, that they grow is."""
    counts = (
        (disk.reallocated, "sectors were replaced by spare ones"),
        (disk.uncorrectable, "errors lost data of it"),
    )
    told = [f"{count} {what}" for count, what in counts if count]
    if told:
        yield Finding(
            name="disk-had-errors",
            severity=Severity.OK,
            subject=f"disk {disk.name}",
            what=f"over its life, {' and '.join(told)}",
            why="a count that stays is history; one that grows is a disk that goes",
            todo=f"note it, and compare next week: {look}",
        )


def _reread(patient: Patient, disk: str) -> str:
    arrays = [
        array for array in patient.facts.arrays if disk in {disk_of(one) for one in array.members}
    ]
    if not arrays:
        return "read all of it, and write anew what can't be read"
    # A check writes what can't be read anew from the other members (md(4), "SCRUBBING").
    checks = "; ".join(f"echo check > /sys/block/{array.name}/md/sync_action" for array in arrays)
    return f"have the array write them anew: {checks}"
