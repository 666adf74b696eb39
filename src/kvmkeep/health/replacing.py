"""How a disk of an array is replaced: which one stays, and what the new one needs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kvmkeep.model.facts import Array
from kvmkeep.model.vitals import PhysicalDisk

GUIDE = "docs/how-to/replace-a-disk.md"

# The kernel writes a `p` before the number where the disk's name ends in a digit.
_PARTITION = re.compile(r"((?:s|v|xv|h)d[a-z]+)([0-9]+)|((?:nvme|mmcblk)[0-9n]+)(p[0-9]+)")


def disk_of(member: str) -> str:
    """Return the disk that a member is, or is a partition of."""
    return _split(member)[0]


def named(disk: PhysicalDisk) -> str:
    """Return what is printed on a disk, in brackets after a blank; empty where it is not known."""
    serial = f"serial {disk.serial}" if disk.serial else ""
    told = ", ".join(word for word in (disk.model, serial) if word)
    return f" ({told})" if told else ""


def left(array: Array, disks: Iterable[PhysicalDisk]) -> str:
    """Return which members an array still has, and that their disks must stay; empty if none."""
    members = _left(array)
    if not members:
        return ""
    known = {disk.name: disk for disk in disks}
    told: list[str] = []
    for member in members:
        name = disk_of(member)
        place = "" if name == member else f" on {name}"
        told.append(member + place + (named(known[name]) if name in known else ""))
    one = len({disk_of(member) for member in members}) == 1
    return (
        f"left {'is' if len(members) == 1 else 'are'} {' and '.join(told)}: "
        f"do not pull {'that one' if one else 'those'}"
    )


def refill(array: Array, arrays: Iterable[Array]) -> str:
    """Return what puts a new disk in, here and where the same disks have lost another one."""
    disks = {disk_of(member) for member in _left(array)}
    alike = [
        one
        for one in arrays
        if one is array or (one.missing and disks == {disk_of(member) for member in _left(one)})
    ]
    lines = [
        f"mdadm /dev/{one.name} --remove /dev/{member}" for one in alike for member in one.faulty
    ]
    return _with_partitions([*lines, *(_add(one, *_left(one)) for one in alike)])


def move(disk: str, arrays: Iterable[Array], *, gone: bool = False) -> str:
    """Return what takes a disk out of all its arrays, and puts a new one in.

    Of one that is `gone`, nothing can be moved, though MD may not have noticed yet.
    """
    places = [
        (array, member) for array in arrays for member in array.members if disk_of(member) == disk
    ]
    if not places:
        return "replace it" if gone else "copy what lies on it, and replace it"
    lines: list[str] = []
    for array, member in places:
        add, device = _add(array, member), f"mdadm /dev/{array.name}"
        if member in array.faulty:
            lines += [f"{device} --remove /dev/{member}", add]
        elif gone:
            lines += [f"{device} --fail /dev/{member} --remove /dev/{member}", add]
        else:
            # `--replace` keeps the old member until the new one is full (mdadm(8)).
            lines += [add, f"{device} --replace /dev/{member}"]
    dead = gone or all(member in array.faulty for array, member in places)
    todo = "replace it" if dead else "add another disk and move over"
    return f"{todo}: {_with_partitions(lines)}"


def _split(member: str) -> tuple[str, str]:
    """Return a member's disk, and what is after that in its name: `3`, `p3` or nothing."""
    match = _PARTITION.fullmatch(member)
    if match is None:
        return member, ""
    return match[1] or match[3], match[2] or match[4]


def _left(array: Array) -> tuple[str, ...]:
    return tuple(member for member in array.members if member not in array.faulty)


def _add(array: Array, *members: str) -> str:
    """Return what adds the partition of a new disk that is as this one of an old disk."""
    part = _split(members[0])[1] if members else ""
    return f"mdadm /dev/{array.name} --add /dev/DISK{part}"


def _with_partitions(lines: list[str]) -> str:
    """Return the lines in order; where they name partitions, with what makes these, and a boot.

    A disk that was added as a whole has neither /boot nor a boot loader.
    """
    todo = "; ".join(lines)
    if re.search(r"/dev/DISKp?[0-9]", todo) is None:
        return todo
    return f"partition the new one as {GUIDE} says; {todo}; put the boot loader on it"
