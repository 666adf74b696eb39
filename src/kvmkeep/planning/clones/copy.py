"""The content of a clone: its LVs made, copied to, and made a machine that has never booted.

All of its LVs count as incomplete until all of them are copied: a run that was killed begins
again, so that they are of one moment.
"""

from __future__ import annotations

from kvmkeep.model.command import Action, Command
from kvmkeep.model.names import STATE_FILLING, STATE_FRESH, TAG_CLONE
from kvmkeep.model.plan import Noun, Step
from kvmkeep.planning.clones.origin import Copies, Origin
from kvmkeep.planning.commands import synced, zero
from kvmkeep.planning.disks.storage import (
    BEHIND,
    activated,
    convert,
    create_step,
    forget_console,
    has_tags,
)
from kvmkeep.planning.first_boot.before_boot import new_identity
from kvmkeep.planning.scene import Scene


def content_steps(scene: Scene, copies: Copies, origin: Origin) -> tuple[Step, ...]:
    """Return all steps until the clone's LVs are complete."""
    mark = TAG_CLONE + copies.source.name
    return (
        *(create_step(scene, copies.clone, disk, "", mark) for disk in copies.new),
        *_begun_again(scene, copies),
        *origin.steps,
        _copy_step(scene, copies, origin),
        _identity_step(scene, copies),
    )


def _begun_again(scene: Scene, copies: Copies) -> tuple[Step, ...]:
    """Return what takes back that some LVs were complete already, when a run was killed."""
    lvs = [
        scene.full_name(disk.lv)
        for _, disk in copies.pairs
        if (volume := scene.volume(disk)) is not None and STATE_FILLING not in volume.tags
    ]
    if not lvs:
        return ()
    again = Command(
        argv=("lvchange", "--addtag", STATE_FILLING, *lvs),
        why="they are written again, so that all disks are of one moment",
    )
    return (
        Step(
            noun=Noun.STORAGE,
            subject=f"guest {copies.clone.name}",
            what=f"mark {', '.join(lvs)} as not complete",
            why="a run that was stopped has completed only some of its disks",
            probe=_is_filling(scene, copies),
            actions=(again,),
        ),
    )


def _copy_step(scene: Scene, copies: Copies, origin: Origin) -> Step:
    rate = scene.images[copies.clone.image].write_rate
    actions: list[Action] = [*origin.before]
    for number, (disk, new) in enumerate(copies.pairs):
        room = scene.lv_size(new)
        actions.extend(activated(scene, new))
        if origin.fills:
            size, commands = origin.fills[number]
            actions.extend(commands)
        else:
            size = scene.volumes[disk.lv].size
            actions.append(convert(scene, new, origin.paths[number], size, rate))
        if size < room:
            actions.append(zero(scene.path(new), size.bytes, room.bytes - size.bytes, BEHIND))
        actions.append(synced(scene.path(new)))
    count = "disk" if len(copies.pairs) == 1 else f"{len(copies.pairs)} disks"
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {copies.clone.name}",
        what=f"copy the {count} of {copies.source.name} to it{origin.how}",
        why="you asked for it; nothing of what was in its LVs before stays readable",
        probe=_is_filling(scene, copies),
        actions=(*actions, *origin.still),
        finally_=origin.after,
    )


def _identity_step(scene: Scene, copies: Copies) -> Step:
    clone = copies.clone
    # The root LV goes last: as long as it is not complete, none of them is.
    others = [scene.full_name(disk.lv) for _, disk in copies.pairs if disk.name != clone.root.name]
    actions: list[Action] = [
        new_identity(scene, clone),
        synced(scene.path(clone.root)),
        forget_console(clone),
    ]
    if others:
        actions.append(
            Command(
                argv=("lvchange", "--deltag", STATE_FILLING, *others),
                why="these disks are complete",
            )
        )
    actions.append(
        Command(
            argv=(
                "lvchange", "--deltag", STATE_FILLING, "--addtag", STATE_FRESH,
                scene.full_name(clone.root.lv),
            ),
            why="all disks are complete now, and their guest has not booted yet",
        )
    )  # fmt: skip
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {clone.name}",
        what="make it a machine of its own, which has never booted",
        why="no two machines may have the same machine-id, SSH host keys, name or addresses",
        probe=_is_filling(scene, copies),
        actions=tuple(actions),
    )


def _is_filling(scene: Scene, copies: Copies) -> Command:
    mark = TAG_CLONE + copies.source.name
    return has_tags(scene, copies.clone, copies.clone.root, mark, STATE_FILLING)
