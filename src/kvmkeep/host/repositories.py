"""Looks into repositories of backups: each engine tells in its own words what there is."""

from __future__ import annotations

from kvmkeep.host import borg, restic
from kvmkeep.host.door import Door
from kvmkeep.host.engine_answer import LOOK_LIMIT, last_words
from kvmkeep.host.tools import Unanswered, argv_text, decode, whole
from kvmkeep.model.backup import BackupEntry, RepositoryFacts, RepositoryState, Stored
from kvmkeep.model.backup_manifest import MANIFEST, Manifest
from kvmkeep.model.backup_policy import Engine, Repository
from kvmkeep.model.borg import borg_get
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Problem
from kvmkeep.model.manifest_trouble import manifest_trouble
from kvmkeep.model.restic import restic_get
from kvmkeep.model.text import masked_lines


def look(door: Door, repository: Repository, program: str) -> RepositoryFacts:
    """Return what is in a repository, or why that is not known; `program` is kvmkeep's path.

    With a password or keys that are not to be used, its engine is not even asked.
    """
    troubles = (one for path in repository.secrets for one in door.secret(path).trouble)
    said = "; ".join(f"{reason} ({hint})" for reason, hint in troubles)
    if said:
        return RepositoryFacts(name=repository.name, state=RepositoryState.UNASKED, said=said)
    try:
        found = _LOOKS[repository.engine](door, repository, program)
    except _WRONG as error:
        # Others may write to a repository: what one holds must not hide all others.
        said = f"{repository.engine} told what can't be true: {masked_lines(str(error))}"
        return RepositoryFacts(name=repository.name, state=RepositoryState.UNSEEN, said=said)
    here = repository.url.startswith("/")
    return _without_remains(door, repository, found) if here else found


def _without_remains(door: Door, repository: Repository, found: RepositoryFacts) -> RepositoryFacts:
    """Return what was found, unless something lies where nothing was found.

    borg makes no repository there. restic does, beside a key that a stopped `init` has left, and
    opens it by whichever of the two keys it meets first: with the old one, it calls all damaged
    (tried with 0.14). What it is still writing has a name with `-tmp-`, and counts for nothing.
    """
    if found.state is not RepositoryState.ABSENT:
        return found
    place = repository.url + _BEGINS[repository.engine]
    try:
        names = [masked_lines(one) for one in door.names(place) if "-tmp-" not in one]
    except OSError as error:
        said = f"{place}: {error.strerror or error}"
        return RepositoryFacts(name=found.name, state=RepositoryState.UNSEEN, said=said)
    if not names:
        return found
    said = f"{place} holds {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
    return RepositoryFacts(name=found.name, state=RepositoryState.HALF, said=said)


def read(door: Door, repository: Repository, program: str, *, one: str, path: str) -> bytes:
    """Return a small file of an object; raises Unanswered."""
    argv = _GETS[repository.engine](repository, program, one, path)
    what = f"{path} in repository {repository.name}"
    result = door.run(Command(argv=argv, why=f"read {what}", timeout=LOOK_LIMIT))
    if not result.ok:
        said = last_words(repository.engine, result, masked_lines(result.tail))
        raise Unanswered(Problem(what=what, reason=said, hint=f"try: {argv_text(argv)}"))
    return whole(result, what, repository.engine)


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


_WRONG = (ValueError, ArithmeticError, LookupError, RecursionError)
"""What Python raises of values that are none: of a time in no year, for one (datetime)."""
_BEGINS = {Engine.RESTIC: "/keys", Engine.BORG: ""}
"""What has something in it as soon as a repository is begun."""
_LOOKS = {Engine.RESTIC: restic.look, Engine.BORG: borg.look}
_GETS = {Engine.RESTIC: restic_get, Engine.BORG: borg_get}
_STORED = (restic.stored, borg.stored)
