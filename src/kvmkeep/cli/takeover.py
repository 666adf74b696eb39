"""The look of `adopt`: what is there, what the spec would have to say of it, and the plan."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import SpecError
from kvmkeep.flow import Look
from kvmkeep.model.found import SpecEdit
from kvmkeep.model.plan import Refusal
from kvmkeep.planning.adoption.adopt import plan_adopt
from kvmkeep.planning.adoption.choice import left_out, taking
from kvmkeep.report.json import encoded
from kvmkeep.spec.edit import edited
from kvmkeep.spec.load import HOST_FILE, load
from kvmkeep.spec.starter import host_text
from kvmkeep.spec.writing import guest_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.found import Found, SpecChange
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec
    from kvmkeep.planning.adoption.choice import AdoptRequest


class Takeover(Struct, frozen=True, kw_only=True):
    """The spec as it will be, what is there, and the plan from one to the other."""

    spec: Spec
    facts: Facts
    plan: Plan


def looker(wish: AdoptRequest, ctx: Context) -> Callable[[Door], Look]:
    """Return the look of a run."""

    def look(door: Door) -> Look:
        directory = posixpath.abspath(ctx.spec_dir)

        def observe(spec: Spec | None) -> Facts:
            return ctx.observe(spec, door=door, others_files=True)

        found = look_at(directory, door, observe, wish)
        return Look(spec=encoded(found.spec), facts=encoded(found.facts), plan=found.plan)

    return look


def look_at(
    directory: str, door: Door, observe: Callable[[Spec | None], Facts], wish: AdoptRequest
) -> Takeover:
    """Look and plan; where there is no spec yet, one is made up from what is found."""
    texts: dict[str, bytes] = {}
    if door.read(f"{directory}/{HOST_FILE}") is None:
        texts[HOST_FILE] = host_text(observe(None), {}).encode()
    before = load(directory, door, texts)
    facts = observe(before)
    if texts:
        texts[HOST_FILE] = host_text(facts, left_out(before, facts)).encode()
        before = load(directory, door, texts)
    found = taking(before, facts, wish)
    files, wrong = spec_files(before, found, door, directory, texts)
    after, unfit = _after(before, files, door, directory)
    plan = plan_adopt(after, facts, found, files, (*wrong, *unfit))
    return Takeover(spec=after, facts=facts, plan=plan)


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
    for guest in found.new:
        path, subject = f"{directory}/guests/{guest.name}.yaml", f"guest {guest.name}"
        if door.look(path) is None:
            made.append(_written(path, subject, guest_text(guest)))
        else:
            reason = f"{path} is there already, and is about another guest"
            made.append(Refusal(subject=subject, reason=reason, hint="move it away"))
    return (
        tuple(one for one in made if isinstance(one, SpecEdit)),
        tuple(one for one in made if isinstance(one, Refusal)),
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


def _after(
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
