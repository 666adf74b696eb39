"""A revert whose set is lost before any disk went back: the disks are whole, and it is given up.

A snapshot that gets full is worth nothing from then on, and LVM refuses to merge it. A guest writes
until it is off, so that may happen between the plan and the first merge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kvmkeep.model.command import Command, Meaning
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import TAG_REVERT
from kvmkeep.model.plan import Note, Noun, Step
from kvmkeep.model.snapshot import SnapshotSet
from kvmkeep.planning.snapshots.removal import still_ours

LOST_MEANWHILE = Meaning(
    words="",
    sentence="The snapshot is lost; the disks are as they were. A guest that was shut down for "
    "this is started by the same line.",
)


def lost_set(taken: SnapshotSet | None, disks: Iterable[Volume]) -> SnapshotSet | None:
    """Return a set that can't be gone back to any more, if no disk went back to it.

    LVM hides a member as soon as its merge is asked for: while all are there, none was.
    """
    if taken is None or taken.trouble != "invalid" or len(taken.members) != taken.wanted:
        return None
    return None if any(disk.merging for disk in disks) else taken


def unmark_step(taken: SnapshotSet, lvs: Sequence[str]) -> Step:
    """Return what gives a revert up; its probe shows that the set still is not merged."""
    lost = next(member for member in taken.members if member.invalid)
    unmark = Command(
        argv=("lvchange", "--deltag", TAG_REVERT + taken.name, *lvs),
        why="nothing of its disks was taken back, and the guest may start as it is",
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {taken.guest}",
        what=f"give up its revert to {taken.name}",
        why=f"{lost.name} got full before any disk went back",
        probe=still_ours(taken, lost),
        actions=(unmark,),
    )


def lost_note(taken: SnapshotSet) -> Note:
    """Say how the guest is left."""
    text = (
        f"it does not go back to {taken.name}: that set got full, and is lost; its disks are as "
        f"they were; delete the set: kvmkeep snapshot delete {taken.guest} {taken.name}"
    )
    return Note(subject=f"guest {taken.guest}", text=text)
