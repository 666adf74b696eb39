"""The plan of `backup copy-out`: files out of a backup, without bringing a disk back.

The repository is seen as files while they are copied, and libguestfs's small virtual machine reads
the guest's filesystems from them.
"""

from __future__ import annotations

import posixpath

from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Noun, Plan, Step
from kvmkeep.model.spec import Spec
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.fetch import Subject
from kvmkeep.planning.backups.strays import shown_for_copy, stray_steps
from kvmkeep.planning.offline.copy_out import WORK, CopyOut, copies, places, tidy, tidy_step
from kvmkeep.planning.repositories.engine import driver
from kvmkeep.planning.repositories.files import engine_refusals, hide, plain, show
from kvmkeep.planning.repositories.secrets import secret_refusals
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.ways import room_refusals, way_refusals


def plan_copy_out_of(spec: Spec, facts: Facts, subject: Subject, wish: CopyOut) -> Plan:
    """Plan to copy what is not there yet."""
    entry = subject.entry
    name = f"backup {entry.guest}@{entry.moment}"
    if refusals := way_refusals(name, wish.way):
        return Plan(refusals=refusals)
    scene = make_scene(spec, facts, ())
    missing = tuple(path for path in wish.paths if posixpath.basename(path) not in wish.there)
    if not missing:
        left = (tidy_step(name, wish),) if WORK in wish.there else ()
        return Plan(steps=(*left, *stray_steps(facts)))
    words = driver(subject.repository, facts.units.command)
    shown = shown_for_copy(entry.guest)
    disks = tuple(words.mounted(shown.tree, one.object, one.path) for one in subject.manifest.disks)
    work = f"{wish.directory}/{WORK}"
    step = Step(
        noun=Noun.STORAGE,
        subject=name,
        what=f"copy {', '.join(missing)} to {wish.directory}",
        why="you asked for it",
        actions=(
            *hide(shown),
            *show(shown, words),
            *(command for disk in disks for command in plain(disk)),
            *copies(wish, missing, disks),
        ),
        place=places(wish, missing),
        finally_=(tidy(work), *hide(shown)),
    )
    return Plan(
        steps=(step,),
        refusals=(
            *guards.unseen_beside_files(scene),
            *room_refusals(name, wish.way),
            *programs.missing_tools(scene, (step,)),
            *engine_refusals(scene, subject.repository.engine),
            *secret_refusals(facts, subject.repository),
        ),
    )
