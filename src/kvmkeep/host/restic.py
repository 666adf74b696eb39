"""What restic tells of a repository: its listing, and why there is none (restic-snapshots(1))."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from kvmkeep.host.door import Door, Result
from kvmkeep.host.engine_answer import LISTING_LIMIT, LOOK_LIMIT, last_words, listing
from kvmkeep.host.tools import Unanswered
from kvmkeep.model.backup import RepositoryFacts, RepositoryState, Stored
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.backup_tags import TAG, StoredObject, listed
from kvmkeep.model.command import Command
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import CACHE_DIR
from kvmkeep.model.restic import restic_argv
from kvmkeep.model.text import masked_lines
from kvmkeep.model.units import Size

_NO_REPOSITORY = 10
_WRONG_PASSWORD = 12
"""What restic ends with since 0.17 (restic(1), "Exit Status"); before, with 1."""
# At the end of its line: S3 says of a key to log in with that it "does not exist in our records".
_GONE = re.compile(r"(no such file or directory|does not exist)\.?$", re.MULTILINE)


class _Fatal(msgspec.Struct, tag_field="message_type", tag="exit_error"):
    """The last thing that it says with `--json` since 0.18, on stderr."""

    message: str


_TRACE = re.compile(r"\n\S+\n\t\S+\.go:[0-9]+")
_LEFT_OUT = re.compile(r"^(could not load snapshots?|Ignoring)\b.*", re.MULTILINE)
"""What it says of what it does not list; it ends well all the same (tried with 0.14)."""
_HALF = ("is damaged: ciphertext verification failed", "config file has zero size")
"""What it says where an `init` that was stopped has left a key, or half a file."""


class _Summary(msgspec.Struct):
    snapshot_id: str
    data_added: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]


class _Snapshot(msgspec.Struct):
    id: str
    time: datetime
    paths: list[str]
    hostname: str = ""
    tags: list[str] | None = None


def look(door: Door, repository: Repository, program: str) -> RepositoryFacts:
    """Return what is in a repository; `program` is the path of kvmkeep.

    Nothing is written to it, no lock either: looking neither waits for others nor stops them.
    """
    # Others may have stored far more there. That of all hosts is asked for: this one may have been
    # called otherwise.
    words = ("snapshots", "--json", "--no-lock", f"--tag={TAG}")
    argv = restic_argv(repository, program, *words)
    why = f"see what repository {repository.name} holds"
    result = door.run(Command(argv=argv, why=why, timeout=LOOK_LIMIT, most=LISTING_LIMIT))
    name = repository.name
    if not result.ok:
        return RepositoryFacts(
            name=name, state=_state(result), said=last_words("restic", result, _said(result))
        )
    if left_out := _LEFT_OUT.search(result.stderr.decode("utf-8", "replace")):
        # As a backup without its manifest, what is left out would be deleted as a fragment.
        said = (
            f"restic lists only a part of it: {masked_lines(left_out[0])}; if `restic check` finds "
            f"no fault, what this host keeps of it is damaged: remove {CACHE_DIR}/restic"
        )
        return RepositoryFacts(name=name, state=RepositoryState.UNSEEN, said=said)
    try:
        found = listing(result, list[_Snapshot], name, "restic")
    except Unanswered as error:
        return RepositoryFacts(name=name, state=RepositoryState.UNSEEN, said=error.problem.reason)
    entries, fragments = listed(name, (_object(one) for one in found))
    return RepositoryFacts(
        name=name,
        state=RepositoryState.READY,
        version=_version(door),
        entries=entries,
        fragments=fragments,
    )


def _version(door: Door) -> str:
    """Return how restic calls itself: `restic 0.14.0`."""
    result = door.run(Command(argv=("restic", "version"), why="see which restic this is"))
    return " ".join(masked_lines(result.text).split()[:2])[:60]


def stored(said: bytes) -> Stored | None:
    """Return what `restic backup --json` told of the object that it stored, in its last line."""
    for line in reversed(said.splitlines()):
        found = decoded_or_none(line, _Summary)
        if found is not None:
            return Stored(object=masked_lines(found.snapshot_id), added=Size(found.data_added))
    return None


def _object(one: _Snapshot) -> StoredObject:
    time = one.time if one.time.tzinfo is not None else one.time.replace(tzinfo=UTC)
    return StoredObject(
        id=masked_lines(one.id),
        time=time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        host=masked_lines(one.hostname),
        path=one.paths[0] if one.paths else "",
        tags=tuple(masked_lines(tag) for tag in one.tags or ()),
    )


def _fatal(result: Result) -> str:
    """Return why it ended, in its own words; empty before 0.18, which told it as text."""
    for line in reversed(result.stderr.splitlines()):
        found = decoded_or_none(line, _Fatal)
        if found is not None:
            return found.message
    return ""


def _said(result: Result) -> str:
    """Return what restic said, without where in its source that was."""
    return masked_lines(_TRACE.split(_fatal(result) or result.tail)[0])


def _state(result: Result) -> RepositoryState:
    said = _fatal(result) or result.stderr.decode("utf-8", "replace")
    if result.code == _WRONG_PASSWORD or "wrong password or no key found" in said:
        return RepositoryState.WRONG_PASSWORD
    if any(words in said for words in _HALF):
        return RepositoryState.HALF
    # Where it can't be reached, 0.14 asks as well whether there is a repository.
    gone = _GONE.search(said) is not None
    asked = "Is there a repository at the following location" in said
    if result.code == _NO_REPOSITORY or (asked and gone):
        return RepositoryState.ABSENT
    return RepositoryState.UNSEEN
