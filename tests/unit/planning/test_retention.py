"""Retention: what is kept of any history, whatever the rules say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.model.backup import BackupEntry
from kvmkeep.model.backup_policy import Keep
from kvmkeep.model.units import Size
from kvmkeep.planning.backups.retention import Retention, retention

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
NONE = Keep(last=0, daily=0, weekly=0, monthly=0)


def entry(moment: str) -> BackupEntry:
    return BackupEntry(
        repository="vault", guest="web", identity="web", moment=moment, level="frozen",
        manifest=f"id-{moment}", path="/x", time="", host="host", size=Size(1), added=Size(1),
        disks=(),
    )  # fmt: skip


def at(hours_ago: int) -> BackupEntry:
    return entry((NOW - timedelta(hours=hours_ago)).strftime("%Y%m%dT%H%M%SZ"))


def moments(found: Retention) -> list[str]:
    return [one.entry.moment for one in found.kept]


HISTORY = st.sets(st.integers(-50, 24 * 900), max_size=40).map(
    lambda ages: [at(age) for age in ages]
)
COUNT = st.integers(0, 12)
KEEP = st.builds(Keep, last=COUNT, daily=COUNT, weekly=COUNT, monthly=COUNT)
PROVEN = st.sets(st.integers(-50, 24 * 900).map(lambda age: at(age).moment), max_size=5)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[BackupEntry], Keep, set[str]]:
    entries = draw(HISTORY)
    known = [one.moment for one in entries]
    proven = draw(st.sets(st.sampled_from(known), max_size=4)) if known else set()
    return draw(st.permutations(entries)), draw(KEEP), proven | draw(PROVEN)


@given(histories())
def test_each_backup_is_kept_or_forgotten_and_the_last_ones_always_stay(
    case: tuple[list[BackupEntry], Keep, set[str]],
) -> None:
    entries, keep, proven = case
    found = retention(entries, keep, proven=proven, now=NOW)
    kept = [one.entry for one in found.kept]
    assert sorted([*kept, *found.forgotten], key=lambda one: one.moment) == sorted(
        entries, key=lambda one: one.moment
    )
    assert all(one.why for one in found.kept)
    past = sorted(one.moment for one in entries if one.moment <= NOW.strftime("%Y%m%dT%H%M%SZ"))
    assert {*past[-max(1, keep.last) :]} <= {one.moment for one in kept}
    good = [moment for moment in past if moment in proven]
    assert {*good[-1:]} <= {one.moment for one in kept}
    assert not {one.moment for one in found.forgotten} - {*past}


@given(histories())
def test_a_period_keeps_its_last_one_and_no_more_than_was_asked_for_stay(
    case: tuple[list[BackupEntry], Keep, set[str]],
) -> None:
    entries, keep, proven = case
    found = retention(entries, keep, proven=proven, now=NOW)
    past = [one.moment for one in entries if one.moment <= NOW.strftime("%Y%m%dT%H%M%SZ")]
    for number, width in ((keep.daily, 8), (keep.monthly, 6)):
        days = sorted({moment[:width] for moment in past})
        wanted = {max(m for m in past if m.startswith(day)) for day in days[-number:] if number}
        assert wanted <= {*moments(found)}
    most = max(1, keep.last) + keep.daily + keep.weekly + keep.monthly + 1
    assert len([one for one in found.kept if one.entry.moment in past]) <= most


@given(histories())
def test_what_was_kept_is_kept_again(case: tuple[list[BackupEntry], Keep, set[str]]) -> None:
    entries, keep, proven = case
    first = retention(entries, keep, proven=proven, now=NOW)
    kept = [one.entry for one in first.kept]
    second = retention(kept, keep, proven=proven, now=NOW)
    assert second == Retention(kept=first.kept, forgotten=())


@given(histories(), KEEP)
def test_who_asks_for_more_loses_nothing(
    case: tuple[list[BackupEntry], Keep, set[str]], more: Keep
) -> None:
    entries, keep, proven = case
    most = Keep(
        last=keep.last + more.last, daily=keep.daily + more.daily,
        weekly=keep.weekly + more.weekly, monthly=keep.monthly + more.monthly,
    )  # fmt: skip
    less = retention(entries, keep, proven=proven, now=NOW)
    assert {*moments(less)} <= {*moments(retention(entries, most, proven=proven, now=NOW))}


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (NONE, ["20261127T0100Z"]),
        (Keep(last=2, daily=0, weekly=0, monthly=0), ["20261126T2300Z", "20261127T0100Z"]),
        (Keep(last=0, daily=2, weekly=0, monthly=0), ["20261126T2300Z", "20261127T0100Z"]),
        (Keep(last=0, daily=0, weekly=2, monthly=0), ["20261122T2359Z", "20261127T0100Z"]),
        (
            Keep(last=0, daily=0, weekly=0, monthly=3),
            ["20260930T0000Z", "20261031T2359Z", "20261127T0100Z"],
        ),
    ],
)
def test_days_weeks_and_months_are_those_of_utc(keep: Keep, kept: list[str]) -> None:
    entries = [
        entry(f"2026{rest}Z")
        for rest in (
            "0930T0000", "1031T2358", "1031T2359", "1122T2359", "1126T0100", "1126T2300",
            "1127T0100",
        )
    ]  # fmt: skip
    assert moments(retention(entries, keep, proven=(), now=NOW)) == kept


def test_of_two_in_one_minute_the_last_is_that_of_the_later_second() -> None:
    found = retention(map(entry, ("20261126T2300Z", "20261126T230040Z")), NONE, proven=(), now=NOW)
    assert moments(found) == ["20261126T230040Z"]


def test_what_seems_to_come_from_the_future_stays_and_counts_for_no_rule() -> None:
    entries = [entry("20261125T0000Z"), entry("20261126T0000Z"), entry("20301126T0000Z")]
    entries.append(entry("20269999T0000Z"))
    found = retention(entries, NONE, proven=("20261125T0000Z",), now=NOW)
    assert [(one.entry.moment, one.why) for one in found.kept] == [
        ("20261125T0000Z", ("the last that is proven",)),
        ("20261126T0000Z", ("last",)),
        ("20269999T0000Z", ("its time is not in the past",)),
        ("20301126T0000Z", ("its time is not in the past",)),
    ]


def test_one_that_lacks_a_disk_stays_and_counts_for_no_rule() -> None:
    whole, broken = at(48), replace(at(24), whole=False)
    found = retention((whole, broken), NONE, proven={broken.moment}, now=NOW)
    assert [(one.entry.moment, one.why) for one in found.kept] == [
        (whole.moment, ("last",)), (broken.moment, ("it lacks a disk",)),
    ]  # fmt: skip


def test_one_that_was_proven_before_stays_beside_the_last_that_is() -> None:
    last, doubted, good, older = (at(age) for age in (24, 48, 72, 96))
    found = retention(
        (last, doubted, good, older), NONE, proven={good.moment},
        once={doubted.moment, older.moment}, now=NOW,
    )  # fmt: skip
    assert [(one.entry.moment, one.why) for one in found.kept] == [
        (good.moment, ("the last that is proven",)), (doubted.moment, ("it was proven before",)),
        (last.moment, ("last",)),
    ]  # fmt: skip
