"""Objects in a repository: what ours wear, and what a listing of them tells."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from msgspec import Struct

from kvmkeep.model.backup import BackupEntry, Fragment, StoredDisk, nested_path, parse_moment
from kvmkeep.model.backup_manifest import Manifest
from kvmkeep.model.units import Size, accepted, parse_guest_name, parse_label

TAG = "kvmkeep"
"""What each object of ours wears in a repository."""
_COMMIT = "manifest"
_GUEST, _IDENTITY, _SET, _DISK = "guest=", "identity=", "set=", "disk="
_LEVEL, _SIZE, _ADDED = "level=", "size=", "added="
_AMOUNT = re.compile(r"[0-9]{1,18}")

_Set = tuple[str, str, str]
"""Which set an object is of: guest, moment and host. Hosts may share a repository."""


class StoredObject(Struct, frozen=True, kw_only=True):
    """An object as an engine lists it: `path` is its first one, `time` UTC in ISO 8601.

    `whole` is false for what an engine keeps of one that it did not store to its end.
    """

    id: str
    time: str
    host: str
    path: str
    tags: tuple[str, ...]
    whole: bool = True


def disk_tags(guest: str, moment: str, disk: str, size: Size, *, identity: str) -> tuple[str, ...]:
    """Return what a disk's object wears; its identity tells whose it is after a rename."""
    whose = (_GUEST + guest, _IDENTITY + identity)
    return (TAG, *whose, _SET + moment, _DISK + disk, f"{_SIZE}{size.bytes}")


def manifest_tags(manifest: Manifest) -> tuple[str, ...]:
    """Return what the object with the manifest wears: a listing has to tell all of it."""
    size = sum(disk.size.bytes for disk in manifest.disks)
    added = sum(disk.added.bytes for disk in manifest.disks)
    return (
        TAG,
        _COMMIT,
        _GUEST + manifest.guest,
        _IDENTITY + manifest.identity,
        _SET + manifest.moment,
        _LEVEL + manifest.level,
        f"{_SIZE}{size}",
        f"{_ADDED}{added}",
    )


def disk_named(tags: tuple[str, ...]) -> str:
    """Return the path of the data of a disk's object; empty where the tags are of no disk."""
    found = tag_values(tags)
    return nested_path(found["guest"], found["disk"]) if {"guest", "disk"} <= found.keys() else ""


def tag_values(tags: tuple[str, ...]) -> dict[str, str]:
    """Return what the tags say, by their names; of two with one name, the first counts."""
    return {name: value for name, _, value in (tag.partition("=") for tag in reversed(tags))}


def listed(
    repository: str, objects: Iterable[StoredObject]
) -> tuple[tuple[BackupEntry, ...], tuple[Fragment, ...]]:
    """Return the backups in a listing, and what is there of sets without a manifest.

    Both are in the order of guests and moments. An object with the manifest counts for the disks
    of its set. What does not wear our tags, or not rightly, is left out.
    """
    disks: dict[_Set, list[StoredDisk]] = {}
    told: dict[_Set, str] = {}
    commits: dict[_Set, StoredObject] = {}
    for one in objects:
        key = _set_of(one)
        if key is None:
            continue
        if one.whole and _COMMIT in one.tags:
            commits[key] = one
        elif (disk := _disk_of(one)) is not None:
            disks.setdefault(key, []).append(disk)
            told[key] = told.get(key) or _value(one, _IDENTITY)
    entries = tuple(
        BackupEntry(
            repository=repository,
            guest=guest,
            identity=_identity(one),
            moment=moment,
            level=_value(one, _LEVEL),
            manifest=one.id,
            path=one.path,
            time=one.time,
            host=host,
            size=_size(one, _SIZE),
            added=_size(one, _ADDED),
            disks=(there := tuple(disks.get((guest, moment, host), ()))),
            whole=_is_whole(one, there),
        )
        for (guest, moment, host), one in sorted(commits.items())
    )
    fragments = tuple(
        Fragment(
            repository=repository,
            host=host,
            guest=guest,
            moment=moment,
            disks=tuple(found),
            identity=told[guest, moment, host],
        )
        for (guest, moment, host), found in sorted(disks.items())
        if (guest, moment, host) not in commits
    )
    return entries, fragments


def _is_whole(commit: StoredObject, disks: tuple[StoredDisk, ...]) -> bool:
    """Whether each disk is listed: the manifest's object tells the sum of their sizes.

    One that a run sent twice counts once.
    """
    sizes = {one.disk: one.size.bytes for one in disks}
    return sum(sizes.values()) >= _size(commit, _SIZE).bytes


def _set_of(one: StoredObject) -> _Set | None:
    """Return which set an object is of; None where it is not ours, or wears something else."""
    guest, moment = _value(one, _GUEST), _value(one, _SET)
    names = (guest, _identity(one))
    ours = TAG in one.tags and all(accepted(parse_guest_name, name) for name in names)
    # Another path could lead out of the repository where that is seen as files.
    straight = accepted(parse_moment, moment) and _is_straight(one.path)
    return (guest, moment, one.host) if ours and straight else None


def _identity(one: StoredObject) -> str:
    """Return which guest an object is of, whatever that was called; older disks wear its name."""
    return _value(one, _IDENTITY) or _value(one, _GUEST)


def _disk_of(one: StoredObject) -> StoredDisk | None:
    """Return a disk's object, or a part of one, which has no name: it goes with its set."""
    if not one.whole:
        return StoredDisk(disk="", object=one.id, path=one.path, size=Size(0))
    disk = _value(one, _DISK)
    if not accepted(parse_label, disk):
        return None
    return StoredDisk(disk=disk, object=one.id, path=one.path, size=_size(one, _SIZE))


def _is_straight(path: str) -> bool:
    return path.startswith("/") and path.isprintable() and posixpath.normpath(path) == path


def _value(one: StoredObject, tag: str) -> str:
    return next((text.removeprefix(tag) for text in one.tags if text.startswith(tag)), "")


def _size(one: StoredObject, tag: str) -> Size:
    text = _value(one, tag)
    # A tag that somebody else made may say anything.
    return Size(int(text) if _AMOUNT.fullmatch(text) else 0)
