"""How the mismatches of arrays went from check to check: the kernel keeps only the last count.

Kept in a small file, since a boot makes even that one be forgotten (md(4), "mismatch_cnt").
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.vitals import Count, Mismatches, Trend

CHECKS = frozenset({"check", "repair"})
"""What counts mismatches; other actions leave a count that means nothing."""
_KEPT = 12
_MOST = 256


def continued(trends: Iterable[Trend], seen: Iterable[Mismatches], time: str) -> tuple[Trend, ...]:
    """Return the trends with what is seen now, at `time` (ISO 8601).

    A count is taken once its check is over: where it differs from the last one, or where the check
    was seen at work, which tells one that finds the same again from one that is long over. Of a
    check that mdcheck interrupts and goes on with the next night, none is: the kernel begins to
    count anew each time, and forgets where it began as soon as the last piece is over.
    """
    found = {trend.array: trend for trend in trends}
    for one in seen:
        trend = found.get(one.array, Trend(array=one.array, counts=()))
        counts = trend.counts
        pieces = one.start > 0 or (trend.pieces and not one.running)
        new = trend.open or not counts or counts[-1].sectors != one.sectors
        whole = one.action in CHECKS and not pieces
        if new and whole and not one.running:
            counts = (*counts, Count(time=time, sectors=one.sectors))[-_KEPT:]
        begun = whole and one.running
        found[one.array] = Trend(array=one.array, counts=counts, pieces=pieces, open=begun)
    return _told(found[array] for array in sorted(found))


def encoded(trends: Iterable[Trend]) -> bytes:
    """Return trends as they are kept."""
    return msgspec.json.encode(list(trends)) + b"\n"


def decoded(content: bytes | None) -> tuple[Trend, ...]:
    """Return the trends that were kept; none where the file is not whole, or not of this form."""
    kept = decoded_or_none(content or b"[]", tuple[Trend, ...]) or ()
    return _told(kept)


def _told(trends: Iterable[Trend]) -> tuple[Trend, ...]:
    """Return the trends that tell anything."""
    return tuple(trend for trend in trends if trend.counts or trend.pieces or trend.open)[:_MOST]
