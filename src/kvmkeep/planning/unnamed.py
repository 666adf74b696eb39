"""What is ours and the spec does not name: not managed, so nothing happens to it."""

from __future__ import annotations

import shlex

from kvmkeep.model.names import TAG_GUEST, TAG_OURS
from kvmkeep.model.plan import Note
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.trash import is_trash, original_name
from kvmkeep.planning.scene import Scene


def unnamed_notes(scene: Scene) -> tuple[Note, ...]:
    """Tell of guests of ours whose file was taken out of the spec."""
    domains = {one.name for one in scene.facts.domains if one.ours}
    tagged = (
        tag_value(one, TAG_GUEST)
        for one in scene.volumes.values()
        if TAG_OURS in one.tags and not (is_trash(one) and original_name(one) != one.name)
    )
    own_uuids = {guest.uuid for guest in scene.spec.guests}
    renamed = {one.name for one in scene.facts.domains if one.uuid in own_uuids}
    return tuple(
        Note(
            subject=f"guest {name}",
            text="it is ours, but the spec does not name it; it is left as it is "
            f"(to remove it: kvmkeep remove {shlex.quote(name)})",
        )
        for name in sorted({*domains, *tagged} - scene.every_guest.keys() - renamed - {""})
    )
