"""The plan of `snapshot watch`: snapshots that are about to get full grow before they are lost.

dmeventd(8) would do the same, if it were asked to: its threshold is off by default, it counts for
all snapshots of the host, and it knows of no reserve.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.plan import Note, Noun, Plan, Step
from kvmkeep.model.snapshot import SnapshotSet, disk_of, full_size, snapshot_sets
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.scene import Scene, make_scene
from kvmkeep.planning.snapshots.removal import still_ours

_ENOUGH = 0.9
"""A snapshot grows until its fill is this share of the threshold: it need not grow at once again.
"""


class Watch(Struct, frozen=True, kw_only=True):
    """When a snapshot grows, and by how much, both in percent. `guests`: none named means all."""

    at: int = 70
    by: int = 25
    guests: tuple[str, ...] = ()


class _Need(Struct, frozen=True, kw_only=True):
    """A snapshot that fills, and the size that it should have."""

    of: SnapshotSet
    member: Volume
    size: Size


def plan_watch(spec: Spec, facts: Facts, watch: Watch) -> Plan:
    """Plan to extend the snapshots that fill, the fullest first, from what the host can spare.

    What can't be helped is told in the notes: nobody else's snapshots wait for that.
    """
    scene = make_scene(spec, facts, ())
    sets = [
        one
        for one in snapshot_sets(facts.volumes, spec.storage.vg)
        if not watch.guests or one.guest in watch.guests
    ]
    notes = [note for one in sets for note in _lost(one)]
    steps: list[Step] = []
    free = Size(0)
    if scene.group is not None:
        free = scene.group.free.minus(spec.host.storage_reserve)
    for need in _needs(scene, sets, watch):
        size = min(need.size, need.member.size + _whole(scene, free))
        if size < need.size:
            notes.append(_no_room(need, free))
        if size > need.member.size:
            free = free.minus(size.minus(need.member.size))
            steps.append(_extend(need, size))
    return Plan(
        steps=tuple(steps),
        refusals=(
            *guards.blind_for(scene),
            *programs.missing_tools(scene, tuple(steps)),
            # More room is no new disk: what is lost with an array is lost either way.
            *groups.group_exists(scene),
            *groups.whole_group(scene, steps),
        ),
        notes=tuple(notes),
    )


def _needs(scene: Scene, sets: list[SnapshotSet], watch: Watch) -> list[_Need]:
    found = [
        _Need(of=one, member=member, size=_size(scene, member, watch))
        for one in sets
        if not one.partial
        for member in one.members
        if _fills(scene, member, watch)
    ]
    return sorted(found, key=lambda need: -need.member.filled_percent)


def _fills(scene: Scene, member: Volume, watch: Watch) -> bool:
    origin = scene.volumes.get(member.origin)
    return (
        not member.invalid
        and member.filled_percent >= watch.at
        # LVM gives one that can hold all of its origin a bit more than the origin's size.
        and origin is not None
        and member.size <= origin.size
    )


def _size(scene: Scene, member: Volume, watch: Watch) -> Size:
    """Return the size at which a snapshot is full enough below the threshold, or its full size."""
    origin, extent = scene.volumes[member.origin].size, _extent(scene)
    used = member.size.bytes * member.filled_percent / 100
    size = member.size
    while used / size.bytes * 100 > watch.at * _ENOUGH or size == member.size:
        size = Size(size.bytes + size.bytes * watch.by // 100 + 1).rounded_up(extent)
        if size > origin:
            return full_size(origin, extent)
    return size


def _extent(scene: Scene) -> Size:
    return scene.group.extent if scene.group is not None else Size(1)


def _whole(scene: Scene, free: Size) -> Size:
    extent = _extent(scene).bytes
    return Size(free.bytes // extent * extent)


def _extend(need: _Need, size: Size) -> Step:
    member, lv = need.member, need.member.full_name
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {need.of.guest}",
        what=f"extend snapshot {lv} from {member.size} to {size}",
        why=f"it is {member.filled_percent:.0f} % full, and lost once it is quite full",
        probe=still_ours(need.of, member),
        actions=(
            Command(
                argv=("lvextend", "--size", f"{size.bytes}b", lv),
                why="give it room for more old blocks of the disk",
                timeout=120.0,
            ),
        ),
    )


def _lost(one: SnapshotSet) -> list[Note]:
    names = ", ".join(disk_of(member) for member in one.members if member.invalid)
    if not names:
        return []
    text = (
        f"set {one.name} is lost: the snapshot of {names} got full; "
        f"delete it: kvmkeep snapshot delete {one.guest} {one.name}"
    )
    return [Note(subject=f"guest {one.guest}", text=text)]


def _no_room(need: _Need, free: Size) -> Note:
    member = need.member
    text = (
        f"snapshot {member.name} is {member.filled_percent:.0f} % full and should grow from "
        f"{member.size} to {need.size}, but only {free} may be used besides the host's reserve; "
        "delete old sets (kvmkeep snapshot list), or extend the volume group"
    )
    return Note(subject=f"guest {need.of.guest}", text=text)
