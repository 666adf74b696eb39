"""What borg tells of a repository: its listing, and why there is none (borg-list(1))."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import msgspec

from kvmkeep.host.door import Door, Result
from kvmkeep.host.engine_answer import LISTING_LIMIT, LOOK_LIMIT, last_words, listing
from kvmkeep.host.tools import Unanswered
from kvmkeep.model.backup import RepositoryFacts, RepositoryState, Stored
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.backup_tags import StoredObject, disk_named, listed, tag_values
from kvmkeep.model.borg import (
    BORG_MARKS,
    archive_tags,
    borg_argv,
    borg_waits,
    finished_name,
    version_trouble,
)
from kvmkeep.model.command import Command
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import staging_dir
from kvmkeep.model.text import masked_lines
from kvmkeep.model.units import Size

_WAIT = 60
_LOCKED = "LockTimeout"
_STATES = {
    "Repository.DoesNotExist": RepositoryState.ABSENT,
    # As much as an empty directory, where something may not be mounted; borg makes no repository
    # where there is anything.
    "Repository.InvalidRepository": RepositoryState.ABSENT,
    "NoManifestError": RepositoryState.HALF,
    "PassphraseWrong": RepositoryState.WRONG_PASSWORD,
}
"""By borg's own names of what went wrong (borg's documentation, "Frontends")."""


class _Stats(msgspec.Struct):
    deduplicated_size: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class _Made(msgspec.Struct):
    name: str
    stats: _Stats


class _Summary(msgspec.Struct):
    archive: _Made


class _Archive(msgspec.Struct):
    name: str
    time: datetime


class _Listing(msgspec.Struct):
    archives: list[_Archive]


class _Line(msgspec.Struct):
    message: str = ""
    msgid: str = ""


def look(door: Door, repository: Repository, program: str) -> RepositoryFacts:
    """Return what is in a repository; `program` is the path of kvmkeep.

    A borg that is too old is not even asked. Who writes to a repository has it for itself: a look
    waits a minute for that.
    """
    name = repository.name
    asked = door.run(Command(argv=("borg", "--version"), why="see which borg this is"))
    version = " ".join(masked_lines(asked.text).split()[:2])[:60]
    if not asked.ok:
        said = last_words("borg", asked, asked.tail)
        return RepositoryFacts(name=name, state=RepositoryState.UNSEEN, said=said)
    if trouble := version_trouble(version):
        said = f"{door.which('borg')}: {trouble}"
        return RepositoryFacts(name=name, state=RepositoryState.UNFIT, said=said)
    words = ("list", borg_waits(_WAIT), "--json", "--consider-checkpoints")
    marks = f"--glob-archives={BORG_MARKS}"
    argv = borg_argv(repository, program, "--log-json", *words, marks, "--", repository.url)
    why = f"see what repository {name} holds"
    result = door.run(Command(argv=argv, why=why, timeout=LOOK_LIMIT, most=LISTING_LIMIT))
    if not result.ok:
        state, said = _trouble(repository, result)
        return RepositoryFacts(name=name, state=state, said=said)
    try:
        found = listing(result, _Listing, name, "borg")
    except Unanswered as error:
        return RepositoryFacts(name=name, state=RepositoryState.UNSEEN, said=error.problem.reason)
    entries, fragments = listed(name, _objects(found))
    return RepositoryFacts(
        name=name,
        state=RepositoryState.READY,
        version=version,
        entries=entries,
        fragments=fragments,
    )


def stored(said: bytes) -> Stored | None:
    """Return what `borg create --json` told of the archive that it made."""
    summary = decoded_or_none(said, _Summary)
    if summary is None:
        return None
    made = summary.archive
    return Stored(object=masked_lines(made.name), added=Size(made.stats.deduplicated_size))


def _objects(found: _Listing) -> Iterator[StoredObject]:
    """Return the archives of ours; the name tells where the data is as well."""
    for one in found.archives:
        name = finished_name(one.name)
        known = archive_tags(name)
        if known is None:
            continue
        host, tags = known
        said = tag_values(tags)
        yield StoredObject(
            id=one.name,
            time=one.time.strftime("%Y-%m-%dT%H:%M:%SZ"),  # it was asked for in UTC (TZ)
            host=host,
            path=disk_named(tags) or staging_dir(said.get("guest", ""), said.get("set", "")),
            tags=tags,
            whole=name == one.name,
        )


def _trouble(repository: Repository, result: Result) -> tuple[RepositoryState, str]:
    lines = list(_lines(result.stderr))
    ids = [line.msgid for line in lines if line.msgid]
    state = next((_STATES[one] for one in ids if one in _STATES), RepositoryState.UNSEEN)
    said = last_words("borg", result, masked_lines("\n".join(line.message for line in lines)))
    if _LOCKED in ids:
        said += (
            "; somebody uses it: a backup, a proof, another host. Wait for that; if surely nobody "
            f"does, remove the lock: borg break-lock {repository.url}"
        )
    return state, said


def _lines(said: bytes) -> Iterator[_Line]:
    """Return what borg said, each line as JSON; lines of others (ssh, cat) as they are."""
    for line in said.splitlines():
        text = line.decode("utf-8", "replace")
        yield decoded_or_none(text, _Line) or _Line(message=text)
