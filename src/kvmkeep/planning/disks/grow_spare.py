"""Extents for a disk that grows, zeroed in an LV that no guest has: the disk's name and `+grow`."""

from __future__ import annotations

from kvmkeep.model.command import Action, Command
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import (
    STATE_FILLING,
    STATE_SPARE,
    TAG_OURS,
    lv_path,
    lv_tags,
    spare_name,
)
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.spec import Guest, LvDisk
from kvmkeep.model.units import Size
from kvmkeep.planning.commands import synced, zero
from kvmkeep.planning.lvm import absent, activate, create, remove, selected, selection
from kvmkeep.planning.scene import Scene


def spares(scene: Scene, guest: Guest) -> list[Volume]:
    """Return the LVs of a guest that are there to give their extents to a disk."""
    return [
        volume
        for volume in scene.tagged.get(guest.name, ())
        if volume.name.endswith(spare_name(""))
        and not volume.origin
        and not {STATE_FILLING, STATE_SPARE}.isdisjoint(volume.tags)
    ]


def ready(scene: Scene, guest: Guest, disk: LvDisk, more: Size) -> Volume | None:
    """Return the zeroed LV of just the size that a disk lacks."""
    name = spare_name(disk.lv)
    return next(
        (
            one
            for one in spares(scene, guest)
            if one.name == name and one.size == more and STATE_SPARE in one.tags and one.extents
        ),
        None,
    )


def spare_steps(scene: Scene, guest: Guest, disk: LvDisk, more: Size) -> tuple[Step, ...]:
    """Return what takes extents of the volume group and zeroes them."""
    there = scene.volumes.get(spare_name(disk.lv))
    kept = there if there is not None and there.size == more else None
    create = () if kept is not None else (_create_step(scene, guest, disk, more),)
    return (
        *create,
        _zero_step(scene, guest, disk, more, inactive=kept is not None and not kept.active),
    )


def cut_off(scene: Scene) -> str:
    """Return what is to be done where it was not the spec that changed.

    Nothing that is kept tells the size that an LV had: the last good spec may be newer than it.
    """
    vg = scene.spec.storage.vg
    return (
        "somebody made its LV smaller (lvreduce), and what was cut off is there until another LV "
        f"gets its extents: make none in {vg} then, no snapshot or backup either, stop the guest, "
        f"and see what can be brought back: vgcfgrestore --list {vg}"
    )


def _create_step(scene: Scene, guest: Guest, disk: LvDisk, more: Size) -> Step:
    vg, name = scene.spec.storage.vg, spare_name(disk.lv)
    tags = (*lv_tags(guest.name, disk.name), STATE_FILLING)
    taken = create(vg, name, more, tags, "take the extents, where no guest sees them yet")
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"take {more} more of {vg} for its disk {disk.name}",
        why=f"the spec says {disk.size}; if nobody made it larger there, {cut_off(scene)}",
        probe=absent(f"{vg}/{name}"),
        actions=(taken,),
    )


def _zero_step(scene: Scene, guest: Guest, disk: LvDisk, more: Size, *, inactive: bool) -> Step:
    vg, name = scene.spec.storage.vg, spare_name(disk.lv)
    device, lv = lv_path(vg, name), f"{vg}/{name}"
    actions: list[Action] = []
    if inactive:
        actions.append(activate(lv))
    actions += [
        zero(device, 0, more.bytes, "zero the new extents"),
        synced(device),
        Command(
            argv=("lvchange", "--deltag", STATE_FILLING, "--addtag", STATE_SPARE, lv),
            why="the extents may be given to the disk",
        ),
    ]  # fmt: skip
    select = selection((TAG_OURS, STATE_FILLING))
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"zero it, as {device}",
        why="nothing of what was there before becomes readable",
        probe=selected(lv, select, "see that the LV is ours, and no disk"),
        actions=tuple(actions),
    )


def removal_step(guest: Guest, spare: Volume) -> Step:
    """Return what deletes an LV whose extents no disk gets any more."""
    state = STATE_SPARE if STATE_SPARE in spare.tags else STATE_FILLING
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"delete {spare.full_name}, which no guest has",
        why="a growth that was stopped left it",
        actions=(set_free(spare.vg, spare.name, state),),
    )


def set_free(vg: str, name: str, state: str = STATE_SPARE) -> Command:
    """Remove an LV that no guest has; it may be gone already where this runs again."""
    why = "set its extents free, if the LV still is one that was made for that"
    return remove(f"{vg}/{name}", (TAG_OURS, state), why)
