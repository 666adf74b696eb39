"""What engines have in common when they are asked: how long that may take, and their last words."""

from __future__ import annotations

from kvmkeep.host.door import Result

LOOK_LIMIT = 180.0
"""Seconds until a repository counts as one that does not answer."""
_MOST_SAID = 600


def last_words(engine: str, result: Result, said: str) -> str:
    """Return why an engine did not answer; `said` can be printed."""
    if result.timed_out:
        return f"{engine} did not answer within {LOOK_LIMIT:.0f} s"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:_MOST_SAID] or f"{engine} ended with {result.code}"
