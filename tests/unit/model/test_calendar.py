from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.model.calendar import parse_calendar

NOW = datetime(2026, 11, 27, 12, 30, 15, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("daily", "2026-11-27 00:00:00"),
        ("weekly", "2026-11-23 00:00:00"),
        ("Hourly", "2026-11-27 12:00:00"),
        ("quarterly", "2026-10-01 00:00:00"),
        ("*-*-* 12:30:16", "2026-11-26 12:30:16"),
        ("*-*-* 12:30:15", "2026-11-27 12:30:15"),
        ("01:30", "2026-11-27 01:30:00"),
        ("12:*", "2026-11-27 12:30:00"),
        ("Sat,Sun 06:00", "2026-11-22 06:00:00"),
        ("mon..Wed *-*-* 23:59:59", "2026-11-25 23:59:59"),
        ("Fri", "2026-11-27 00:00:00"),
        ("*-*-31", "2026-10-31 00:00:00"),
        ("02-29", "2024-02-29 00:00:00"),
        ("*-*-* 0/6:15", "2026-11-27 12:15:00"),
        ("*-*-* 13..20/2:00", "2026-11-26 19:00:00"),
        ("*-*-* *:*:20", "2026-11-27 12:29:20"),
        ("*-11-20 10:00 UTC", "2026-11-20 10:00:00"),
    ],
)
def test_the_last_time_before_now(text: str, last: str) -> None:
    assert parse_calendar(text).last(NOW) == datetime.fromisoformat(f"{last}+00:00")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("text", "now", "last"),
    [
        ("daily", "2026-11-27T12:30", "2026-11-26T23:00"),
        ("daily UTC", "2026-11-27T12:30", "2026-11-27T00:00"),
        # The hour from 2 to 3 comes twice: 00:00 and 01:00 in UTC.
        ("Sun 01:30", "2026-10-25T12:00", "2026-10-24T23:30"),
        ("monthly", "2026-10-28T12:00", "2026-09-30T22:00"),
        ("02:30", "2026-10-25T00:40", "2026-10-25T00:30"),
        ("02:30", "2026-10-25T01:40", "2026-10-25T00:30"),
        # There is none: 01:00 in UTC is 3 o'clock.
        ("02:30", "2026-03-29T00:59", "2026-03-28T01:30"),
        ("02:30", "2026-03-29T01:10", "2026-03-29T00:30"),
        ("02:30", "2026-03-29T12:00", "2026-03-29T00:30"),
    ],
)
def test_local_times_are_those_of_their_day(text: str, now: str, last: str) -> None:
    here = datetime.fromisoformat(f"{now}+00:00")
    wanted = datetime.fromisoformat(f"{last}+00:00")
    for known in (here, here.astimezone()):
        assert parse_calendar(text).last(known) == wanted


def test_what_has_not_come_for_years_has_no_last_time() -> None:
    assert parse_calendar("Mon *-02-29").last(NOW) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a time"),
        ("sometimes", "not a day of the week"),
        ("Wed..Mon", "goes backwards"),
        ("25:00", "not within 0 to 23"),
        ("*-13-01", "not within 1 to 12"),
        ("*-*-5..3", "not within 1 to 31"),
        ("*-*-* 0/0:00", "not within"),
        ("*-*-* 0/24:00", "not within"),
        ("*-*-* 1..3/4:00", "not within"),
        ("*-*-* */6:00", "is not a time"),
        ("*-*-* 5,*:00", "is not a time"),
        ("*-*-* 24:00", "not within"),
        ("*-02-30", "no month of it has a day 30"),
        ("*-4,6-31", "no month of it has a day 31"),
        ("2026-11-20", "comes again each year"),
        ("*-*-* *..4:00", "is not a time"),
        ("*-*~03 00:00", "is not a time"),
        ("01:30 Europe/Berlin", "is not a time"),
        ("1-2-3-4", "is not a time"),
        ("1:2:3:4", "is not a time"),
        ("Mon Tue", "is not a time"),
        ("UTC", "not a time"),
    ],
)
def test_what_is_no_time_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_calendar(text)


@given(
    st.sampled_from(["*-*-* 01:30", "Mon,Thu 0/5:7", "*-*-1..9/4 *:0/20:30", "hourly", "monthly"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
)
def test_nothing_lies_between_the_last_time_and_now(text: str, now: datetime) -> None:
    calendar = parse_calendar(text)
    last = calendar.last(now)
    assert last is not None
    assert last <= now
    assert calendar.last(last) == last
    between = [now - (now - last) * part / 7 for part in range(7)]
    assert {calendar.last(moment) for moment in between} == {last}
    before = calendar.last(last - timedelta(seconds=1))
    assert before is not None
    assert before < last
