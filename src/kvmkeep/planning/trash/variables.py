"""The variables of a UEFI firmware go into the trash with their guest's definition, and come back.

A file that stays in its place would be that of the next guest of the name: libvirt takes one that
is there. So it takes it away (virsh(1), "undefine", `--nvram`), once a copy is on the disks. On
the way back, the file is there before the definition; one that holds just what the trash does was
put there by a run that was stopped in between.
"""

from __future__ import annotations

import shlex

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.names import TRASH_DIR
from kvmkeep.model.plan import Noun, Reason, Refusal, Step
from kvmkeep.model.store import part_path
from kvmkeep.model.trash import VARIABLES, TrashEntry
from kvmkeep.planning.commands import same_file, synced
from kvmkeep.planning.domains.firmware import make_room
from kvmkeep.planning.scene import Scene


def unseen(scene: Scene, subject: str, path: str) -> tuple[Refusal, ...]:
    """Refuse where it can't be seen what lies there: its absence means nothing then."""
    problem = scene.facts.variables_at(path).problem
    if not problem:
        return ()
    reason = f"the variables of its firmware, {path}, can't be seen: {problem}"
    hint = f"look at it: ls -l {shlex.quote(path)}"
    return (Refusal(subject=subject, reason=reason, hint=hint, unready=True, unseen=True),)


def leaving(scene: Scene, domain: Domain) -> str:
    """Return the file that goes into the trash with a domain; empty where none does.

    It may not be there yet: libvirt makes it at the first start.
    """
    file = scene.facts.variables_at(domain.variables).file
    return "" if file is None or staying(scene, domain) else domain.variables


def staying(scene: Scene, domain: Domain) -> str:
    """Return why a domain's file stays where it is; empty where it doesn't."""
    file = scene.facts.variables_at(domain.variables).file
    if file is None:
        return ""
    others = _others(scene, domain.variables, domain.uuid)
    if others:
        return f"the domain {others[0].name} has them as well"
    return "" if file.kind == "file" else f"that is no plain file, but a {file.kind}"


def into_trash(path: str, folder: str) -> tuple[Command, ...]:
    """Return what copies the file of a domain that is off into a folder of the trash."""
    return (
        *_copied(path, f"{folder}/{VARIABLES}", "keep the variables of its firmware"),
        _renamed(f"{folder}/{VARIABLES}"),
        synced(folder, "have its name on the disks before the file is taken away"),
    )


def _copied(source: str, target: str, why: str) -> tuple[Command, ...]:
    part = part_path(target)
    return (
        Command(argv=("rm", "--force", "--", part), why="remove what an interrupted run has left"),
        Command(
            argv=("cp", "--archive", "--no-target-directory", "--", source, part),
            why=f"{why}, with their owner and mode",
        ),
        synced(part),
    )


def _renamed(path: str) -> Command:
    argv = ("mv", "--no-target-directory", "--", part_path(path), path)
    return Command(argv=argv, why="now it counts")


def _absent(path: str) -> Command:
    return Command(argv=("test", "!", "-e", path), why="see that there is still no such file")


def taken(scene: Scene, entry: TrashEntry, path: str, own: Domain | None) -> list[Reason]:
    """Return why the file of an entry can't be put back; `own` is its domain, if it is defined."""
    others = _others(scene, path, "" if own is None else own.uuid)
    if others:
        hint = f"remove that one first; or, {make_room(others[0].name)}"
        return [(f"the domain {others[0].name} has the variables of its firmware in {path}", hint)]
    there = scene.facts.variables_at(path)
    back = there.file is None or entry.name in there.copies
    if own is not None or back or not _has_copy(entry):
        return []
    move = shlex.join(("mv", path, f"{path}.old"))
    reason = f"there is a file {path} now, where the variables of its firmware are to lie"
    return [(reason, f"if nobody needs it, move it away: {move}")]


def put_back(scene: Scene, entry: TrashEntry, path: str) -> tuple[Step, ...]:
    """Return what puts the file of an entry back, before its domain is defined."""
    if not path or not _has_copy(entry) or scene.facts.variables_at(path).file is not None:
        return ()
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {entry.guest}",
            what=f"put the variables of its firmware back: {path}",
            why="it boots by what it has stored there",
            probe=_absent(path),
            actions=(
                *_copied(_copy(entry), path, "bring the variables of its firmware back"),
                _absent(path),
                _renamed(path),
            ),
        ),
    )


def take_away_again(scene: Scene, entry: TrashEntry) -> tuple[Step, ...]:
    """Return what takes a file away that was put back, and whose guest is to be removed after all.

    Its domain is not defined.
    """
    kept = entry.folder.domain if entry.folder is not None else None
    path = "" if kept is None else kept.variables
    there = scene.facts.variables_at(path)
    if there.file is None or entry.name not in there.copies:
        return ()
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {entry.guest}",
            what=f"remove {path}: the variables of its firmware are in the trash",
            why="a new guest of that name would boot by them",
            probe=same_file(path, there.file.fingerprint),
            actions=(Command(argv=("rm", "--force", "--", path), why="nothing else is in it"),),
        ),
    )


def _others(scene: Scene, path: str, uuid: str) -> list[Domain]:
    """Return the domains but this one that have a file of variables."""
    having = (one for one in scene.facts.domains if path and one.variables == path)
    return [one for one in having if one.uuid != uuid]


def _has_copy(entry: TrashEntry) -> bool:
    return entry.folder is not None and VARIABLES in entry.folder.files


def _copy(entry: TrashEntry) -> str:
    return f"{TRASH_DIR}/{entry.name}/{VARIABLES}"
