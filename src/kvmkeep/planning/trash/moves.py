"""How an LV gets into the trash and out of it: its name and its tags, never its content."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import (
    TAG_GUEST,
    TAG_OURS,
    TAG_REVERT,
    TAG_SET,
    TAG_TRASH,
    TAG_WAS,
    trash_name,
)
from kvmkeep.model.plan import Noun, Reason, Step
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.trash import is_trash, original_name
from kvmkeep.planning.lvm import until_let_go, wears, who_has
from kvmkeep.planning.scene import Scene, users_of


def guests_volumes(scene: Scene, guest: str) -> tuple[Volume, ...]:
    """Return all LVs with our mark of a guest that do not lie in the trash: disks, snapshots."""
    marks = {TAG_OURS, TAG_GUEST + guest}
    return tuple(
        one
        for one in scene.volumes.values()
        if marks <= {*one.tags} and (not is_trash(one) or original_name(one) == one.name)
    )


def trouble(scene: Scene, volume: Volume, guest: str, *, running: bool) -> list[Reason]:
    """Return why an LV can't go into the trash; `running` when its own guest has its disks open.

    It has no snapshot open: that is read by somebody, such as a backup.
    """
    lv = volume.full_name
    found: list[Reason] = [
        (f"its LV {lv} is also a disk of the domain {name}", f"take it out of {name} (virsh edit)")
        for name in users_of(scene, volume.name, volume.device)
        if name != guest
    ]
    if volume.merging or _goes_back(scene, volume, guest):
        hint = "wait, or finish that: kvmkeep snapshot list tells how far it is"
        found.append((f"{lv} is being reverted to a snapshot", hint))
    if volume.opened and (volume.origin or not running):
        found.append((f"something has {lv} open", who_has(lv)))
    return found


def _goes_back(scene: Scene, volume: Volume, guest: str) -> bool:
    """Whether a revert can still be finished: once a snapshot of its set is lost, none can."""
    to = tag_value(volume, TAG_REVERT)
    marks = {TAG_GUEST + guest, TAG_SET + to}
    lost = (one for one in scene.volumes.values() if one.invalid and marks <= {*one.tags})
    return to != "" and not any(lost)


def mark_step(guest: str, volumes: Iterable[Volume], stamp: str, probe: Command | None) -> Step:
    """Return what gives LVs the stamp of the trash; they keep their names for now."""
    marked = list(volumes)
    names = [one.full_name for one in marked]
    look = "see that the LV is the guest's, and that nothing has it open"
    tags = (TAG_OURS, TAG_GUEST + guest)
    polls = (until_let_go(wears(one, tags, look, unused=True), one.full_name) for one in marked)
    mark = Command(
        argv=("lvchange", "--addtag", TAG_TRASH + stamp, *names),
        why="a run that is stopped in the middle is finished by the next",
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest}",
        what=f"mark as going into the trash: {' '.join(names)}",
        why="from now on they are not taken for disks of a guest",
        probe=probe,
        actions=(*polls, mark),
    )


def rename_step(guest: str, volume: Volume, stamp: str, why: str) -> Step:
    """Return what brings a marked LV into the trash."""
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest}",
        what=f"rename LV {volume.full_name} to {new_name(volume, stamp)}",
        why=why,
        probe=going(guest, volume, stamp),
        actions=into_trash(volume, stamp),
    )


def new_name(volume: Volume, stamp: str) -> str:
    """Return an LV's name in the trash; one that is on its way there keeps its stamp."""
    return trash_name(volume.vg, tag_value(volume, TAG_TRASH) or stamp, volume.name)


def going(guest: str, volume: Volume, stamp: str) -> Command:
    """Succeed only while the LV is this guest's and on its way into the trash."""
    stamp = tag_value(volume, TAG_TRASH) or stamp
    marks = (TAG_OURS, TAG_GUEST + guest, TAG_TRASH + stamp)
    return wears(volume, marks, "see that the LV is the guest's, and on its way to the trash")


def into_trash(volume: Volume, stamp: str) -> tuple[Command, Command]:
    """Return what renames a marked LV; it keeps its old name as a tag."""
    return (
        Command(
            argv=("lvchange", "--addtag", TAG_WAS + volume.name, volume.full_name),
            why="keep its name",
        ),
        Command(
            argv=("lvrename", volume.full_name, f"{volume.vg}/{new_name(volume, stamp)}"),
            why="give the LV its name in the trash",
        ),
    )


def out_of_trash(volume: Volume) -> Command:
    """Return what gives an LV its old name; it wears the stamp until all is back."""
    return Command(
        argv=("lvrename", volume.full_name, f"{volume.vg}/{original_name(volume)}"),
        why="give the LV its name again",
    )


def unmark(volume: Volume) -> Command:
    """Return what ends an LV's way out of the trash, under its old name."""
    tags = (TAG_TRASH + tag_value(volume, TAG_TRASH), TAG_WAS + tag_value(volume, TAG_WAS))
    words = (word for tag in tags for word in ("--deltag", tag) if not tag.endswith("="))
    return Command(
        argv=("lvchange", *words, f"{volume.vg}/{original_name(volume)}"),
        why="from now on it is the guest's disk again",
    )
