"""Which LVs of a guest are those that a restore has made, by their tags, and which go for them."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import STATE_FILLING, TAG_DISK, TAG_RESTORE
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, LvDisk
from kvmkeep.planning.disks.storage import has_tags
from kvmkeep.planning.scene import Scene, owned
from kvmkeep.planning.trash.moves import guests_volumes


def is_back(scene: Scene, guest: Guest, disks: Iterable[LvDisk], moment: str) -> bool:
    """Whether these are the backup's disks of that moment, put into service and never used.

    A run that was stopped before the definition leaves them so. Once a guest was defined here, its
    definition is kept; then it may have run on them.
    """
    if guest.name in scene.domains or guest.name in scene.saved:
        return False
    volumes = [(scene.volumes.get(disk.lv), disk) for disk in disks]
    return all(
        one is not None
        and owned(one, guest, disk)
        and STATE_FILLING not in one.tags
        and tag_value(one, TAG_RESTORE).partition("/")[0] == moment
        for one, disk in volumes
    )


def made(scene: Scene, guest: Guest, disks: tuple[LvDisk, ...], disk: LvDisk) -> Volume | None:
    """Return the LV that a restore of `disks` has made for one and not put into service yet."""
    first = scene.volumes.get(disks[0].lv)
    goes_on = first is None or STATE_FILLING in first.tags
    volume = scene.volumes.get(disk.lv)
    if volume is None or not goes_on or not owned(volume, guest, disk):
        return None
    return volume if tag_value(volume, TAG_RESTORE) else None


def leaving(scene: Scene, guest: Guest, disks: tuple[LvDisk, ...]) -> list[Volume]:
    """Return the LVs that go into the trash: the present disks, and their snapshots."""
    names = {disk.name for disk in disks}
    ours = {one.name for disk in disks if (one := made(scene, guest, disks, disk)) is not None}
    return [
        one
        for one in guests_volumes(scene, guest.name)
        if tag_value(one, TAG_DISK) in names and one.name not in ours
    ]


def taken_over(scene: Scene, guest: Guest, disks: Iterable[LvDisk], mark: str) -> tuple[Step, ...]:
    """Return what has a run go on with the disks of another one that are in service."""
    found = ((scene.volumes[disk.lv], disk) for disk in disks)
    return tuple(
        Step(
            noun=Noun.STORAGE,
            subject=f"guest {guest.name}",
            what=f"keep {volume.full_name}: it is that disk of the backup",
            why="a run that was stopped has brought it back, and nothing has used it",
            probe=has_tags(scene, guest, disk, TAG_RESTORE + tag_value(volume, TAG_RESTORE)),
            actions=(
                Command(
                    argv=(
                        "lvchange", "--deltag", TAG_RESTORE + tag_value(volume, TAG_RESTORE),
                        "--addtag", mark, volume.full_name,
                    ),
                    why="this run goes on with it",
                ),
            ),
        )
        for volume, disk in found
        if mark not in volume.tags
    )  # fmt: skip
