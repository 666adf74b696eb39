"""Keeping the present state of a guest as a set, before its disks are taken back to another one.

It is taken of the guest that is off, in full size: LVM copies each block that a merge overwrites
to the other snapshots of the origin, so that a smaller one would be lost in the middle.
"""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.names import TAG_KEPT
from kvmkeep.model.plan import Note, Refusal, Step
from kvmkeep.model.snapshot import SnapshotSet
from kvmkeep.model.spec import Guest
from kvmkeep.planning.scene import Scene
from kvmkeep.planning.snapshots.create import (
    SnapshotRequest,
    long_names,
    room,
    set_name,
    take_steps,
)
from kvmkeep.planning.snapshots.mend import sets_of, tidy_steps


def kept(scene: Scene, guest: Guest, to: str) -> SnapshotSet | None:
    """Return the set that a run took already before it began to go back to the set `to`."""
    return next((one for one in sets_of(scene, guest) if _keeps(one, to)), None)


def keep_steps(scene: Scene, guest: Guest, to: str, moment: str) -> tuple[Step, ...]:
    """Return what keeps the state of a guest that is off by then; nothing if that was done."""
    if kept(scene, guest, to) is not None:
        return ()
    return (
        *tidy_steps(scene, guest),
        *take_steps(_off(scene, guest), guest, _wish(guest, to, moment)),
    )


def keep_refusals(
    scene: Scene, guest: Guest, to: str, moment: str, whole: SnapshotSet | None
) -> tuple[Refusal, ...]:
    """Return why the present state can't be kept; `whole` is the set, if no merge has begun."""
    if kept(scene, guest, to) is not None:
        return ()
    if whole is None:
        reason = f"its disks are on their way back to {to} already: there is nothing to be kept"
        return (Refusal(subject=f"guest {guest.name}", reason=reason, hint="leave --keep out"),)
    wish = _wish(guest, to, moment)
    refusals = (*long_names(scene, guest, wish), *room(scene, [guest], wish))
    hint = "make room, or go back without keeping the present state: leave --keep out"
    return tuple(replace(one, hint=hint) for one in refusals)


def keep_notes(scene: Scene, guest: Guest, to: str, moment: str) -> tuple[Note, ...]:
    """Say how the set is called that keeps the present state."""
    one = kept(scene, guest, to)
    name = set_name(scene, guest, _wish(guest, to, moment)) if one is None else one.name
    text = f"its present state is kept as the set {name}"
    return (Note(subject=f"guest {guest.name}", text=text),)


def _keeps(one: SnapshotSet, to: str) -> bool:
    return not one.trouble and all(TAG_KEPT + to in member.tags for member in one.members)


def _wish(guest: Guest, to: str, moment: str) -> SnapshotRequest:
    return SnapshotRequest(guests=(guest.name,), moment=moment, kept_before=to)


def _off(scene: Scene, guest: Guest) -> Scene:
    """Return the scene as it is once the guest is off."""
    domain = replace(scene.domains[guest.name], state=DomainState.SHUTOFF)
    own = [volume for disk in guest.volumes if (volume := scene.volume(disk)) is not None]
    closed = {volume.name: replace(volume, opened=False) for volume in own}
    return replace(
        scene,
        domains={**scene.domains, guest.name: domain},
        volumes={**scene.volumes, **closed},
    )
