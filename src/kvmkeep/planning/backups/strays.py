"""What verbs that bring something back from a backup have left, where they were killed.

All of them hold the lock of this host. So who holds it, and sees something of theirs, sees what a
dead run left.
"""

from __future__ import annotations

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import copy_dir, fetch_dir
from kvmkeep.model.plan import Noun, Step
from kvmkeep.planning.backups.fetch import tidy
from kvmkeep.planning.repositories.files import Shown, hide


def shown_for_copy(guest: str) -> Shown:
    """Return where a repository is seen as files while something of a guest is copied out."""
    return Shown(unit=f"kvmkeep-copy-{guest}.service", above=copy_dir(guest), group=0)


def stray_steps(facts: Facts) -> tuple[Step, ...]:
    """Return what takes away all of it."""
    backups = facts.backups
    shown = [(copy_dir(one), hide(shown_for_copy(one))) for one in backups.shown]
    fetched = [(fetch_dir(one), (tidy(fetch_dir(one)),)) for one in backups.fetched]
    return tuple(_step(folder, actions) for folder, actions in (*shown, *fetched))


def _step(folder: str, actions: tuple[Command, ...]) -> Step:
    return Step(
        noun=Noun.STORAGE,
        subject="backups",
        what=f"remove {folder}",
        why="a run that was interrupted has left it",
        actions=actions,
    )
