"""Whose time has come: guests to be backed up, and backups to be proven, the oldest first."""

from __future__ import annotations

from datetime import UTC, datetime

from kvmkeep.model.backup import BackupFacts
from kvmkeep.model.calendar import parse_calendar
from kvmkeep.model.names import stamped_time
from kvmkeep.model.spec import Spec
from kvmkeep.model.times import utc
from kvmkeep.model.units import GuestName

_NEVER = datetime.min.replace(tzinfo=UTC)


def due_backups(spec: Spec, known: BackupFacts, now: datetime) -> tuple[GuestName, ...]:
    """Return the guests whose schedule has come since their last backup; `now` in local time."""
    found: list[tuple[datetime, GuestName]] = []
    for guest in spec.guests:
        if guest.backup is None:
            continue
        last = known.last_of(guest.identity)
        time = (stamped_time(last.moment) if last is not None else None) or _NEVER
        if _came(guest.backup.schedule, time, now):
            found.append((time, guest.name))
    return tuple(name for _, name in sorted(found))


def due_proofs(spec: Spec, known: BackupFacts, now: datetime) -> tuple[GuestName, ...]:
    """Return the guests that have a backup, and whose proof is due; `now` in local time."""
    found: list[tuple[datetime, GuestName]] = []
    for guest in spec.guests:
        if guest.backup is None or known.last_of(guest.identity) is None:
            continue
        proof = known.proof_of(guest.identity, now)
        time = utc(proof.time) if proof is not None else _NEVER
        if _came(guest.backup.prove, time, now):
            found.append((time, guest.name))
    return tuple(name for _, name in sorted(found))


def _came(schedule: str, since: datetime, now: datetime) -> bool:
    """Whether a time of the schedule lies behind; what comes from the future was a wrong clock."""
    last = parse_calendar(schedule).last(now)
    return since > now or (last is not None and last > since)
