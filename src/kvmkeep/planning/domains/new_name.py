"""What a guest is to be called, and why it can't be."""

from __future__ import annotations

import posixpath

from msgspec import Struct

from kvmkeep.model.plan import Reason
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import GuestName
from kvmkeep.planning.guards import log_of_another
from kvmkeep.planning.scene import Scene


class Renaming(Struct, frozen=True, kw_only=True):
    """Who is to be called what. `file` is the absolute path of the guest's file of the spec.

    `takes_identity` tells whether a line at its end can give it an identity.
    """

    old: GuestName
    new: GuestName
    file: str
    takes_identity: bool

    @property
    def new_file(self) -> str:
        """The path that the guest's file gets."""
        return posixpath.join(posixpath.dirname(self.file), f"{self.new}.yaml")


def wrong_names(scene: Scene, guest: Guest, renaming: Renaming) -> list[Reason]:
    """Return why a guest can't get its new name, or why its file can't."""
    found: list[Reason] = []
    old, new = renaming.old, renaming.new
    if old == new:
        found.append(("that is its name already", "give it another one"))
    elif new in scene.every_guest:
        found.append((f"there is a guest {new} in the spec", "choose another name"))
    theirs = (one for one in scene.every_guest.values() if one.name not in {old, new})
    taken = next((one for one in theirs if _is_called(one, f"{new}.yaml")), None)
    if taken is not None:
        found.append((f"{new}.yaml is the file of guest {taken.name}", "choose another name"))
    same = log_of_another(scene, new)
    if same and same != old:
        found.append((f"its log and that of {same} would be one file", "choose another name"))
    other = scene.domains.get(new)
    if other is not None and other.uuid != guest.uuid:
        found.append((f"there is a domain {new}", "choose another name"))
    if posixpath.basename(renaming.file) != f"{old}.yaml":
        hint = f"call the file {old}.yaml and take `name` out of it, or change `name` by hand"
        found.append((f"its name stands in {renaming.file}, and is not that of the file", hint))
    elif not renaming.takes_identity:
        hint = f"write `identity: {guest.identity}` into it, as a line of its own at its end"
        found.append((f"{renaming.file} can't be given a further line", hint))
    needing = [one.name for one in scene.spec.guests if old in one.run.needs]
    if needing:
        hint = f"take {old} out of their `needs`, rename it, then put {new} in"
        found.append((f"it is needed by {', '.join(needing)}", hint))
    return found


def _is_called(guest: Guest, name: str) -> bool:
    return posixpath.basename(guest.place.file) == name
