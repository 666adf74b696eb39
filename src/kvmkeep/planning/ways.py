"""Root writes only where nobody else can change where that leads."""

from __future__ import annotations

import shlex

from kvmkeep.model.command import SPARE
from kvmkeep.model.plan import Refusal
from kvmkeep.model.way import Way

_HINT = (
    "name one that root alone may write to, such as /root; how to hand files over from there: "
    "man kvmkeep, copy-out"
)


def way_refusals(subject: str, way: Way, hint: str = _HINT) -> tuple[Refusal, ...]:
    """Refuse to write to a directory that others may change, or the way to it."""
    if not way.trouble:
        return ()
    return (Refusal(subject=subject, reason=way.trouble, hint=hint, unready=bool(way.error)),)


def room_refusals(subject: str, way: Way) -> tuple[Refusal, ...]:
    """Refuse to write where so little is free that the host itself may soon need it.

    How much there will be is not known before: what a guest says of its files is no measure.
    """
    if way.free is None or way.free >= SPARE:
        return ()
    place = shlex.quote(way.path)
    return (
        Refusal(
            subject=subject,
            reason=f"only {way.free} are free at {way.path}, of which {SPARE} stay so",
            hint=f"make room there, or name a place on another filesystem; see: df -h {place}",
        ),
    )
