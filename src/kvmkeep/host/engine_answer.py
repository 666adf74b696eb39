"""What engines have in common when they are asked: how long that may take, and their last words."""

from __future__ import annotations

from typing import TypeVar

from kvmkeep.host.door import Result
from kvmkeep.host.tools import decode, whole

T = TypeVar("T")

LOOK_LIMIT = 180.0
"""Seconds until a repository counts as one that does not answer."""
LISTING_LIMIT = 256 << 20
"""Bytes of a listing that are read: of each object less than a KiB is told, so 300 000 and more."""
_MOST_SAID = 600


def listing(result: Result, form: type[T], name: str, engine: str) -> T:
    """Return the listing of a repository; raise Unanswered where it can't be read, or not whole.

    As a backup without its manifest, what is left out would be deleted as a fragment.
    """
    what = f"repository {name}"
    todo = f"begin another repository, or remove its oldest objects with {engine} itself"
    return decode(whole(result, what, engine, todo), form, what, engine)


def last_words(engine: str, result: Result, said: str) -> str:
    """Return why an engine did not answer; `said` can be printed."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = " / ".join(lines[-3:])[:_MOST_SAID]
    if result.timed_out:
        late = f"{engine} did not answer within {LOOK_LIMIT:.0f} s"
        return f"{late}: {last}" if last else late
    return last or f"{engine} ended with {result.code}"
