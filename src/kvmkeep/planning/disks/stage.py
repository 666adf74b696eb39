"""How far a guest's disks are: read from tags and domains, never from a journal."""

from __future__ import annotations

from enum import StrEnum

from kvmkeep.model.names import STATE_FILLING, STATE_FRESH, TAG_CLONE
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import FirstBoot, Guest, LvDisk
from kvmkeep.planning.scene import Scene, active, names_of, owned, users


class Stage(StrEnum):
    """Where a disk is on its way into service."""

    ABSENT = "absent"
    FILLING = "filling"
    FRESH = "fresh"
    SERVICE = "in service"
    LOST = "lost"
    """The domain has this disk, but the LV is gone: a new one would hide the loss.

    So it is of a guest that was taken over, even without its domain: it can't be made anew. Of
    another one without its domain, the kept definition tells which further disks it had.
    """
    FOREIGN = "foreign"
    """There is an LV of that name without our mark, or with another disk's."""


def stage(scene: Scene, guest: Guest, disk: LvDisk) -> Stage:
    """Return how far a guest's disk is."""
    volume = scene.volume(disk)
    if volume is None:
        if scene.domain(guest) is None:
            lost = guest.adopted or _was_kept(scene, guest, disk)
            return Stage.LOST if lost else Stage.ABSENT
        lost = disk == guest.root or guest.name in users(scene, disk)
        return Stage.LOST if lost else Stage.ABSENT
    if not owned(volume, guest, disk):
        return Stage.FOREIGN
    if STATE_FILLING in volume.tags:
        return Stage.FILLING
    return Stage.FRESH if STATE_FRESH in volume.tags else Stage.SERVICE


def _was_kept(scene: Scene, guest: Guest, disk: LvDisk) -> bool:
    """Whether a guest in service that libvirt has lost had this further disk."""
    saved = scene.saved.get(guest.name)
    kept = saved.domain if saved is not None else None
    if kept is None or kept.uuid != guest.uuid or disk == guest.root:
        return False
    if stage(scene, guest, guest.root) is not Stage.SERVICE:
        return False
    names = {*names_of(scene, disk)}
    return any(one.source in names for one in kept.disks)


def fresh(scene: Scene, guest: Guest) -> bool:
    """Whether a guest has its first boot before it, or is in the middle of it."""
    return stage(scene, guest, guest.root) in {Stage.ABSENT, Stage.FILLING, Stage.FRESH}


def cloned_from(scene: Scene, guest: Guest) -> str:
    """Return which guest this one's root LV is a copy of; empty where it is none."""
    volume = scene.volume(guest.root)
    ours = volume is not None and owned(volume, guest, guest.root)
    return tag_value(volume, TAG_CLONE) if volume is not None and ours else ""


def needs_image(scene: Scene, guest: Guest) -> bool:
    """Whether the guest's image is still to be written to its root LV."""
    return stage(scene, guest, guest.root) in {Stage.ABSENT, Stage.FILLING}


def needs_seed(scene: Scene, guest: Guest) -> bool:
    """Whether a seed is to be made (again): the guest is fresh and does not run yet."""
    if guest.first_boot is FirstBoot.NONE or not fresh(scene, guest):
        return False
    domain = scene.domain(guest)
    return domain is None or not active(domain)
