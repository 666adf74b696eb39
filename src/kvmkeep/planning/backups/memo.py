"""What is remembered of a guest's last backup on this host, beside the repository that has it."""

from __future__ import annotations

import msgspec

from kvmkeep.model.backup import LastBackup
from kvmkeep.model.command import WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import BACKUPS_DIR
from kvmkeep.model.plan import Noun, Step


def remember(last: LastBackup) -> WriteFile:
    """Return what writes it down."""
    return WriteFile(
        path=f"{BACKUPS_DIR}/{last.identity}.json",
        content=msgspec.json.encode(last) + b"\n",
        why="remember it: `check` and `list` don't ask the repository",
        dir_mode=0o700,
    )


def missing_memo_steps(facts: Facts, name: str, last: LastBackup) -> tuple[Step, ...]:
    """Return the step that a killed run has left undone, if it has, for the guest of that name."""
    if facts.backups.last_of(last.identity) == last:
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
