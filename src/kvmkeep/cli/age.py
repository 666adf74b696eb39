"""How old things are: days, or hours on the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmkeep.health.backups import FUTURE, age
from kvmkeep.model.names import stamped_time
from kvmkeep.model.times import utc

if TYPE_CHECKING:
    from datetime import datetime

    from kvmkeep.model.backup import BackupFacts
    from kvmkeep.model.proof import Proof
    from kvmkeep.model.spec import Guest

NONE = "none"
"""Of a guest that the spec backs up, and that has no backup yet."""


def backup_age(guest: Guest | None, known: BackupFacts, now: datetime) -> str:
    """Return how old the last backup is that this host remembers.

    Empty where there is none, and the spec wants none.
    """
    last = None if guest is None else known.last_of(guest.identity)
    time = None if last is None else stamped_time(last.moment)
    if time is not None:
        return age(now - time)
    return NONE if guest is not None and guest.backup is not None else ""


def told(old: str) -> str:
    """Return an age within a sentence."""
    return "in the future" if old == FUTURE else f"{old} old"


def stamp_age(stamp: str, now: datetime) -> str:
    """Return how old what bears a stamp is; `-` where it can't be read."""
    time = stamped_time(stamp)
    return "-" if time is None else age(now - time)


def proof_age(guest: Guest | None, known: BackupFacts, now: datetime) -> str:
    """Return how old the last proof is that this host remembers, and whether it went wrong.

    Empty where there is none.
    """
    return verdict_age(None if guest is None else known.proof_of(guest.identity, now), now)


def verdict_age(proof: Proof | None, now: datetime) -> str:
    """Return how old a proof is, and whether it went wrong; empty where there is none."""
    if proof is None:
        return ""
    return age(now - utc(proof.time)) + ("" if proof.proven else ", FAILED")
