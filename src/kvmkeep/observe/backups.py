"""Repositories that are asked for, and what lies ready of backups that are on their way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from kvmkeep.host.repositories import look
from kvmkeep.model.backup import BackupFacts, SentDisk, StagedSet, done_name, parse_moment
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import (
    BACKUP_LOCK,
    COPY_DIR,
    FETCH_DIR,
    PROOF_LOCK,
    RESTIC_CACHE,
    STAGING_DIR,
    staging_dir,
)
from kvmkeep.model.spec import Spec
from kvmkeep.observe.backup_care import (
    awaited_backups,
    last_backups,
    proofs,
    upkeep,
    vanished_backups,
)
from kvmkeep.observe.notebook import Notebook

_LIMIT = 64 << 10
_DONE = done_name("")
_CHECKS = "restic-check-cache-"
"""How restic calls the cache of a check, which it removes at its end."""


def observe_backups(
    notebook: Notebook, spec: Spec | None, names: Iterable[str], program: str, now: datetime
) -> BackupFacts:
    """Return the repositories of those names, and what lies ready; `program` is kvmkeep's path."""
    wanted = frozenset(names)
    known = spec.repositories if spec is not None else ()
    asked = [one for one in known if one.name in wanted]
    secrets = dict.fromkeys(path for one in known for path in one.secrets)
    # Before the listings: what a run stores meanwhile is not to be missed there.
    last = tuple(last_backups(notebook))
    return BackupFacts(
        repositories=tuple(look(notebook.door, one, program) for one in asked),
        secrets=tuple(notebook.door.secret(path) for path in secrets),
        staged=tuple(_staged(notebook)),
        last=last,
        vanished=tuple(vanished_backups(notebook)),
        awaited=tuple(awaited_backups(notebook)),
        proofs=tuple(proofs(notebook, None if asked else now)),
        upkeep=tuple(upkeep(notebook, known)),
        caches=tuple(_caches(notebook)),
        shown=notebook.names(COPY_DIR),
        fetched=notebook.names(FETCH_DIR),
        running=notebook.ask(BACKUP_LOCK, lambda door: door.locked(BACKUP_LOCK), default=False),
        proving=notebook.ask(PROOF_LOCK, lambda door: door.locked(PROOF_LOCK), default=False),
    )


def _caches(notebook: Notebook) -> Iterator[str]:
    # A cache that can't be looked at is nothing that a plan rests on.
    with suppress(OSError):
        for name in notebook.door.names(RESTIC_CACHE):
            if name.startswith(_CHECKS):
                yield f"{RESTIC_CACHE}/{name}"


def _staged(notebook: Notebook) -> Iterator[StagedSet]:
    for guest in notebook.names(STAGING_DIR):
        for moment in notebook.names(f"{STAGING_DIR}/{guest}"):
            try:
                folder = staging_dir(guest, parse_moment(moment))
            except ValueError:
                continue  # not ours
            names = notebook.names(folder)
            sent = (_sent(notebook, f"{folder}/{name}") for name in names if name.endswith(_DONE))
            yield StagedSet(
                guest=guest,
                moment=moment,
                names=names,
                sent=tuple(one for one in sent if one is not None),
            )


def _sent(notebook: Notebook, path: str) -> SentDisk | None:
    """Return what the sending of a disk left; None counts as not sent, and it is sent again."""
    one = decoded_or_none(notebook.read(path, _LIMIT) or b"", SentDisk)
    ours = one is not None and path.endswith(f"/{done_name(one.disk)}")
    return one if ours else None
