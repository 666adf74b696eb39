"""The plan of `snapshot delete`: sets that are ours, of a guest that need not exist any more."""

from __future__ import annotations

from datetime import datetime

from kvmkeep.model.facts import Facts
from kvmkeep.model.names import BACKUP_LOCK, TAG_GUEST, TAG_REVERT
from kvmkeep.model.plan import Plan, Refusal
from kvmkeep.model.snapshot import SnapshotSet, expired, snapshot_sets
from kvmkeep.model.spec import Spec
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.take import repository_of
from kvmkeep.planning.lvm import who_has
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.snapshots.removal import removal


def plan_delete(spec: Spec, facts: Facts, guest: str, names: tuple[str, ...]) -> Plan:
    """Plan to delete sets of a guest; one that is not there is deleted already."""
    sets = snapshot_sets(facts.volumes, spec.storage.vg)
    chosen = [one for one in sets if one.guest == guest and one.name in names]
    return _plan(spec, facts, chosen, "you asked for it")


def plan_delete_expired(spec: Spec, facts: Facts, now: datetime, guest: str = "") -> Plan:
    """Plan to delete the sets that were wanted until `now` or less; of all guests or of one."""
    sets = snapshot_sets(facts.volumes, spec.storage.vg)
    ours = [one for one in sets if not guest or one.guest == guest]
    return _plan(spec, facts, [one for one in ours if expired(one, now)], "it is past its date")


def _plan(spec: Spec, facts: Facts, chosen: list[SnapshotSet], why: str) -> Plan:
    scene = make_scene(spec, facts, ())
    steps = tuple(step for one in chosen for step in removal(one, why))
    return Plan(
        steps=steps,
        refusals=(
            *guards.blind_for(scene),
            *guards.blind(scene, BACKUP_LOCK),
            *programs.missing_tools(scene, steps),
            *(
                refusal
                for one in chosen
                for refusal in (*_in_use(one), *_reverting(facts, one), *_backed_up(facts, one))
            ),
        ),
    )


def _in_use(one: SnapshotSet) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            subject=f"guest {one.guest}",
            reason=f"something has the snapshot {member.full_name} open",
            hint=who_has(member.full_name),
        )
        for member in one.members
        if member.opened
    )


def _backed_up(facts: Facts, one: SnapshotSet) -> tuple[Refusal, ...]:
    """Refuse a set that a backup is, or will be, read from."""
    if not (facts.backups.running and repository_of(one)):
        return ()
    hint = "wait: it is deleted by itself when the backup ends"
    reason = f"its set {one.name} is being backed up"
    return (Refusal(subject=f"guest {one.guest}", reason=reason, hint=hint),)


def _reverting(facts: Facts, one: SnapshotSet) -> tuple[Refusal, ...]:
    """Refuse a set that a guest is on its way back to: its disks would be of two times."""
    marks = {TAG_REVERT + one.name, TAG_GUEST + one.guest}
    if not any(marks <= set(volume.tags) for volume in facts.volumes):
        return ()
    hint = f"finish that: kvmkeep snapshot revert {one.guest} {one.name}"
    reason = f"its revert to {one.name} is not done"
    return (Refusal(subject=f"guest {one.guest}", reason=reason, hint=hint),)
