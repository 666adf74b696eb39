"""The files of a spec that is to say what was found on the host: new ones, and changed ones."""

from __future__ import annotations

import posixpath

from kvmkeep.errors import SpecError
from kvmkeep.host.door import Door
from kvmkeep.model.found import Found, SpecChange, SpecEdit
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Spec
from kvmkeep.spec.edit import edited
from kvmkeep.spec.identity import free_identity
from kvmkeep.spec.load import GUEST_DIR, HOST_FILE, load
from kvmkeep.spec.writing import guest_text


def spec_files(
    spec: Spec, found: Found, door: Door, directory: str, texts: dict[str, bytes]
) -> tuple[tuple[SpecEdit, ...], tuple[Refusal, ...]]:
    """Return the files of the spec that are to be written, and which can't be."""
    host = f"{directory}/{HOST_FILE}"
    made: list[SpecEdit | Refusal] = []
    if HOST_FILE in texts:
        made.append(_written(host, "spec", texts[HOST_FILE].decode()))
    settings = tuple(one for changes in found.settings.values() for one in changes)
    if settings:
        made.append(_changed(door, host, f"network {next(iter(found.settings))}", settings))
    files = {guest.name: guest.place.file for guest in spec.guests}
    for name, changes in found.changed.items():
        made.append(_changed(door, files[name], f"guest {name}", changes))
    names = {*files, *(guest.name for guest in found.new)}
    born = {str(guest.identity) for guest in spec.guests}
    for guest in found.new:
        path, subject = f"{directory}/{GUEST_DIR}/{guest.name}.yaml", f"guest {guest.name}"
        if door.look(path) is None:
            # Another one was renamed: backups under this name are of that one.
            own = free_identity(guest.name, {*names, *born}) if guest.name in born else ""
            made.append(_written(path, subject, guest_text(guest, own)))
        else:
            reason = f"{path} is there already, and is about another guest"
            made.append(Refusal(subject=subject, reason=reason, hint="move it away"))
    return (
        tuple(one for one in made if isinstance(one, SpecEdit)),
        tuple(one for one in made if isinstance(one, Refusal)),
    )


def with_files(
    before: Spec, files: tuple[SpecEdit, ...], door: Door, directory: str
) -> tuple[Spec, tuple[Refusal, ...]]:
    """Return the spec with the files written, or the one before and what is wrong with them."""
    texts = {posixpath.relpath(file.path, directory): file.text.encode() for file in files}
    try:
        return load(directory, door, texts), ()
    except SpecError as error:
        hint = "mend that on the host, or adopt the other guests by name"
        return before, tuple(
            Refusal(subject="spec", reason=f"it would have a mistake: {line}", hint=hint)
            for line in error.message.split("\n")
        )


def _written(path: str, subject: str, text: str) -> SpecEdit:
    return SpecEdit(path=path, subject=subject, text=text, before="", what=f"write {path}")


def _changed(
    door: Door, path: str, subject: str, changes: tuple[SpecChange, ...]
) -> SpecEdit | Refusal:
    before = (door.read(path, 1 << 20) or b"").decode("utf-8", "replace")
    text = edited(before, changes)
    told = ", ".join(one.what for one in changes)
    if text is None:
        reason = f"{path} can't be changed in its place: {told}"
        return Refusal(subject=subject, reason=reason, hint="write it into the file by hand")
    what = f"change {path}: {told}"
    return SpecEdit(path=path, subject=subject, text=text, before=before, what=what)
