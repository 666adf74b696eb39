"""How the mismatches of arrays went from check to check: the kernel keeps only the last count.

Kept in a small file, since a boot makes even that one be forgotten (md(4), "mismatch_cnt").
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kvmkeep.model.vitals import Count, Mismatches, Trend

CHECKS = frozenset({"check", "repair"})
"""What counts mismatches; other actions leave a count that means nothing."""
_KEPT = 12
_MOST = 256


def continued(trends: Iterable[Trend], seen: Iterable[Mismatches], time: str) -> tuple[Trend, ...]:
    """Return the trends with what is seen now, at `time` (ISO 8601).

    A count is taken once its check is over, and only where it differs from the last one.
    """
    found = {trend.array: trend.counts for trend in trends}
    for one in seen:
        counts = found.get(one.array, ())
        if one.running or one.action not in CHECKS:
            continue
        if not counts or counts[-1].sectors != one.sectors:
            found[one.array] = (*counts, Count(time=time, sectors=one.sectors))[-_KEPT:]
    return tuple(Trend(array=array, counts=found[array]) for array in sorted(found)[:_MOST])


def encoded(trends: Iterable[Trend]) -> bytes:
    """Return trends as they are kept."""
    return msgspec.json.encode(list(trends)) + b"\n"


def decoded(content: bytes | None) -> tuple[Trend, ...]:
    """Return the trends that were kept; none where the file is not whole, or not of this form."""
    try:
        kept = msgspec.json.decode(content or b"[]", type=tuple[Trend, ...])
    except msgspec.DecodeError:
        return ()
    return tuple(trend for trend in kept if trend.counts)[:_MOST]
