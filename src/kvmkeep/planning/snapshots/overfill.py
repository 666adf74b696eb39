"""Which other sets a merge would fill: LVM copies what it overwrites to each of them."""

from __future__ import annotations

from kvmkeep.model.facts import Volume
from kvmkeep.model.names import stamped_time
from kvmkeep.model.plan import Reason
from kvmkeep.model.snapshot import SnapshotSet
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import Size
from kvmkeep.planning.scene import Scene
from kvmkeep.planning.snapshots.mend import sets_of


def overfilled(scene: Scene, guest: Guest, back_to: SnapshotSet, member: Volume) -> list[Reason]:
    """Refuse where a later set would be lost: LVM copies into it what a merge overwrites.

    An older set has all of that: it was copied there as well when the origin was written.
    """
    most = Size(round(member.size.bytes * member.filled_percent / 100))
    origin = scene.volumes.get(member.origin)
    found: list[Reason] = []
    for other in (each for each in sets_of(scene, guest) if _may_lose(each, back_to)):
        for one in (each for each in other.members if each.origin == member.origin):
            room = Size(round(one.size.bytes * (1 - one.filled_percent / 100)))
            if origin is None or one.size >= origin.size or most <= room:
                continue
            reason = (
                f"the set {other.name} may be lost by it: up to {most} of {origin.name} are "
                f"overwritten, and {one.name} has room for {room} of that"
            )
            more = scene.rounded(most)
            hint = (
                f"extend it first: lvextend --size +{more.bytes}b {one.full_name}; or delete that "
                f"set: kvmkeep snapshot delete {guest.name} {other.name}"
            )
            found.append((reason, hint))
    return found


def _may_lose(other: SnapshotSet, back_to: SnapshotSet) -> bool:
    """Whether a set that is good lacks something of what was written since another one."""
    times = (stamped_time(other.taken), stamped_time(back_to.taken))
    older = times[0] is not None and times[1] is not None and times[0] < times[1]
    return other.name != back_to.name and not other.trouble and not older
