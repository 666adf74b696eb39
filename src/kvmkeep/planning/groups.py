"""What refuses to write to the volume group: it is not there, not whole, or on a sick array."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.facts import GROUPS
from kvmkeep.model.names import STATE_FILLING
from kvmkeep.model.plan import Refusal, Step
from kvmkeep.planning.arrays import unfit_arrays
from kvmkeep.planning.lvm import WHERE_IS_IT
from kvmkeep.planning.scene import Scene

_NEEDS_ALL = frozenset({"lvcreate", "lvextend", "lvrename", "lvconvert"})
"""What LVM refuses "while PVs are missing", and lvremove and the tags of lvchange it does not:
`handles_missing_pvs` in tools/lvremove.c and tools/lvchange.c."""


def sound_group(
    scene: Scene, steps: Iterable[Step], *, urgent: bool = False
) -> tuple[Refusal, ...]:
    """Refuse to write to a volume group that is not whole, or to an array that is not well.

    What is `urgent` waits for no resync: see `unfit_arrays`.
    """
    writing = tuple(step for step in steps if _writes(step))
    sick = unfit_arrays(scene, urgent=urgent) if writing and scene.group is not None else ()
    return (*group_exists(scene), *whole_group(scene, writing), *sick)


def group_exists(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse where there surely is no such volume group."""
    if scene.group is not None or scene.facts.unseen(GROUPS):
        return ()
    hint = f"{WHERE_IS_IT}; or correct storage.vg"
    return (Refusal(subject=_subject(scene), reason="there is no such volume group", hint=hint),)


def whole_group(scene: Scene, steps: Iterable[Step]) -> tuple[Refusal, ...]:
    """Refuse to change a volume group whose physical volumes are missing.

    LVM would refuse that too, but only once a guest is frozen, shut down or half renamed.
    """
    if scene.group is None or not scene.group.missing_pvs or not any(map(_writes, steps)):
        return ()
    reason = f"{scene.group.missing_pvs} of its physical volumes are missing"
    hint = f"bring the disks back first: `pvs`, `vgdisplay {scene.spec.storage.vg}`"
    return (Refusal(subject=_subject(scene), reason=reason, hint=hint, unready=True),)


def _subject(scene: Scene) -> str:
    return f"volume group {scene.spec.storage.vg}"


def _writes(step: Step) -> bool:
    """Whether a step changes the group, or fills one of its LVs."""
    argvs = [argv for action in step.all_actions if (argv := _argv(action))]
    return any(argv[0] in _NEEDS_ALL or STATE_FILLING in argv for argv in argvs)


def _argv(action: Action) -> tuple[str, ...]:
    match action:
        case Command():
            return action.argv
        case Poll():
            return action.command.argv
        case _:
            return ()
