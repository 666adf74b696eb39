"""What is remembered of a guest's last backup on this host, beside the repository that has it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from kvmkeep.model.backup import AwaitedBackup, GuestMemo, LastBackup, VanishedBackup
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Noun, Step


def remember(last: LastBackup) -> WriteFile:
    """Return what writes it down."""
    return _written(last, "remember it: `check` and `list` don't ask the repository")


def forget_memo(identity: str) -> Command:
    """Return what has nothing be remembered of a guest's last backup."""
    return _removed(LastBackup.path(identity), "it is not the guest's last backup any more")


def note_vanished(one: VanishedBackup) -> WriteFile:
    """Return what remembers that a backup is gone, also once there are newer ones."""
    return _written(one, "`check` tells of it, which does not ask the repository")


def forget_vanished(identity: str) -> Command:
    """Return what has no backup of a guest be missed any more."""
    return _removed(VanishedBackup.path(identity), "nobody misses it any more")


def note_awaited(one: AwaitedBackup) -> WriteFile:
    """Return what remembers since when a guest's first backup is waited for."""
    return _written(one, "`check` says how long nothing of it could be brought back")


def forget_awaited(identity: str) -> Command:
    """Return what has nobody wait for a guest's first backup any more."""
    return _removed(AwaitedBackup.path(identity), "nobody waits for its first backup any more")


def _written(memo: GuestMemo, why: str) -> WriteFile:
    content = msgspec.json.encode(memo) + b"\n"
    return WriteFile(path=memo.path(memo.identity), content=content, why=why, dir_mode=0o700)


def _removed(path: str, why: str) -> Command:
    return Command(argv=("rm", "--force", "--", path), why=why)


def missing_memo_steps(facts: Facts, name: str, last: LastBackup) -> tuple[Step, ...]:
    """Return the step that a killed run has left undone, if it has, for the guest of that name."""
    known = facts.backups.last_of(last.identity)
    if known is not None and replace(known, since=last.since) == last:
        return ()
    return (
        Step(
            noun=Noun.STORAGE,
            subject=f"guest {name}",
            what=f"remember that {last.moment} is its last backup",
            why="the repository has it already",
            actions=(remember(last),),
        ),
    )
