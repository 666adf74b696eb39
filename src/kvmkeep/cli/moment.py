"""Times of the command line: now, stamps as ISO 8601, and spans such as `7d`."""

from __future__ import annotations

import re
from datetime import timedelta

from kvmkeep.errors import UsageError
from kvmkeep.model.text import printable

_SPAN = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def iso(stamp: str) -> str:
    """Return the time of a stamp in ISO 8601; empty where it can't be read."""
    from kvmkeep.model.names import stamped_time

    time = stamped_time(stamp)
    return "" if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")


def span(text: str, option: str) -> timedelta:
    """Parse a number of hours, days or weeks: `12h`, `7d`, `4w`."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{printable(text)} is not a span for {option}",
            hint="write a number with h, d or w, such as 7d",
        )
    return int(match[1]) * _UNITS[match[2]]
