"""The plan of `snapshot delete`: sets that are ours, of a guest that need not exist any more."""

from __future__ import annotations

from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan, Refusal
from kvmkeep.model.snapshot import SnapshotSet, snapshot_sets
from kvmkeep.model.spec import Spec
from kvmkeep.planning import guards
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.snapshot_remove import removal


def plan_delete(spec: Spec, facts: Facts, guest: str, names: tuple[str, ...]) -> Plan:
    """Plan to delete sets of a guest; one that is not there is deleted already."""
    scene = make_scene(spec, facts, ())
    sets = snapshot_sets(facts.volumes, spec.storage.vg)
    chosen = [one for one in sets if one.guest == guest and one.name in names]
    steps = tuple(step for one in chosen for step in removal(one, "you asked for it"))
    return Plan(
        steps=steps,
        refusals=(
            *guards.unseen(scene),
            *guards.missing_tools(scene, steps),
            *(refusal for one in chosen for refusal in _in_use(one)),
        ),
    )


def _in_use(one: SnapshotSet) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            subject=f"guest {one.guest}",
            reason=f"something has the snapshot {member.vg}/{member.name} open",
            hint=f"see who: lsof /dev/{member.vg}/{member.name}; dmsetup ls --tree",
        )
        for member in one.members
        if member.opened
    )
