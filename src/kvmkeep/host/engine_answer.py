"""What engines have in common when they are asked: how long that may take, and their last words."""

from __future__ import annotations

from kvmkeep.host.door import Result

LOOK_LIMIT = 180.0
"""Seconds until a repository counts as one that does not answer."""
_MOST_SAID = 600


def last_words(engine: str, result: Result, said: str) -> str:
    """Return why an engine did not answer; `said` can be printed."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = " / ".join(lines[-3:])[:_MOST_SAID]
    if result.timed_out:
        late = f"{engine} did not answer within {LOOK_LIMIT:.0f} s"
        return f"{late}: {last}" if last else late
    return last or f"{engine} ended with {result.code}"
