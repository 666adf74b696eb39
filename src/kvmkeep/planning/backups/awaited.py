"""Since when a guest that was never backed up waits for its first backup: nothing else tells it."""

from __future__ import annotations

from kvmkeep.model.backup import AwaitedBackup
from kvmkeep.model.command import Action
from kvmkeep.model.facts import Facts
from kvmkeep.model.host_units import BACKUP_TIMER
from kvmkeep.model.names import BACKUP_MEMO_DIR, second_stamp
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.planning.backups.memo import forget_awaited, note_awaited


def awaiting_steps(spec: Spec, facts: Facts) -> tuple[Step, ...]:
    """Return what notes it of guests of the spec, and forgets it once it is over.

    Only where the timer of backups is installed: else nobody said that they are made by themselves.
    """
    if facts.units.file(BACKUP_TIMER) is None or facts.unseen(BACKUP_MEMO_DIR):
        return ()
    steps: list[Step] = []
    for guest in spec.guests:
        known = facts.backups
        waits = guest.backup is not None and known.last_of(guest.identity) is None
        noted = known.awaited_of(guest.identity) is not None
        if waits and not noted:
            one = AwaitedBackup(identity=guest.identity, moment=second_stamp(facts.time))
            steps.append(_step(guest, "note that it waits for its first backup", note_awaited(one)))
        elif noted and not waits:
            what = "forget since when it waits for its first backup"
            steps.append(_step(guest, what, forget_awaited(guest.identity)))
    return tuple(steps)


def _step(guest: Guest, what: str, action: Action) -> Step:
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=what,
        why="so that check can say for how long",
        actions=(action,),
    )
