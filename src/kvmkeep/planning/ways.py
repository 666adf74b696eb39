"""Root writes only where nobody else can change where that leads."""

from __future__ import annotations

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
