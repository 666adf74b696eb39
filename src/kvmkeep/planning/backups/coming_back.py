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
    """Whether only this disk was asked for.

    A guest that comes back whole has its root disk completed last, and its definition after that:
    a further disk that is not complete beside a root disk that is was asked for alone.
    """
    if disk != guest.root:
        return _complete(scene, guest.root)
    others = [one for one in guest.volumes if one != disk]
    return (
        bool(others)
        and all(_complete(scene, one) for one in others)
        and scene.own_domain(guest) is not None
    )


def _complete(scene: Scene, disk: LvDisk) -> bool:
    volume = scene.volume(disk)
    return volume is not None and STATE_FILLING not in volume.tags
