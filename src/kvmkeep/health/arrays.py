"""MD arrays: members, rebuilding, and whether anybody reads the other copy now and then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kvmkeep.health.patient import Patient
from kvmkeep.health.replacing import left, refill
from kvmkeep.model.facts import Array, ArrayState
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.trend import CHECKS, continued
from kvmkeep.model.vitals import UNITS_SEEN, Count, Mismatches, Trend

_SCRUBBED_WITHIN = timedelta(days=45)
"""Distributions check once a week (EL) or a month (Debian)."""

_MIRRORS = frozenset({"raid1", "raid10"})
_REDUNDANT = _MIRRORS | {"raid4", "raid5", "raid6"}
_REBUILD = "recover"
"""What fills the place of a lost member; a resync makes those equal that are left (md(4))."""
_TREND = 3
"""Counts that make a trend: of any two that vary by chance, the second is often the higher one."""
_TOLD = 4
"""Counts of a trend that are told."""


def array_findings(patient: Patient) -> Iterator[Finding]:
    """Return what is wrong with arrays."""
    for array in patient.facts.arrays:
        yield from _members(patient, array)
    for array in patient.facts.guest_arrays:
        yield _inside(patient, array)
    yield from _mismatches(patient)
    yield from _scrubs(patient)


def _members(patient: Patient, array: Array) -> Iterator[Finding]:
    subject = f"array {array.name}"
    look = f"mdadm --detail /dev/{array.name}"
    stays, refilled = left(array, patient.vitals.disks or ()), refill(array, patient.facts.arrays)
    reshaped = array.action == "reshape"
    if array.state is ArrayState.FAILED:
        yield Finding(
            name="array-failed",
            severity=Severity.CRITICAL,
            subject=subject,
            what=f"it does not run: {array.detail}",
            why="nothing on it can be read or written",
            todo=f"{look}; cat /proc/mdstat; dmesg",
        )
        return
    if array.state is ArrayState.READ_ONLY:
        yield Finding(
            name="array-read-only",
            severity=Severity.CRITICAL,
            subject=subject,
            what=f"it is read-only: {array.detail}",
            why="nothing on it can be written; the loss of its journal's disk makes it so, too",
            todo=f"{look}; dmesg; then: mdadm --readwrite /dev/{array.name}",
        )
    if array.missing and array.action == _REBUILD:
        yield Finding(
            name="array-rebuilding",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it is being rebuilt: {array.detail}",
            why="until that is done, one more disk that fails may take everything with it",
            todo="wait, and leave heavy work for later: cat /proc/mdstat",
        )
    elif array.missing:
        yield Finding(
            name="array-degraded",
            severity=Severity.CRITICAL,
            subject=subject,
            what="; ".join(filter(None, (f"it is degraded: {array.detail}", stays))),
            why="one more disk that fails may take all guests with it",
            todo=f"{look}; replace the disk, then: {refilled}",
        )
    elif array.faulty:
        yield Finding(
            name="array-spare-failed",
            severity=Severity.WARNING,
            subject=subject,
            what=f"{', '.join(array.faulty)} failed, and nothing depends on it yet",
            why="a spare that failed can't step in",
            todo=f"{look}; replace the disk, then: {refilled}",
        )
    elif array.action and array.action not in CHECKS:
        yield Finding(
            name="array-resyncing",
            severity=Severity.WARNING,
            subject=subject,
            what=f"{'it gets another shape' if reshaped else 'its members are being made equal'}: "
            f"{array.detail}",
            why="a disk that fails meanwhile may hold the only good copy; disks are slower as well",
            todo="wait: cat /proc/mdstat",
        )


def _inside(patient: Patient, array: Array) -> Finding:
    """Tell of an array that lies in guests' disks, as `group-of-guest-visible` of a group."""
    names = {one.kernel_name: one.full_name for one in patient.facts.volumes}
    return Finding(
        name="array-of-guest-visible",
        severity=Severity.WARNING,
        subject=f"array {array.name}",
        what=f"it lies inside {', '.join(names.get(one, one) for one in array.members)}, and the "
        "host has assembled it",
        why="the host may write to a guest's disk behind its back; the guest can't be started and "
        "its snapshots can't be removed meanwhile",
        todo="name the host's own arrays in mdadm.conf (mdadm --detail --scan, without this one), "
        "and have no other one assembled: AUTO -all; update-initramfs -u (Debian) or dracut "
        f"--force (EL); then: mdadm --stop /dev/{array.name}",
    )


def _mismatches(patient: Patient) -> Iterator[Finding]:
    levels = {array.name: array.level for array in patient.facts.arrays}
    trends = {
        trend.array: trend
        for trend in continued(patient.vitals.trends, patient.vitals.mismatches, patient.facts.time)
    }
    for array, level in levels.items():
        trend = trends.get(array)
        last = 0 if trend is None else _last(trend, patient.vitals.mismatches)
        if trend is None or not last or level not in _REDUNDANT:
            continue
        counts = trend.counts
        mirror = level in _MIRRORS
        look = f"smartctl --all on each member of {array}"
        rising = _rising(counts)
        grew = len(rising) >= _TREND and rising[-2].sectors > max(
            one.sectors for one in counts[:-2]
        )
        if grew:
            yield Finding(
                name="array-mismatches-grow",
                severity=Severity.WARNING,
                subject=f"array {array}",
                what=f"each check finds more sectors that differ between members: {_told(rising)}",
                why="a disk that lies, its cable or its controller: data on it go bad unseen",
                todo=f"{look}; dmesg; then replace the one that is suspect",
            )
        if grew and mirror:
            continue
        yield Finding(
            name="array-mismatches",
            severity=Severity.OK if mirror else Severity.WARNING,
            subject=f"array {array}",
            what=f"the last check found {last} sectors that differ between members",
            why=(
                "a guest that changes memory while it is being written makes mirrors differ, "
                "which does no harm; a count that grows from check to check is a disk that lies"
                if mirror
                else "its parity does not fit its data: a rebuild would restore wrong data"
            ),
            todo=f"nothing yet: it is compared with the next check; {look}" if mirror else look,
        )


def _last(trend: Trend, seen: tuple[Mismatches, ...]) -> int:
    """Return what the last check found, be it a piece of one."""
    whole = trend.counts[-1].sectors if trend.counts else 0
    pieces = (one.sectors for one in seen if one.array == trend.array and one.action in CHECKS)
    return next(pieces, 0) or whole if trend.pieces else whole


def _rising(counts: tuple[Count, ...]) -> tuple[Count, ...]:
    """Return the last counts, as far back as each is higher than the one before it."""
    start = max(
        (at for at in range(1, len(counts)) if counts[at].sectors <= counts[at - 1].sectors),
        default=0,
    )
    return counts[start:]


def _told(counts: tuple[Count, ...]) -> str:
    """Return the last counts of a trend that rises, with their days."""
    last = counts[-_TOLD:]
    return ", ".join(f"{one.sectors} ({one.time[:10]})" for one in last)


def _scrubs(patient: Patient) -> Iterator[Finding]:
    names = [array.name for array in patient.facts.arrays if array.level in _REDUNDANT]
    if not names or patient.unseen(UNITS_SEEN):
        return
    subject = f"array {', '.join(names)}"
    why = "sectors that nobody reads go bad unseen, and are found when the other disk has failed"
    check = "; ".join(f"echo check > /sys/block/{name}/md/sync_action" for name in names)
    schedules = patient.vitals.schedules
    if not schedules:
        yield Finding(
            name="array-never-checked",
            severity=Severity.WARNING,
            subject=subject,
            what="nothing has it checked regularly",
            why=why,
            todo="systemctl enable --now mdcheck_start.timer (Debian) or raid-check.timer (EL); "
            f"now: {check}",
        )
        return
    times = [one.last for one in schedules if one.last is not None]
    limit = patient.now - _SCRUBBED_WITHIN
    # Where no time is known, nothing is: the kernel keeps none, and units forget it at a boot.
    if times and max(times) < limit.timestamp():
        days = int((patient.now.timestamp() - max(times)) // 86400)
        yield Finding(
            name="array-not-checked-lately",
            severity=Severity.WARNING,
            subject=subject,
            what=f"its last check was begun {days} days ago",
            why=why,
            todo=f"systemctl list-timers {schedules[0].name}; now: {check}",
        )
