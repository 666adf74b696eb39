"""A disk on its way back from a backup: until it is complete, its guest must not run on it."""

from __future__ import annotations

from kvmkeep.model.facts import Volume
from kvmkeep.model.names import STATE_FILLING, TAG_RESTORE
from kvmkeep.model.plan import Refusal
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, LvDisk
from kvmkeep.planning.scene import Scene, owned


def coming_back(scene: Scene, guest: Guest, disk: LvDisk) -> Refusal | None:
    """Return why a disk can't be used yet, if a restore of it did not end."""
    volume = scene.volume(disk)
    if volume is None or not owned(volume, guest, disk) or not _on_its_way(volume):
        return None
    moment = tag_value(volume, TAG_RESTORE).partition("/")[0]
    return Refusal(
        subject=f"guest {guest.name}",
        reason=f"{volume.full_name} is coming back from the backup {moment}, and is not complete",
        hint=f"finish that: kvmkeep backup restore {guest.name}@{moment}"
        + (f" --disk {disk.name}" if _alone(scene, guest, disk) else ""),
    )


def _on_its_way(volume: Volume) -> bool:
    return STATE_FILLING in volume.tags and bool(tag_value(volume, TAG_RESTORE))


def _alone(scene: Scene, guest: Guest, disk: LvDisk) -> bool:
    """Whether only this disk was asked for: the others are there, and complete.

    Of a guest that comes back whole, all disks are made first, and the root disk is completed last.
    """
    others = [scene.volume(one) for one in guest.volumes if one != disk]
    return bool(others) and all(one is not None and STATE_FILLING not in one.tags for one in others)
