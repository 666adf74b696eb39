"""The look of `adopt`: what is there, what the spec would have to say of it, and the plan."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Look
    from kvmkeep.host.door import Door
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.found import Change, Found, SpecFile
    from kvmkeep.model.plan import Plan, Refusal
    from kvmkeep.model.spec import Spec
    from kvmkeep.planning.adopt_choice import Wish

HOST_FILE = "host.yaml"


class Takeover(Struct, frozen=True, kw_only=True):
    """The spec as it will be, what is there, and the plan from one to the other."""

    spec: Spec
    facts: Facts
    plan: Plan


def looker(wish: Wish, ctx: Context) -> Callable[[Door], Look]:
    """Return the look of a run."""

    def look(door: Door) -> Look:
        from kvmkeep.flow import Look  # noqa: PLC0415
        from kvmkeep.report.json import encoded  # noqa: PLC0415

        directory = posixpath.abspath(ctx.spec_dir)

        def observe(spec: Spec | None) -> Facts:
            return ctx.observe(spec, door=door, others_files=True)

        found = look_at(directory, door, observe, wish)
        return Look(spec=encoded(found.spec), facts=encoded(found.facts), plan=found.plan)

    return look


def look_at(
    directory: str, door: Door, observe: Callable[[Spec | None], Facts], wish: Wish
) -> Takeover:
    """Look and plan; where there is no spec yet, one is made up from what is found."""
    from kvmkeep.planning.adopt import plan_adopt  # noqa: PLC0415
    from kvmkeep.planning.adopt_choice import left_out, taking  # noqa: PLC0415
    from kvmkeep.spec.load import load  # noqa: PLC0415
    from kvmkeep.spec.starter import host_text  # noqa: PLC0415

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
) -> tuple[tuple[SpecFile, ...], tuple[Refusal, ...]]:
    """Return the files of the spec that are to be written, and which can't be."""
    from kvmkeep.model.found import SpecFile  # noqa: PLC0415
    from kvmkeep.model.plan import Refusal  # noqa: PLC0415
    from kvmkeep.spec.edit import edited  # noqa: PLC0415
    from kvmkeep.spec.writing import guest_text  # noqa: PLC0415

    files: list[SpecFile] = []
    wrong: list[Refusal] = []

    def change(path: str, subject: str, changes: tuple[Change, ...]) -> None:
        before = _text(door, path)
        text = edited(before, changes)
        told = ", ".join(one.what for one in changes)
        if text is None:
            hint = "write it into the file by hand"
            reason = f"{path} can't be changed in its place: {told}"
            wrong.append(Refusal(subject=subject, reason=reason, hint=hint))
        else:
            what = f"change {path}: {told}"
            files.append(SpecFile(path=path, subject=subject, text=text, before=before, what=what))

    host = f"{directory}/{HOST_FILE}"
    if HOST_FILE in texts:
        files.append(
            SpecFile(
                path=host,
                subject="spec",
                text=texts[HOST_FILE].decode(),
                before="",
                what=f"write {host}",
            )
        )
    settings = tuple(one for changes in found.settings.values() for one in changes)
    if settings:
        subject = f"network {next(iter(found.settings))}"
        change(host, subject, settings)
    by_name = {guest.name: guest for guest in spec.guests}
    for name, changes in found.changed.items():
        change(by_name[name].place.file, f"guest {name}", changes)
    for guest in found.new:
        path, subject = f"{directory}/guests/{guest.name}.yaml", f"guest {guest.name}"
        if door.look(path) is not None:
            reason = f"{path} is there already, and is about another guest"
            wrong.append(Refusal(subject=subject, reason=reason, hint="move it away"))
        else:
            files.append(
                SpecFile(
                    path=path, subject=subject, text=guest_text(guest), before="",
                    what=f"write {path}",
                )
            )  # fmt: skip
    return tuple(files), tuple(wrong)


def _after(
    before: Spec, files: tuple[SpecFile, ...], door: Door, directory: str
) -> tuple[Spec, tuple[Refusal, ...]]:
    """Return the spec with the files written, or the one before and what is wrong with them."""
    from kvmkeep.model.plan import Refusal  # noqa: PLC0415
    from kvmkeep.spec.load import load  # noqa: PLC0415

    texts = {posixpath.relpath(file.path, directory): file.text.encode() for file in files}
    try:
        return load(directory, door, texts), ()
    except SpecError as error:
        hint = "mend that on the host, or adopt the other guests by name"
        return before, tuple(
            Refusal(subject="spec", reason=f"it would have a mistake: {line}", hint=hint)
            for line in error.message.split("\n")
        )


def _text(door: Door, path: str) -> str:
    return (door.read(path, 1 << 20) or b"").decode("utf-8", "replace")
