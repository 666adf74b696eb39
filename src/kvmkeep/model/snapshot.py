"""Snapshots of a guest's disks: one for each disk, all of one moment, read from tags and LVM."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from kvmkeep.model.facts import Volume
from kvmkeep.model.names import (
    STATE_PARTIAL,
    TAG_DISK,
    TAG_EXPIRES,
    TAG_GUEST,
    TAG_LEVEL,
    TAG_MEMBERS,
    TAG_OURS,
    TAG_SET,
    TAG_TAKEN,
    TAG_TRASH,
    stamped_time,
)
from kvmkeep.model.units import Size

FILLING = 70.0
"""From so many percent on, a snapshot that can overflow is told as filling."""


class Level(StrEnum):
    """How consistent a set is."""

    FROZEN = "frozen"
    """The guest's filesystems were frozen by its agent: nothing to be repaired."""
    CRASH = "crash"
    """All disks are of one moment, as after a power cut."""
    OFF = "off"
    """The guest was off."""


class SnapshotSet(Struct, frozen=True, kw_only=True):
    """The snapshots of one guest that wear the same stamp, its `name`.

    `taken` and `expires` are stamps to the second; `expires` is empty where the set does not.
    `level` is a word of `Level`, or whatever the tag says. `members` are in the order of their
    names. `wanted` is how many there should be. `partial` while it is being taken or deleted.
    `can_overflow` where a member is smaller than its disk.
    """

    guest: str
    name: str
    taken: str
    level: str
    expires: str
    wanted: int
    partial: bool
    can_overflow: bool
    members: tuple[Volume, ...]

    @property
    def trouble(self) -> str:
        """Why this set is not one to go back to; empty if it is."""
        if self.partial:
            return "incomplete"
        if any(member.invalid for member in self.members):
            return "invalid"
        return "" if len(self.members) == self.wanted else "members missing"

    @property
    def size(self) -> Size:
        """What the set takes of the volume group."""
        return Size(sum(member.size.bytes for member in self.members))

    @property
    def filled_percent(self) -> float:
        """How full its fullest member is."""
        return max(member.filled_percent for member in self.members)


def tag_value(volume: Volume, tag: str) -> str:
    """Return what follows a tag's beginning on a volume, or nothing."""
    return next((one.removeprefix(tag) for one in volume.tags if one.startswith(tag)), "")


def is_snapshot(volume: Volume) -> bool:
    """Whether a volume is a snapshot that we took, and does not lie in the trash."""
    return (
        volume.origin != ""
        and TAG_OURS in volume.tags
        and tag_value(volume, TAG_TRASH) == ""
        and tag_value(volume, TAG_SET) != ""
        and tag_value(volume, TAG_GUEST) != ""
    )


def snapshot_sets(volumes: Iterable[Volume], vg: str) -> tuple[SnapshotSet, ...]:
    """Return the sets in a volume group, by guest and time."""
    found: dict[tuple[str, str], list[Volume]] = {}
    inside = [volume for volume in volumes if volume.vg == vg]
    sizes = {volume.name: volume.size for volume in inside}
    for volume in inside:
        if is_snapshot(volume):
            key = (tag_value(volume, TAG_GUEST), tag_value(volume, TAG_SET))
            found.setdefault(key, []).append(volume)
    sets = (_set(*key, members, sizes) for key, members in found.items())
    return tuple(sorted(sets, key=lambda one: (one.guest, one.taken, one.name)))


def _set(guest: str, name: str, found: list[Volume], sizes: dict[str, Size]) -> SnapshotSet:
    members = tuple(sorted(found, key=lambda member: member.name))
    first = members[0]
    wanted = tag_value(first, TAG_MEMBERS)
    return SnapshotSet(
        guest=guest,
        name=name,
        taken=tag_value(first, TAG_TAKEN) or name,
        level=tag_value(first, TAG_LEVEL),
        expires=tag_value(first, TAG_EXPIRES),
        wanted=int(wanted) if wanted.isdecimal() and len(wanted) < 6 else 0,
        partial=any(STATE_PARTIAL in member.tags for member in members),
        can_overflow=any(member.size < sizes.get(member.origin, member.size) for member in members),
        members=members,
    )


def disk_of(snapshot: Volume) -> str:
    """Return which disk of its guest a snapshot is of."""
    return tag_value(snapshot, TAG_DISK)


def expired(one: SnapshotSet, now: datetime) -> bool:
    """Whether a set is no longer wanted."""
    end = stamped_time(one.expires)
    return end is not None and end <= now


def full_size(origin: Size, extent: Size) -> Size:
    """Return a bound of what LVM makes of 100%ORIGIN: the blocks, and 16 bytes for each chunk."""
    table = Size(origin.bytes // 8192 + 1)
    return origin.rounded_up(extent) + table.rounded_up(extent)
