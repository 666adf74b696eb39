"""What a new guest inherits: backups of another one that had its identity before."""

from __future__ import annotations

from kvmkeep.model.plan import Note
from kvmkeep.planning.disks.stage import Stage, stage
from kvmkeep.planning.scene import Scene


def inherited_notes(scene: Scene) -> tuple[Note, ...]:
    """Tell of remembered backups before their guest is made anew: afterwards they are its own."""
    found: list[Note] = []
    for guest in scene.guests:
        last = scene.facts.backups.last_of(guest.identity)
        if last is None or stage(scene, guest, guest.root) is not Stage.ABSENT:
            continue
        text = (
            f"an earlier {guest.name} has backups, the last of {last.moment} in {last.repository}: "
            "they and their proofs will count for the new one, for `keep` and `check` too. To have "
            f"the earlier one back instead: kvmkeep backup restore {guest.name}; to keep them "
            f"apart, write another `identity` into its file (such as {guest.identity}-2)"
        )
        found.append(Note(subject=f"guest {guest.name}", text=text))
    return tuple(found)
