"""The plan of `remove --disk`: a disk that its guest has no more goes into the trash alone."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.facts import Facts
from kvmkeep.model.names import TAG_DISK, TAG_TRASH, utc_stamp
from kvmkeep.model.plan import Plan, Reason, refused
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Spec
from kvmkeep.model.trash import is_trash, trash_entries
from kvmkeep.planning import guards
from kvmkeep.planning.running.saved import saved_reasons
from kvmkeep.planning.scene import Scene, make_scene, users_of
from kvmkeep.planning.trash.moves import guests_volumes, mark_step, rename_step, trouble


class RemovingDisk(Struct, frozen=True, kw_only=True):
    """Which disk of which guest goes, at which `moment` (UTC, ISO 8601)."""

    guest: str
    disk: str
    moment: str


def plan_remove_disk(spec: Spec, facts: Facts, removing: RemovingDisk) -> Plan:
    """Plan to bring a disk's LV into the trash; one that is nowhere is there already."""
    scene = make_scene(spec, facts, ())
    volumes = [
        one
        for one in guests_volumes(scene, removing.guest)
        if TAG_DISK + removing.disk in one.tags and not one.origin
    ]
    if not volumes:
        return Plan(refusals=guards.unseen(scene))
    subject = f"guest {removing.guest}"
    begun = next((tag_value(one, TAG_TRASH) for one in volumes if is_trash(one)), "")
    stamp = begun or utc_stamp(removing.moment)
    reasons = [*_of_spec(spec, removing), *saved_reasons(scene.domains.get(removing.guest))]
    for volume in volumes:
        reasons += trouble(scene, volume, removing.guest, running=False)
        reasons += _of_uses(scene, volume.name, volume.device, removing)
    entries = trash_entries(facts.volumes, spec.storage.vg, facts.trash)
    if not begun and any(one.name == f"{removing.guest}-{stamp}" for one in entries):
        reasons.append((f"there is a {removing.guest}-{stamp} in the trash", "wait a minute"))
    unmarked = [one for one in volumes if not is_trash(one)]
    steps = [mark_step(removing.guest, unmarked, stamp, None)] if unmarked else []
    why = f"to take it back: kvmkeep trash restore {removing.guest}-{stamp}"
    steps += [rename_step(removing.guest, one, stamp, why) for one in volumes]
    return Plan(
        steps=() if reasons else tuple(steps),
        refusals=(
            *guards.unseen(scene),
            *refused(subject, reasons),
        ),
    )


def _of_spec(spec: Spec, removing: RemovingDisk) -> list[Reason]:
    guest = spec.guest(removing.guest)
    if guest is None:
        return []
    found: list[Reason] = []
    if guest.protect:
        hint = f"if the disk really is to go, take `protect: true` out of {guest.place.file}"
        found.append(("it is protected by its spec", hint))
    if removing.disk in {disk.name for disk in guest.disks}:
        hint = f"take the disk out of {guest.place.file}, then: kvmkeep apply {guest.name}"
        found.append((f"its spec has the disk {removing.disk}", hint))
    return found


def _of_uses(scene: Scene, lv: str, device: str, removing: RemovingDisk) -> list[Reason]:
    """Refuse a disk that its guest still has, or of which there are snapshots."""
    found: list[Reason] = []
    if removing.guest in users_of(scene, lv, device):
        hint = f"have it detached first: kvmkeep apply {removing.guest}"
        found.append((f"it still has the disk {removing.disk}", hint))
    snapshots = [one.full_name for one in scene.volumes.values() if one.origin == lv]
    if snapshots:
        hint = f"delete their sets first: kvmkeep snapshot list {removing.guest}"
        found.append((f"there are snapshots of the disk: {' '.join(snapshots)}", hint))
    return found
