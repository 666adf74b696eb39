"""The plan of `copy-out`: files of a guest's disk, brought to the host as root's own."""

from __future__ import annotations

import posixpath

from msgspec import Struct

from kvmkeep.model.command import SPARE, Action, Command, Meaning
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import Size
from kvmkeep.model.way import Way
from kvmkeep.planning import guards, programs
from kvmkeep.planning.commands import HOUR, remove_tree
from kvmkeep.planning.offline.disk import leftovers, reading, reading_refusals
from kvmkeep.planning.scene import Scene, make_scene
from kvmkeep.planning.ways import room_refusals, way_refusals

WORK = ".kvmkeep-copy-out"
"""The directory beside the target in which files lie until they are complete and harmless."""
_SPECIAL = (
    "-type", "b", "-o", "-type", "c", "-o", "-type", "p", "-o", "-type", "s",
)  # fmt: skip
"""Devices, pipes and sockets: tar(1), which libguestfs has bring directories out, makes them."""
_TOO_MUCH = Meaning(
    words="would stay free",
    sentence=(
        "What is copied needs more room here than there is: a directory comes with the holes of "
        "its files filled, so it may be far more than `du` tells inside the guest. Name less of "
        "it, or a directory on a larger filesystem."
    ),
)


class CopyOut(Struct, frozen=True, kw_only=True):
    """What is copied: absolute `paths` inside the guest, into `directory` of the host.

    `largest` is the size of the largest file that is taken: a guest may hold one that looks
    larger than any disk. `way` leads to the directory, `there` are the names in it.
    """

    guest: str
    paths: tuple[str, ...]
    directory: str
    largest: Size
    way: Way
    there: tuple[str, ...] = ()


def plan_copy_out(spec: Spec, facts: Facts, wish: CopyOut) -> Plan:
    """Plan to copy what is not there yet."""
    guest = next(one for one in spec.guests if one.name == wish.guest)
    if away := way_refusals(f"guest {guest.name}", wish.way):
        return Plan(refusals=away)
    scene = make_scene(spec, facts, (guest,))
    missing = tuple(path for path in wish.paths if posixpath.basename(path) not in wish.there)
    refusals: tuple[Refusal, ...] = ()
    if missing:
        room = room_refusals(f"guest {guest.name}", wish.way)
        refusals = (*reading_refusals(scene, guest), *room)
    steps = leftovers(scene, guest)
    if missing and not refusals:
        steps = (*steps, _copy_step(scene, guest, wish, missing))
    elif WORK in wish.there:
        steps = (*steps, tidy_step(f"guest {guest.name}", wish))
    return Plan(
        steps=steps,
        refusals=(*guards.unseen(scene), *programs.missing_tools(scene, steps), *refusals),
    )


def _copy_step(scene: Scene, guest: Guest, wish: CopyOut, paths: tuple[str, ...]) -> Step:
    source = reading(scene, guest)
    work = f"{wish.directory}/{WORK}"
    copying = (*source.before, *copies(wish, paths, (source.path,)))
    moves = places(wish, paths)
    # An LV that was activated stays active, so more than nothing is left then.
    leaves = bool(source.before and not source.after)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"copy {', '.join(paths)} to {wish.directory}{source.through}",
        why="you asked for it",
        probe=source.probe,
        actions=(*copying, *moves) if leaves else copying,
        place=() if leaves else moves,
        finally_=(tidy(work), *source.after),
    )


def copies(wish: CopyOut, paths: tuple[str, ...], disks: tuple[str, ...]) -> tuple[Action, ...]:
    """Return what copies files out of a guest's disks, and makes them harmless."""
    work = f"{wish.directory}/{WORK}"
    # setrlimit(2), RLIMIT_FSIZE: a file of a guest may have holes and be larger than any disk.
    limit = ("prlimit", f"--fsize={wish.largest.bytes}", "--")
    words = (word for disk in disks for word in ("-a", disk))
    guestfish = ("guestfish", "--ro", "--format=raw", *words, "-i")
    return (
        tidy(work),
        Command(
            argv=("mkdir", "--parents", "--mode=0700", "--", wish.directory),
            why="make the directory for them, if it is not there",
        ),
        Command(
            argv=("mkdir", "--mode=0700", "--", work),
            why="make a new one in it that nobody else can look into",
        ),
        Command(
            argv=(*limit, *guestfish, "copy-out", *paths, work),
            why=f"copy the files out of it, as long as {SPARE} stay free here",
            timeout=HOUR,
            meanings=(_TOO_MUCH,),
            spares=wish.directory,
        ),
        Command(
            argv=("find", work, "(", *_SPECIAL, ")", "-delete"),
            why="a device or pipe of the guest is one of this host's here, open to whom it says",
        ),
        Command(
            argv=("chown", "--recursive", "--no-dereference", "root:root", "--", work),
            why="the guest's user numbers mean other people here",
        ),
        Command(
            argv=("chmod", "--recursive", "u-s,g-s,go-w", "--", work),
            why="no program of the guest may run with another's rights here",
        ),
    )


def places(wish: CopyOut, paths: tuple[str, ...]) -> tuple[Action, ...]:
    """Return what moves the files to where they belong, once all are copied."""
    names = [posixpath.basename(path) for path in paths]
    return tuple(
        Command(
            argv=(
                "mv", "--no-target-directory", "--",
                f"{wish.directory}/{WORK}/{name}", f"{wish.directory}/{name}",
            ),
            why="it is complete: give it its place",
        )
        for name in names
    )  # fmt: skip


def tidy_step(subject: str, wish: CopyOut) -> Step:
    """Return what removes the place of a copy that had brought all out."""
    return Step(
        noun=Noun.STORAGE,
        subject=subject,
        what=f"remove {wish.directory}/{WORK}",
        why="a copy that was interrupted has left it",
        actions=(tidy(f"{wish.directory}/{WORK}"),),
    )


def tidy(work: str) -> Command:
    """Return what removes a directory with what is not complete."""
    return remove_tree(work, "leave nothing half copied behind")
