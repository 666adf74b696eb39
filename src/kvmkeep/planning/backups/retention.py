"""Which backups of a guest are kept, and why: a decision about values, made before any is touched.

Days, weeks and months are those of UTC; weeks begin on Monday (ISO 8601). A period without a
backup does not count, so that a guest that was off for a year keeps what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from msgspec import Struct

from kvmkeep.model.backup import BackupEntry, moment_order
from kvmkeep.model.backup_policy import Keep
from kvmkeep.model.names import stamped_time


class Kept(Struct, frozen=True, kw_only=True):
    """A backup that stays, and all reasons for it, in words."""

    entry: BackupEntry
    why: tuple[str, ...]


class Retention(Struct, frozen=True, kw_only=True):
    """What becomes of a guest's backups in one repository; both in the order of their moments."""

    kept: tuple[Kept, ...]
    forgotten: tuple[BackupEntry, ...]


def retention(
    entries: Iterable[BackupEntry],
    keep: Keep,
    *,
    proven: Collection[str],
    once: Collection[str] = (),
    now: datetime,
) -> Retention:
    """Decide about the backups of one guest in one repository.

    `proven` are the moments of those that started well from their backup, `once` of those that did
    before, and not when they were tried again, which may not be the backup's fault. Whatever the
    rules say, the last that is proven stays, a later one that was proven before, and the last one
    of all. One that lacks a disk stays and counts for no rule, so that a whole one does not go for
    it. What seems to come from the future, or has no time that can be read, stays and counts for
    no rule: a clock was wrong once.
    """
    found = sorted(entries, key=lambda one: moment_order(one.moment))
    why: dict[str, list[str]] = {one.manifest: [] for one in found}
    dated: list[tuple[datetime, BackupEntry]] = []
    for one in found:
        time = stamped_time(one.moment)
        if not one.whole:
            why[one.manifest].append("it lacks a disk")
        elif time is None or time > now:
            why[one.manifest].append("its time is not in the past")
        else:
            dated.append((time, one))
    dated.reverse()
    for _, one in dated[: max(keep.last, 1)]:
        why[one.manifest].append("last")
    for word, number, period in (
        ("daily", keep.daily, _day),
        ("weekly", keep.weekly, _week),
        ("monthly", keep.monthly, _month),
    ):
        for one in _last_of_each(dated, period)[:number]:
            why[one.manifest].append(word)
    good = [one for _, one in dated if one.moment in {*proven, *once}]
    for one in good[:1]:
        if one.moment not in proven:
            why[one.manifest].append("it was proven before")
    for one in [one for one in good if one.moment in proven][:1]:
        why[one.manifest].append("the last that is proven")
    return Retention(
        kept=tuple(
            Kept(entry=one, why=tuple(why[one.manifest])) for one in found if why[one.manifest]
        ),
        forgotten=tuple(one for one in found if not why[one.manifest]),
    )


def _last_of_each(
    newest_first: Iterable[tuple[datetime, BackupEntry]],
    period: Callable[[datetime], tuple[int, ...]],
) -> list[BackupEntry]:
    found: dict[tuple[int, ...], BackupEntry] = {}
    for time, one in newest_first:
        found.setdefault(period(time), one)
    return list(found.values())


def _day(time: datetime) -> tuple[int, ...]:
    return (time.year, time.month, time.day)


def _week(time: datetime) -> tuple[int, ...]:
    return tuple(time.isocalendar()[:2])


def _month(time: datetime) -> tuple[int, ...]:
    return (time.year, time.month)
