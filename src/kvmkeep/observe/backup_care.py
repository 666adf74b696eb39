"""What is remembered of backups on this host: it can be read at once, whatever the network does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from kvmkeep.host.door import Door
from kvmkeep.model.backup import (
    AwaitedBackup,
    BackupFacts,
    LastBackup,
    Part,
    Upkeep,
    VanishedBackup,
    parse_moment,
    parse_part,
    recency,
)
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import BACKUP_MEMO_DIR, VERDICT_DIR
from kvmkeep.model.proof import Proof
from kvmkeep.observe.notebook import Notebook

T = TypeVar("T", LastBackup, VanishedBackup, AwaitedBackup)

_LIMIT = 256 << 10
_JSON = ".json"


def observe_memos(door: Door, now: datetime) -> BackupFacts:
    """Return what is remembered, and nothing else; what can't be read is not told."""
    notebook = Notebook(door)
    return BackupFacts(last=tuple(last_backups(notebook)), proofs=tuple(proofs(notebook, now)))


def observe_made(door: Door) -> BackupFacts:
    """Return what this host remembers to have made, and nothing else.

    Who compares it with a listing reads it first: a run may end in between.
    """
    notebook = Notebook(door)
    return BackupFacts(
        last=tuple(last_backups(notebook)), vanished=tuple(vanished_backups(notebook))
    )


def last_backups(notebook: Notebook) -> Iterator[LastBackup]:
    """Return what is remembered of each guest's last backup; what can't be read is none."""
    return _of_guests(notebook, LastBackup)


def vanished_backups(notebook: Notebook) -> Iterator[VanishedBackup]:
    """Return the backups that were noticed to be gone, and what is remembered of them."""
    return _of_guests(notebook, VanishedBackup)


def awaited_backups(notebook: Notebook) -> Iterator[AwaitedBackup]:
    """Return the guests whose first backup is waited for, and since when."""
    return _of_guests(notebook, AwaitedBackup)


def _of_guests(notebook: Notebook, form: type[T]) -> Iterator[T]:
    """Return the memos of one kind, each in a file with its guest's identity for a name."""
    for name in notebook.names(BACKUP_MEMO_DIR):
        if name.endswith(form.ENDING):
            path = f"{BACKUP_MEMO_DIR}/{name}"
            one = decoded_or_none(notebook.read(path, _LIMIT) or b"", form)
            if one is None or one.path(one.identity) != path:
                continue
            with suppress(ValueError):
                parse_moment(one.moment)
                yield one


def proofs(notebook: Notebook, now: datetime | None = None) -> Iterator[Proof]:
    """Return the verdicts on backups: all, or for each guest that on the last one until `now`."""
    for whose in notebook.names(VERDICT_DIR):
        folder = f"{VERDICT_DIR}/{whose}"
        names = [name for name in notebook.names(folder) if name.endswith(_JSON)]
        if now is not None:
            names = sorted(names, key=lambda name: recency(name.removesuffix(_JSON), now))[-1:]
        for name in names:
            content = notebook.read(f"{folder}/{name}", _LIMIT) or b""
            one = decoded_or_none(content, Proof)
            if one is None or (one.whose, f"{one.moment}{_JSON}") != (whose, name):
                continue
            with suppress(ValueError):
                datetime.fromisoformat(one.time)
                yield one


def upkeep(notebook: Notebook, repositories: Iterable[Repository]) -> Iterator[Upkeep]:
    """Return when something was last done for repositories."""
    there = notebook.names(BACKUP_MEMO_DIR)
    for name in (one.name for one in repositories):
        begun, verified, pruned = (
            _lines(notebook, f"{BACKUP_MEMO_DIR}/{file}") if file in there else []
            for file in (f"{name}.begun", f"{name}.verified", f"{name}.pruned")
        )
        yield Upkeep(
            repository=name,
            begun=_time(begun[:1]),
            verified=_time(verified[:1]),
            pruned=_time(pruned[:1]),
            parts=tuple(_parts(verified[1:])),
        )


def _lines(notebook: Notebook, path: str) -> list[str]:
    return (notebook.read(path, 1000) or b"").decode("utf-8", "replace").splitlines()


def _time(lines: list[str]) -> str:
    text = "".join(lines).strip()
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


def _parts(lines: list[str]) -> Iterator[Part]:
    for line in lines:
        with suppress(ValueError):
            yield parse_part(line)
