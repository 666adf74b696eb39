"""How mismatches went from check to check: taken once a check is over."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.trend import continued, decoded, encoded
from kvmkeep.model.vitals import Count, Mismatches, Trend

THEN, NOW = "2026-10-01T00:00:00+00:00", "2026-11-01T00:00:00+00:00"


def seen(sectors: int, action: str = "check", *, running: bool = False) -> tuple[Mismatches, ...]:
    return (Mismatches(array="md0", sectors=sectors, action=action, running=running),)


def trend(*sectors: int, time: str = THEN) -> tuple[Trend, ...]:
    return (Trend(array="md0", counts=tuple(Count(time=time, sectors=one) for one in sectors)),)


def test_a_count_is_taken_where_it_differs_from_the_last_one() -> None:
    assert continued((), seen(0), THEN) == trend(0)
    assert continued(trend(0), seen(0), NOW) == trend(0)
    (one,) = continued(trend(0), seen(128), NOW)
    assert one.counts == (*trend(0)[0].counts, Count(time=NOW, sectors=128))
    (one,) = continued(trend(128), seen(0, "repair"), NOW)
    assert [count.sectors for count in one.counts] == [128, 0]


def test_what_is_no_whole_count_of_a_check_is_not_taken() -> None:
    assert continued((), seen(64, running=True), NOW) == (Trend(array="md0", counts=(), open=True),)
    for action in ("none", "resync", "recover"):
        assert continued(trend(128), seen(0, action), NOW) == trend(128), "a boot, a new disk"
    assert continued(trend(128), (), NOW) == trend(128)


def test_a_check_that_was_seen_at_work_is_counted_where_it_finds_the_same_again() -> None:
    at_work = continued(trend(128, 256), seen(64, running=True), NOW)
    assert at_work == (replace(trend(128, 256)[0], open=True),)
    assert decoded(encoded(at_work)) == at_work
    for begun in (at_work, continued(at_work, seen(200, running=True), NOW)):
        (one,) = over = continued(begun, seen(256), NOW)
        assert [count.sectors for count in one.counts] == [128, 256, 256]
        assert continued(over, seen(256), NOW) == over, "and once only"
    for action in ("none", "resync"):
        assert continued(at_work, seen(0, action), NOW) == trend(128, 256), "it was cut off"
    first = continued((), seen(64, running=True), NOW)
    assert decoded(encoded(first)) == first
    assert continued(first, seen(0, "none"), NOW) == ()


def test_a_check_in_pieces_counts_nothing() -> None:
    """As mdcheck does it: for six hours each night, on with where it was."""
    night = trend(64)
    for now in (
        seen(8, running=True),  # from the beginning: it may become a whole one
        (replace(seen(8)[0], start=1000),),  # interrupted
        (replace(seen(2, running=True)[0], start=1000),),
        (replace(seen(4)[0], start=2000),),
        (replace(seen(1, running=True)[0], start=2000),),
        seen(128),  # the last piece is over
    ):
        night = continued(night, now, NOW)
        assert night[0].counts == trend(64)[0].counts
    assert decoded(encoded(night)) == night
    assert night[0].pieces
    night = continued(night, seen(0, running=True), NOW)
    (one,) = continued(night, seen(256), NOW)
    assert [count.sectors for count in one.counts] == [64, 256], "a whole one"
    assert not one.pieces
    (first,) = continued((), (replace(seen(8)[0], start=1000),), NOW)
    assert (first.counts, first.pieces) == ((), True)
    assert decoded(encoded((first,))) == (first,)


def test_only_the_last_ones_are_kept() -> None:
    trends: tuple[Trend, ...] = ()
    for sectors in range(50):
        trends = continued(trends, seen(sectors), NOW)
    assert [one.sectors for one in trends[0].counts] == list(range(38, 50))


def test_it_comes_back_from_its_file_and_what_is_torn_is_none() -> None:
    assert decoded(encoded(trend(0, 8))) == trend(0, 8)
    assert decoded(None) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"{}",
        b'[{"array":1}]',
        b'[{"array":"md0","counts":[]}]',
        b'[{"array":"m\xe40","counts":[]}]',
        b'[{"other":' + b"[" * 100_000,
    ],
)
def test_a_file_of_another_form_is_none(content: bytes) -> None:
    assert decoded(content) == ()
