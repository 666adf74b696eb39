"""Times that come again, as systemd writes them: `daily`, `Mon..Fri *-*-* 01:30` (systemd.time(7)).

systemd itself starts what is to be done then. This tells when the last such time was, and so
whether something is due, or late; and what is no such time is refused where it is written.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

_WORDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PART = re.compile(r"([0-9]{1,4})(?:\.\.([0-9]{1,4}))?(?:/([0-9]{1,3}))?")
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days that each month may have."""
_LONGEST = 366 * 9
"""Days after which a time that did not come is taken for one that never does: leap years skip 8."""


class Calendar(Struct, frozen=True, kw_only=True):
    """When something is to be done; `weekdays` count from Monday, 0. `utc`: not in local time."""

    weekdays: frozenset[int]
    months: frozenset[int]
    days: frozenset[int]
    hours: frozenset[int]
    minutes: frozenset[int]
    seconds: frozenset[int]
    utc: bool

    def last(self, now: datetime) -> datetime | None:
        """Return the last of these times that is not after `now`, or None if there was none.

        Others than those of UTC are in the local time of their own day.
        """
        here = now.astimezone(UTC if self.utc else None)
        latest = here.time()
        for back in range(_LONGEST):
            day = here.date() - timedelta(days=back)
            found = self._time(latest) if self._has(day) else None
            if found is not None:
                return datetime.combine(day, found, UTC) if self.utc else _local(day, found)
            latest = time.max
        return None

    def _has(self, day: date) -> bool:
        return day.weekday() in self.weekdays and day.month in self.months and day.day in self.days

    def _time(self, latest: time) -> time | None:
        """Return the last of the times of a day that is not after another."""
        for hour in sorted(self.hours, reverse=True):
            # Of an hour before the last one, each minute and second will do.
            until = latest if hour == latest.hour else time.max
            for minute in sorted(self.minutes, reverse=True):
                last = until.second if minute == until.minute else 59
                seconds = [second for second in self.seconds if second <= last]
                if hour <= latest.hour and minute <= until.minute and seconds:
                    return time(hour, minute, max(seconds))
        return None


def _local(day: date, clock: time) -> datetime:
    """Return a local time: the first of one that comes twice in autumn.

    Of one that spring leaves out, that which lies before the hour that is left out.
    """
    both = (datetime.combine(day, clock.replace(fold=fold)).astimezone() for fold in (0, 1))
    return min(both)


def parse_calendar(text: str) -> Calendar:
    """Accept a time; raises ValueError with what is wrong.

    Left out of what systemd takes are years (a backup would end with them), time zones but UTC,
    parts of seconds, and `~`.
    """
    words = text.split()
    utc = words[-1:] == ["UTC"]
    words = words[: len(words) - utc]
    if not words:
        raise ValueError(_unknown(text))
    words = _WORDS.get(" ".join(words).lower(), " ".join(words)).split()
    weekdays = frozenset(range(7))
    if words[0][0].isalpha():
        weekdays = _weekdays(words.pop(0))
    day = words.pop(0) if words and ":" not in words[0] else "*-*-*"
    clock = words.pop(0) if words else "00:00:00"
    # `-` also divides a range of years in systemd's older words; there `..` does.
    dates, times = day.split("-"), clock.split(":")
    if words or len(dates) not in {2, 3} or len(times) not in {2, 3}:
        raise ValueError(_unknown(text))
    if len(times) == 2:
        times.append("00")
    if len(dates) == 3 and dates[0] != "*":
        raise ValueError(f"{text!r} names a year (write *: it comes again each year)")
    month, number = dates[-2:]
    hour, minute, second = times
    months, days = _numbers(month, 1, 12, text), _numbers(number, 1, 31, text)
    if min(days) > max(_LENGTHS[one - 1] for one in months):
        raise ValueError(f"{text!r} never comes: no month of it has a day {min(days)}")
    return Calendar(
        weekdays=weekdays,
        months=months,
        days=days,
        hours=_numbers(hour, 0, 23, text),
        minutes=_numbers(minute, 0, 59, text),
        seconds=_numbers(second, 0, 59, text),
        utc=utc,
    )


def _unknown(text: str) -> str:
    return f"{text!r} is not a time (such as daily, or Mon..Fri *-*-* 01:30)"


def _weekdays(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.rstrip(",").split(","):
        begin, dots, end = part.partition("..")
        first = _weekday(begin)
        last = _weekday(end) if dots else first
        if last < first:
            raise ValueError(f"{part!r} goes backwards (a week begins on Monday)")
        found |= {*range(first, last + 1)}
    return frozenset(found)


def _weekday(text: str) -> int:
    for number, name in enumerate(_DAYS):
        if text.lower() in {name, name[:3]}:
            return number
    raise ValueError(f"{text!r} is not a day of the week (Mon, Tue ...)")


def _numbers(text: str, low: int, high: int, whole: str) -> frozenset[int]:
    if text == "*":
        return frozenset(range(low, high + 1))
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(_unknown(whole))
        end, step = match[2], match[3]
        first = int(match[1])
        last = int(end) if end else (high if step else first)
        # systemd refuses a step that leads nowhere as well.
        if not low <= first <= last <= high or (step and not 0 < int(step) <= last - first):
            raise ValueError(f"{part!r} in {whole!r} is not within {low} to {high}")
        found |= {*range(first, last + 1, int(step or 1))}
    return frozenset(found)
