"""The arrays below the volume group: which of them keep what is new away from it."""

from __future__ import annotations

from kvmkeep.model.facts import Array, ArrayState
from kvmkeep.model.plan import Note, Refusal
from kvmkeep.planning.scene import Scene

_STILL_WRITES = frozenset({ArrayState.DEGRADED, ArrayState.RESYNCING})
"""What is not well, and takes each write all the same: md(4)."""


def unfit_arrays(scene: Scene, *, urgent: bool) -> tuple[Refusal, ...]:
    """Refuse new disks on an array that is not well; what is `urgent` only where none is written.

    A guest that is lost gains nothing by waiting: the first resync of a new server takes a day.
    """
    return tuple(
        Refusal(
            subject=f"array {array.name}",
            reason=f"it is {array.state} ({array.detail}); no new disk is written to it",
            hint=f"{_mending(array)}; then run this again",
        )
        for array in _arrays_below(scene)
        if array.state is not ArrayState.CLEAN and not (urgent and array.state in _STILL_WRITES)
    )


def strained_arrays(scene: Scene) -> tuple[Note, ...]:
    """Tell of arrays that take what is urgent, though they are not well."""
    return tuple(
        Note(
            subject=f"array {array.name}",
            text=f"it is {array.state} ({array.detail}): it is written to all the same, and both "
            "take longer",
        )
        for array in _arrays_below(scene)
        if array.state in _STILL_WRITES
    )


def _mending(array: Array) -> str:
    look = f"`mdadm --detail /dev/{array.name}`"
    if array.state is ArrayState.READ_ONLY:
        return f"look why ({look}, `dmesg`), and `mdadm --readwrite /dev/{array.name}`"
    return f"wait, or mend it (`cat /proc/mdstat`, {look})"


def _arrays_below(scene: Scene) -> tuple[Array, ...]:
    """Return the arrays that the group rests on; all of them where that can't be told."""
    pvs = scene.group.pvs if scene.group is not None else ()
    below = tuple(array for array in scene.facts.arrays if any(map(array.holds, pvs)))
    return below or scene.facts.arrays
