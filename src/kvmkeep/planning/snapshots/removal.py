"""Deleting snapshots: one by one, by full name, and only what still is our snapshot."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.command import Command, Meaning
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import STATE_PARTIAL, TAG_GUEST, TAG_OURS, TAG_SET
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.snapshot import SnapshotSet
from kvmkeep.planning.lvm import removal as removal_of
from kvmkeep.planning.lvm import selected, selection


def removal(one: SnapshotSet, why: str) -> tuple[Step, ...]:
    """Return what deletes a set.

    One member wears the tag of an incomplete set until all others are gone: whatever is left of a
    killed run never looks like a set to go back to.
    """
    marked = [member for member in one.members if STATE_PARTIAL in member.tags]
    plain = [member for member in one.members if STATE_PARTIAL not in member.tags]
    steps: list[Step] = []
    if not marked:
        marked = [plain.pop()]
        steps.append(_mark_step(one, marked[0], why))
    steps += [_remove_step(one, member, why) for member in (*plain, *marked)]
    return tuple(steps)


def still_ours(one: SnapshotSet, member: Volume) -> Command:
    """Succeed only while the LV is our snapshot of just this guest, set and origin (lvs(8))."""
    why = "see that the LV still is this snapshot of ours"
    return selected(member.full_name, _ours(one, member), why)


def still_good(one: SnapshotSet, member: Volume, *meanings: Meaning) -> Command:
    """Succeed only while, besides, it holds all that was overwritten: it did not get full."""
    select = f'{_ours(one, member)} && lv_snapshot_invalid!="snapshot invalid"'
    look = selected(member.full_name, select, "see that the snapshot did not get full meanwhile")
    return replace(look, meanings=meanings)


def _ours(one: SnapshotSet, member: Volume) -> str:
    return f"origin={member.origin} && {selection(_marks(one))}"


def _marks(one: SnapshotSet) -> tuple[str, ...]:
    return (TAG_OURS, TAG_GUEST + one.guest, TAG_SET + one.name)


def _mark_step(one: SnapshotSet, member: Volume, why: str) -> Step:
    lv = member.full_name
    mark = Command(
        argv=("lvchange", "--addtag", STATE_PARTIAL, lv),
        why="from now on the set is not one to go back to",
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {one.guest}",
        what=f"mark set {one.name} as one that is being deleted",
        why=why,
        probe=still_ours(one, member),
        actions=(mark,),
    )


def _remove_step(one: SnapshotSet, member: Volume, why: str) -> Step:
    lv = member.full_name
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {one.guest}",
        what=f"delete snapshot {lv}",
        why=why,
        probe=still_ours(one, member),
        actions=removal_of(lv, _marks(one), "delete the snapshot"),
    )
