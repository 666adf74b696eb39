"""What changes a disk offline, for the verbs that do: look into it first, then change it at once.

The look's answer says how the system is fitted; the change is planned from it, in the next round,
and ends it: whatever comes after looks anew. A guest's LV wears the name of the run that changed it
last, so the same run finds nothing left to do. An image is never changed: a copy of it is.
"""

from __future__ import annotations

import posixpath

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import Action, Command
from kvmkeep.model.fittings import fittings_argv, fittings_script
from kvmkeep.model.guestfish import script
from kvmkeep.model.names import FITTINGS_DIR, TAG_TWEAK
from kvmkeep.model.plan import Note, Noun, Plan, Risk, Step, refused
from kvmkeep.model.spec import Format, Guest, Image
from kvmkeep.model.store import part_path
from kvmkeep.model.tweak import OLD_DIR
from kvmkeep.model.way import Way
from kvmkeep.planning import guards, programs
from kvmkeep.planning.commands import HOUR, same_file, synced
from kvmkeep.planning.disks.storage import activation
from kvmkeep.planning.offline.disk import unused, writing_refusals
from kvmkeep.planning.offline.editing import Editing
from kvmkeep.planning.offline.inspect import LOOK_TIME, image_refusals
from kvmkeep.planning.scene import Scene
from kvmkeep.planning.ways import room_refusals, way_refusals


class OfflineChange(Struct, frozen=True, kw_only=True):
    """A change of the disk of `name`: a guest, or an image that is copied to `output` first.

    `asked` names the run: it begins with its time (`second_stamp`). `way` leads to the directory
    of `output`, `there` are the names in it.
    """

    name: str
    asked: str
    output: str = ""
    way: Way = Way(path="")
    there: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """Where the look's answer is kept."""
        return f"{FITTINGS_DIR}/{self.name}.txt"


class Work(Struct, frozen=True, kw_only=True):
    """How a change is carried out: what it `says`, around the lines that were collected.

    `then` is what the host has to remember of it afterwards; nothing where it does already.
    """

    says: str
    why: str
    editing: Editing
    secret: bool = False
    before: tuple[Action, ...] = ()
    after: tuple[Command, ...] = ()
    then: tuple[Step, ...] = ()


def plan_for_guest(scene: Scene, guest: Guest, change: OfflineChange, work: Work) -> Plan:
    """Plan to change the root disk of a guest that is off."""
    volume = scene.volume(guest.root)
    subject = f"guest {guest.name}"
    if volume is not None and TAG_TWEAK + change.asked in volume.tags:
        return Plan(steps=work.then)
    refusals = writing_refusals(scene, guest)
    if refusals or volume is None:
        return Plan(refusals=(*guards.unseen(scene), *refusals))
    lv = scene.full_name(guest.root.lv)
    old = [tag for tag in volume.tags if tag.startswith(TAG_TWEAK)]
    retag = (
        "lvchange", *(word for tag in old for word in ("--deltag", tag)),
        "--addtag", TAG_TWEAK + change.asked, lv,
    )  # fmt: skip
    path = scene.path(guest.root)
    active = activation(scene, guest)
    look = Step(
        noun=Noun.STORAGE,
        subject=subject,
        what=f"look into its disk {guest.root.lv}",
        why="what is to be changed depends on what it uses",
        probe=unused(scene, guest),
        actions=(*active, _ask(path, Format.RAW, change, work.editing)),
        looks=True,
    )
    edit = Step(
        noun=Noun.STORAGE,
        subject=subject,
        what=f"change its disk {guest.root.lv}: {work.says}",
        why=work.why,
        probe=unused(scene, guest),
        actions=(
            *active, _forget(change), *work.before, _edit(path, work),
            synced(scene.path(guest.root)),
            Command(argv=retag, why="remember that its content was changed from outside, and when"),
        ),
        finally_=work.after,
        risk=Risk.GUEST,
        assumes=_assumes(work, "its disk"),
    )  # fmt: skip
    then = tuple(replace(step, assumes=edit.assumes) for step in work.then)
    return _plan(scene, subject, work, (look, edit, *then), settled=then)


def plan_for_image(scene: Scene, image: Image, change: OfflineChange, work: Work) -> Plan:
    """Plan to write a changed copy of an image."""
    part = part_path(change.output)
    subject = f"image {image.name}"
    if posixpath.basename(change.output) in change.there:
        return Plan(steps=_leftover(subject, part, change))
    refusals = (
        *way_refusals(subject, change.way),
        *room_refusals(subject, change.way),
        *image_refusals(scene, image),
    )
    if refusals:
        return Plan(refusals=(*guards.unseen(scene), *refusals))
    usable = scene.image_facts[image.name].usable
    assert usable is not None  # noqa: S101 - refused before
    same = same_file(usable.path, usable.fingerprint)
    look = Step(
        noun=Noun.IMAGES,
        subject=subject,
        what=f"look into {usable.path}",
        why="what is to be changed depends on what it uses",
        probe=same,
        actions=(_ask(usable.path, image.format, change, work.editing),),
        looks=True,
    )
    convert = (
        "qemu-img", "convert", "-W", "-f", image.format, "-O", "raw", "--", usable.path, part,
    )  # fmt: skip
    asked_for = f"write a copy of it to {change.output}"
    unchanged = not work.editing.draft and not work.editing.lines
    edit = Step(
        noun=Noun.IMAGES,
        subject=subject,
        what=(
            f"{asked_for}: it is already as you want it"
            if unchanged
            else f"{asked_for}, and change that: {work.says}"
        ),
        why=f"{work.why}; the image itself stays as it is",
        probe=same,
        actions=(
            _forget(change), _remove(part),
            Command(argv=convert, why="copy the image", timeout=HOUR, spares=change.way.path),
            same, *(() if unchanged else (*work.before, _edit(part, work))),
            Command(argv=("sync", "--", part), why="flush it to disk", timeout=HOUR),
            # link(2) fails where there is something; a renaming would replace it.
            Command(
                argv=("ln", "--no-target-directory", "--", part, change.output),
                why="it is complete: give it its name, which nothing may have",
            ),
        ),
        finally_=(_remove(part), *work.after),
        assumes=_assumes(work, "the image"),
    )  # fmt: skip
    return _plan(scene, subject, work, (look, edit), settled=(edit,))


def _plan(
    scene: Scene, subject: str, work: Work, steps: tuple[Step, ...], *, settled: tuple[Step, ...]
) -> Plan:
    """Return the plan of a look, the change, and what is remembered of it.

    `settled` is what is left to do where nothing in the disk is to be changed.
    """
    editing = work.editing
    first = (*guards.unseen(scene), *programs.missing_tools(scene, steps))
    if editing.draft:
        return Plan(steps=steps, refusals=first)
    refusals = refused(subject, editing.refused)
    notes = list(editing.notes)
    if editing.kept:
        notes.append(f"in it, {OLD_DIR}/{editing.stamp} gets the old {', '.join(editing.kept)}")
    left = steps[1:] if editing.lines else settled
    return Plan(
        steps=() if refusals else left,
        refusals=(*first, *refusals),
        notes=tuple(Note(subject=subject, text=text) for text in notes),
    )


def _assumes(work: Work, what: str) -> str:
    return f"{what} is fitted for that" if work.editing.draft else ""


def _ask(path: str, form: Format, change: OfflineChange, editing: Editing) -> Command:
    known = editing.known
    paths = tuple(one.path for one in known.seen) if known is not None else ()
    lists = tuple(path for path, _ in known.listings) if known is not None else ()
    paths, lists = (*paths, *editing.needs), (*lists, *editing.lists)
    return Command(
        argv=fittings_argv(path, form),
        why="ask it in a small virtual machine, which writes nothing to it",
        stdin=fittings_script(form, change.asked, paths, lists),
        stdout_to=change.answer,
        timeout=LOOK_TIME,
    )


def _edit(path: str, work: Work) -> Command:
    return Command(
        argv=("guestfish", "--rw", "--format=raw", "-a", path, "-i"),
        why="make the changes, in a small virtual machine without a network",
        stdin=script(tuple(work.editing.lines)),
        secret_stdin=work.secret,
        timeout=HOUR,
    )


def _forget(change: OfflineChange) -> Command:
    return Command(
        argv=("rm", "--force", "--", change.answer),
        why="from now on what was seen in it may be otherwise",
    )


def _remove(path: str) -> Command:
    return Command(argv=("rm", "--force", "--", path), why="leave nothing half done behind")


def _leftover(subject: str, part: str, change: OfflineChange) -> tuple[Step, ...]:
    if posixpath.basename(part) not in change.there:
        return ()
    return (
        Step(
            noun=Noun.IMAGES,
            subject=subject,
            what=f"remove {part}",
            why=f"{change.output} is complete",
            actions=(_remove(part),),
        ),
    )
