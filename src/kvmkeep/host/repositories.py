"""Looks into repositories of backups: each engine tells in its own words what there is."""

from __future__ import annotations

from kvmkeep.host import borg, restic
from kvmkeep.host.door import Door
from kvmkeep.host.engine_answer import LOOK_LIMIT, last_words
from kvmkeep.host.tools import Unanswered, argv_text, clean, decode
from kvmkeep.model.backup import (
    MANIFEST,
    BackupEntry,
    Engine,
    Manifest,
    Repository,
    RepositoryFacts,
    RepositoryState,
    Stored,
)
from kvmkeep.model.backup_manifest import manifest_trouble
from kvmkeep.model.borg import borg_get
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Problem
from kvmkeep.model.restic import restic_get


def look(door: Door, repository: Repository, program: str) -> RepositoryFacts:
    """Return what is in a repository, or why that is not known; `program` is kvmkeep's path.

    With a password or keys that are not to be used, its engine is not even asked.
    """
    troubles = (one for path in repository.secrets for one in door.secret(path).trouble)
    said = "; ".join(f"{reason} ({hint})" for reason, hint in troubles)
    if said:
        return RepositoryFacts(name=repository.name, state=RepositoryState.UNASKED, said=said)
    return _LOOKS[repository.engine](door, repository, program)


def read(door: Door, repository: Repository, program: str, *, one: str, path: str) -> bytes:
    """Return a small file of an object; raises Unanswered."""
    argv = _GETS[repository.engine](repository, program, one, path)
    what = f"{path} in repository {repository.name}"
    result = door.run(Command(argv=argv, why=f"read {what}", timeout=LOOK_LIMIT))
    if not result.ok:
        said = last_words(repository.engine, result, clean(result.tail))
        raise Unanswered(Problem(what=what, reason=said, hint=f"try: {argv_text(argv)}"))
    return result.stdout


def manifest(door: Door, repository: Repository, program: str, entry: BackupEntry) -> Manifest:
    """Return the manifest of a backup; raises Unanswered."""
    path = f"{entry.path}/{MANIFEST}"
    content = read(door, repository, program, one=entry.manifest, path=path)
    what = f"the manifest of {entry.guest}@{entry.moment}"
    found = decode(content.decode("utf-8", "replace"), Manifest, what, repository.engine)
    trouble = manifest_trouble(found, entry)
    if trouble:
        hint = "nothing of it is used; who else can write to this repository?"
        raise Unanswered(Problem(what=what, reason=trouble, hint=hint))
    return found


def stored(said: bytes) -> Stored | None:
    """Return what an engine said on its stdout of the object that it stored, whichever it is."""
    return next((found for read in _STORED if (found := read(said)) is not None), None)


_LOOKS = {Engine.RESTIC: restic.look, Engine.BORG: borg.look}
_GETS = {Engine.RESTIC: restic_get, Engine.BORG: borg_get}
_STORED = (restic.stored, borg.stored)
