"""Backups: missing, late, failing, not proven, and what a dead run left of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from kvmkeep.health.patient import Patient
from kvmkeep.health.units import serves
from kvmkeep.model.backup_policy import BackupPolicy
from kvmkeep.model.calendar import parse_calendar
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.host_units import (
    BACKUP,
    BACKUP_TIMER,
    PROVE,
    PROVE_TIMER,
    PRUNE,
    PRUNE_TIMER,
    SYSTEMD,
    TIMERS,
    UNIT_DIR,
)
from kvmkeep.model.names import stamped_time
from kvmkeep.model.proof import Proof
from kvmkeep.model.snapshot import Level
from kvmkeep.model.spec import Guest
from kvmkeep.model.times import utc
from kvmkeep.model.units import Label
from kvmkeep.planning.backups.take import backup_sets
from kvmkeep.planning.scene import active
from kvmkeep.planning.snapshots.create import outside_disks
from kvmkeep.planning.units.install import wanted_texts

_LATE, _VERY_LATE = 2, 4
"""So many of the times that the spec gives have to pass: a single one may just be at work."""
_UNVERIFIED, _LONG_UNVERIFIED = timedelta(weeks=3), timedelta(weeks=8)
"""A check is made each week."""
_UNITS = (BACKUP, BACKUP_TIMER, PROVE, PROVE_TIMER, PRUNE, PRUNE_TIMER)
_INSTALL = "kvmkeep install-units"
FUTURE = "future"
"""The age of what is still to come."""
_CLOCK = "timedatectl, and set the clock right"
_LOST = "what is lost since cannot be brought back"


def backup_findings(patient: Patient) -> Iterator[Finding]:
    """Return what is wrong with backups; only what is remembered on this host is looked at."""
    wanted = [(guest, guest.backup) for guest in patient.spec.guests if guest.backup is not None]
    if wanted:
        yield from _units(patient)
        used = {policy.repository for _, policy in wanted}
        yield from _verified(patient, sorted(used))
    yield from _secrets(patient)
    yield from _left(patient)
    yield from _vanished(patient)
    for guest, policy in wanted:
        yield from _lacking(patient, guest)
        yield from _age(patient, guest, policy)
        yield from _frozen(patient, guest)
        yield from _proof(patient, guest, policy)


def _units(patient: Patient) -> Iterator[Finding]:
    units = patient.facts.units
    texts = wanted_texts(patient.spec, patient.facts, patient.options)
    files = {name: units.file(name) for name in _UNITS}
    unread, unanswered = patient.unseen_in(UNIT_DIR), patient.unseen(SYSTEMD)
    missing = [
        name
        for name, file in files.items()
        if (file is None and not unread)
        or (file is not None and name in TIMERS and not (file.enabled or unread))
        or (file is not None and name in TIMERS and not (file.active or unanswered))
    ]
    other = [
        name
        for name, file in files.items()
        if file is not None and (file.stale or (not unread and not serves(file.text, texts[name])))
    ]
    if missing or other:
        yield Finding(
            name="backups-not-scheduled",
            severity=Severity.WARNING,
            subject="host",
            what="nothing makes, proves or prunes backups by itself "
            f"({', '.join(missing)} is not at work, or does not begin with the host)"
            if missing
            else "backups are made in another way, or at other times than the spec says "
            f"({', '.join(other)})",
            why="a backup that somebody has to remember is not there when it is needed",
            todo=_INSTALL,
        )
    for name, what in (
        (BACKUP, "the last backups did not all go well"),
        (PROVE, "the last proofs of backups did not all go well"),
        (PRUNE, "the last prune or check of the repositories did not go well"),
    ):
        file = units.file(name)
        if file is not None and file.failed:
            yield Finding(
                name="backup-run-failed",
                severity=Severity.CRITICAL,
                subject=name,
                what=what,
                why="each further one may fail for the same reason",
                todo=f"systemctl status {name}; kvmkeep journal; then: systemctl start {name}",
            )


def _verified(patient: Patient, names: list[Label]) -> Iterator[Finding]:
    """Tell of repositories that were not found sound for long: a boot forgets a unit's failure."""
    for name in names:
        known = patient.facts.backups.upkeep_of(name)
        todo = f"kvmkeep backup verify {name} --data 5"
        if known.begun not in {"", known.verified} and not patient.facts.backups.running:
            yield Finding(
                name="repository-check-failed",
                severity=Severity.WARNING,
                subject=f"repository {name}",
                what=f"its check of {utc(known.begun):%F %R} UTC found damage, or was cut off",
                why="what has gone bad in it is missing where it is restored",
                todo=f"kvmkeep journal; then: {todo}",
            )
        past = patient.now - utc(known.verified) if known.verified else timedelta(0)
        if past > _UNVERIFIED:
            yield Finding(
                name="repository-not-verified",
                severity=Severity.CRITICAL if past > _LONG_UNVERIFIED else Severity.WARNING,
                subject=f"repository {name}",
                what=f"it was last found sound {age(past)} ago",
                why="since then each check found damage, or none came to its end",
                todo=todo,
            )


def _secrets(patient: Patient) -> Iterator[Finding]:
    """Tell of passwords and keys with which no verb opens a repository."""
    seen = {file.path: file for file in patient.facts.backups.secrets}
    for repository in patient.spec.repositories:
        for file in (seen[path] for path in repository.secrets if path in seen):
            severity = Severity.UNKNOWN if file.error else Severity.CRITICAL
            why = "kvmkeep does not open the repository so: nothing is backed up or restored"
            if file.comes_and_goes:
                severity = Severity.WARNING
                why = "no other unit can open the repository, and no verb that you type"
            for reason, hint in file.trouble:
                yield Finding(
                    name="backup-secret",
                    severity=severity,
                    subject=f"repository {repository.name}",
                    what=reason,
                    why=why,
                    todo=hint,
                )


def _left(patient: Patient) -> Iterator[Finding]:
    """Tell of what a dead run left, while no other is at work."""
    if patient.facts.backups.running:
        return
    for one in backup_sets(patient.spec, patient.facts):
        yield Finding(
            name="backup-left",
            severity=Severity.WARNING,
            subject=f"snapshot {one.name} of {one.guest}",
            what="a run that was to back it up ended, and left it",
            why="it slows its guest's writes down, and fills",
            todo="kvmkeep watch, which deletes it; so does the next kvmkeep backup run",
        )


def _lacking(patient: Patient, guest: Guest) -> Iterator[Finding]:
    """Tell of a guest's disks that no backup of it has."""
    domain = patient.scene.own_domain(guest)
    outside = () if domain is None else outside_disks(patient.scene, guest, domain)
    if outside:
        yield Finding(
            name="backup-lacks-disk",
            severity=Severity.WARNING,
            subject=f"guest {guest.name}",
            what=f"it has {', '.join(outside)}, which is in no backup of it",
            why="only the logical volumes of the spec are backed up; what else it has is lost with"
            " the host, and a restore refuses its definition",
            todo="copy it to a disk of the spec, or back it up by other means and detach it",
        )


def _vanished(patient: Patient) -> Iterator[Finding]:
    """Tell of backups that somebody else took away; a newer one does not make up for them."""
    for guest in patient.spec.guests:
        one = patient.facts.backups.vanished_of(guest.identity)
        if one is None:
            continue
        yield Finding(
            name="backup-vanished",
            severity=Severity.CRITICAL,
            subject=f"guest {guest.name}",
            what=f"its backup {one.moment}, which this host made, was not listed any more by "
            f"repository {one.repository}",
            why="somebody, or a fault of its store, took away what was to be kept: perhaps more",
            todo=f"kvmkeep backup list {guest.name}, and ask who keeps that store; if it was meant "
            f"to go: kvmkeep backup forget {guest.name}@{one.moment}",
        )


def _age(patient: Patient, guest: Guest, policy: BackupPolicy) -> Iterator[Finding]:
    subject, todo = f"guest {guest.name}", f"kvmkeep backup run {guest.name}"
    last = patient.facts.backups.last_of(guest.identity)
    time = None if last is None else stamped_time(last.moment)
    if last is None or time is None:
        noted = patient.facts.backups.awaited_of(guest.identity)
        since = (stamped_time(noted.moment) if noted is not None else None) or patient.now
        waited = passed(policy.schedule, since, patient.now) >= _VERY_LATE
        yield Finding(
            name="backup-missing",
            severity=Severity.CRITICAL if waited else Severity.WARNING,
            subject=subject,
            what="it was never backed up from this host",
            why="what is lost cannot be brought back",
            todo=todo,
        )
        return
    turns = passed(policy.schedule, time, patient.now)
    if time > patient.now:
        yield Finding(
            name="backup-late",
            severity=Severity.WARNING,
            subject=subject,
            what=f"its last backup is of {time:%F %R} UTC, which is still to come",
            why="a clock was or is wrong, so nobody can say how much is lost without it",
            todo=f"{_CLOCK}; {todo}",
        )
    elif turns >= _LATE:
        yield Finding(
            name="backup-late",
            severity=Severity.CRITICAL if turns >= _VERY_LATE else Severity.WARNING,
            subject=subject,
            what=f"its last backup is {age(patient.now - time)} old",
            why=_LOST,
            todo=todo,
        )
    if last.repository != policy.repository:
        yield Finding(
            name="backup-elsewhere",
            severity=Severity.WARNING,
            subject=subject,
            what=f"its last backup is in {last.repository}, and the spec wants {policy.repository}",
            why="who looks for it finds none where the spec points to",
            todo=todo,
        )


def _frozen(patient: Patient, guest: Guest) -> Iterator[Finding]:
    """Tell of a guest that could be frozen, and was not when it was last backed up."""
    last = patient.facts.backups.last_of(guest.identity)
    domain = patient.scene.own_domain(guest)
    if last is None or last.level != Level.CRASH or domain is None:
        return
    if active(domain) and domain.agent:
        yield Finding(
            name="backup-not-frozen",
            severity=Severity.WARNING,
            subject=f"guest {guest.name}",
            what=f"its last backup, {last.moment}, was made without freezing its filesystems",
            why="its agent is there and did not freeze them, or was not there then: what is "
            "restored is as after a power cut",
            todo=f"kvmkeep backup run {guest.name} --consistency frozen, which says why it can't",
        )


def _proof(patient: Patient, guest: Guest, policy: BackupPolicy) -> Iterator[Finding]:
    subject, todo = f"guest {guest.name}", f"kvmkeep backup prove {guest.name}"
    last = patient.facts.backups.last_of(guest.identity)
    if last is None:
        return
    proof = patient.facts.backups.proof_of(guest.identity, patient.now)
    if proof is None:
        timer = patient.facts.units.file(PROVE_TIMER)
        since = stamped_time(last.first) or patient.now
        waited = passed(policy.prove, since, patient.now) >= _LATE
        works = timer is not None and (timer.active or patient.unseen(SYSTEMD))
        yield Finding(
            name="backup-unproven",
            severity=Severity.OK if works and not waited else Severity.WARNING,
            subject=subject,
            what=f"no backup of it in {last.repository} was started yet, to see that it can be",
            why="a backup that was never started may not start",
            todo=todo,
        )
        return
    if not proof.proven:
        fell = [one for one in proof.rungs if not one.passed]
        first = ", ".join(filter(None, (fell[0].name, fell[0].unanswered))) if fell else ""
        doubt = _doubt(proof)
        ended = "could not be tried to the end" if proof.untried else "did not prove good"
        look = f"look at {proof.screen or 'the journal'}"
        yield Finding(
            name="backup-proof-failed",
            severity=Severity.WARNING if doubt else Severity.CRITICAL,
            subject=subject,
            what=f"its backup {proof.moment} {ended}"
            + (f" ({first})" if first else "")
            + (f"; it had {proof.little} of memory" if proof.little else "")
            + (f"; it did at {proof.proven_before}" if proof.proven_before else ""),
            why=doubt
            or "if the guest is lost now, this backup does not bring it back as it should",
            todo=f"{proof.mend or look}; {todo}",
        )
        return
    proven = utc(proof.time)
    if proven > patient.now:
        yield Finding(
            name="backup-proof-late",
            severity=Severity.WARNING,
            subject=subject,
            what=f"its last proof is of {proven:%F %R} UTC, which is still to come",
            why="a clock was or is wrong, so nobody can say what was never tried since",
            todo=f"{_CLOCK}; {todo}",
        )
    elif passed(policy.prove, proven, patient.now) >= _LATE:
        yield Finding(
            name="backup-proof-late",
            severity=Severity.WARNING,
            subject=subject,
            what=f"its last proof is {age(patient.now - proven)} old",
            why="what has changed since in guest and host was never tried",
            todo=todo,
        )


def _doubt(proof: Proof) -> str:
    """Return why a proof that did not hold may say nothing about the backup; empty if it does."""
    if proof.proven_before:
        return "it brought the guest up before, so look whether that is the backup's fault"
    if proof.untried:
        return "nobody knows whether it is good: what else was tried of it held"
    return ""


def passed(schedule: str, since: datetime, now: datetime) -> int:
    """Return how many of the times of a schedule have passed since a time; at most four."""
    calendar = parse_calendar(schedule)
    count, before = 0, now
    while count < _VERY_LATE:
        last = calendar.last(before)
        if last is None or last <= since:
            break
        count, before = count + 1, last - timedelta(seconds=1)
    return count


def age(past: timedelta) -> str:
    """Return an age as people say it: days, or hours on the first; a clock may have been wrong."""
    if past < timedelta(0):
        return FUTURE
    hours = int(past.total_seconds() // 3600)
    return f"{hours // 24} d" if hours >= 24 else f"{hours} h"
