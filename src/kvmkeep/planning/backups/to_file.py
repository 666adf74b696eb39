"""The plan of `backup restore --to`: one disk of a backup becomes a new file."""

from __future__ import annotations

import posixpath

from msgspec import Struct

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import fetch_dir
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.spec import Spec
from kvmkeep.model.store import part_path
from kvmkeep.model.way import Way
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.fetch import Subject, fetched
from kvmkeep.planning.backups.strays import stray_steps
from kvmkeep.planning.repositories.secrets import secret_refusals
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.ways import room_refusals, way_refusals


class DiskToFile(Struct, frozen=True, kw_only=True):
    """Which disk of which backup becomes the file `path`, which is not there yet.

    `way` leads to its directory.
    """

    subject: Subject
    disk: str
    path: str
    way: Way


def plan_to_file(spec: Spec, facts: Facts, wish: DiskToFile, *, there: bool) -> Plan:
    """Plan to write the file; one that is `there` was written by this run."""
    if there:
        return Plan(steps=stray_steps(facts))
    scene = make_scene(spec, facts, ())
    entry = wish.subject.entry
    subject = f"backup {entry.guest}@{entry.moment}"
    if away := way_refusals(subject, wish.way):
        return Plan(refusals=away)
    disk = next((one for one in wish.subject.manifest.disks if one.disk == wish.disk), None)
    if disk is None:
        known = ", ".join(one.disk for one in wish.subject.manifest.disks)
        reason = f"it has no disk {wish.disk}"
        return Plan(refusals=(Refusal(subject=subject, reason=reason, hint=f"it has {known}"),))
    part = part_path(wish.path)
    folder = fetch_dir(posixpath.basename(wish.path))
    program = facts.units.command
    move = ("mv", "--no-target-directory", "--", part, wish.path)
    step = Step(
        noun=Noun.STORAGE,
        subject=subject,
        what=f"write disk {disk.disk} ({disk.size}) to {wish.path}, and read it again",
        why="you asked for it",
        actions=(
            Command(
                argv=("rm", "--force", "--", part), why="begin anew where a run was interrupted"
            ),
            *fetched(wish.subject, disk, part, folder, program, spares=wish.way.path),
        ),
        place=(Command(argv=move, why="it is complete: give it its name"),),
        finally_=(
            Command(
                argv=("rm", "--recursive", "--force", "--", folder, part),
                why="leave nothing half written behind",
            ),
        ),
    )
    return Plan(
        steps=(step,),
        refusals=(
            *guards.unseen(scene),
            *room_refusals(subject, wish.way),
            *programs.missing_tools(scene, (step,)),
            *secret_refusals(facts, wish.subject.repository),
        ),
        once=True,
    )
