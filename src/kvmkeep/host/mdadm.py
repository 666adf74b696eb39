"""MD arrays as the kernel's sysfs tells them (md(4), Documentation/admin-guide/md.rst).

`/proc/mdstat` and `mdadm --detail` say the same for people to read.
"""

from __future__ import annotations

import re

from kvmkeep.host.door import Door
from kvmkeep.model.facts import Array, ArrayState
from kvmkeep.model.vitals import Mismatches

_ARRAY = re.compile(r"md(?:\d+|_d\d+|_[A-Za-z0-9_.-]+)")
_CONTAINER = re.compile(r"external:[^/-]")
_STOPPED = frozenset({"clear", "inactive", "broken", "suspended"})
_READ_ONLY = "readonly"
"""`read-auto` ends with the first write (Documentation/admin-guide/md.rst, "array_state")."""
_QUIET = frozenset({"", "idle", "frozen"})
_SCRUBS = frozenset({"check", "repair"})
"""What compares the members of an array that is whole (md(4), "SCRUBBING AND MISMATCHES")."""


def arrays(door: Door) -> tuple[Array, ...]:
    """Return all arrays; none where the kernel has no MD. Raises OSError."""
    found = (_array(door, name) for name in door.names("/sys/block") if _ARRAY.fullmatch(name))
    return tuple(array for array in found if array is not None)


def mismatches(door: Door) -> tuple[Mismatches, ...]:
    """Return what the last check of each array counted; none of those that can't be checked.

    Raises OSError.
    """
    found: list[Mismatches] = []
    for name in door.names("/sys/block"):
        place = f"/sys/block/{name}/md"
        count = _read(door, f"{place}/mismatch_cnt") if _ARRAY.fullmatch(name) else ""
        if count.isdecimal() and len(count) < 20:
            action = _read(door, f"{place}/last_sync_action")
            running = _read(door, f"{place}/sync_action") not in _QUIET
            start = _number(_read(door, f"{place}/sync_min"))
            one = Mismatches(
                array=name, sectors=int(count), action=action, running=running, start=start
            )
            found.append(one)
    return tuple(found)


def _array(door: Door, name: str) -> Array | None:
    place = f"/sys/block/{name}/md"
    state = _read(door, f"{place}/array_state")
    # A name without an array, or the container of arrays with metadata in the firmware's format,
    # which is never active itself. An array in it names it: `external:/md127/0`, or with `-` while
    # it is being changed (Documentation/admin-guide/md.rst, "metadata_version").
    if state in {"", "clear"} or _CONTAINER.match(_read(door, f"{place}/metadata_version")):
        return None
    level = _read(door, f"{place}/level")
    devices = [entry for entry in door.names(place) if entry.startswith("dev-")]
    members = {
        device.removeprefix("dev-"): _read(door, f"{place}/{device}/state") for device in devices
    }
    wanted = _number(_read(door, f"{place}/raid_disks"))
    degraded = _number(_read(door, f"{place}/degraded"))
    action = _read(door, f"{place}/sync_action")
    detail = [f"{max(0, wanted - degraded)} of {wanted} run"]
    if action not in _QUIET:
        detail.append(f"{action} goes on")
    faulty = tuple(member for member, said in members.items() if "faulty" in said)
    detail += [f"{member} is {members[member]}" for member in faulty]
    if state in _STOPPED or state == _READ_ONLY:
        detail.append(f"it is {state}")
    return Array(
        name=name,
        level=level,
        state=_state(state, degraded, action),
        members=tuple(members),
        detail=", ".join(detail),
        missing=degraded,
        action="" if action in _QUIET else action,
        faulty=faulty,
    )


def _state(state: str, degraded: int, action: str) -> ArrayState:
    if state in _STOPPED:
        return ArrayState.FAILED
    if state == _READ_ONLY:
        return ArrayState.READ_ONLY
    if action not in _QUIET | _SCRUBS:
        return ArrayState.RESYNCING
    return ArrayState.DEGRADED if degraded else ArrayState.CLEAN


def _read(door: Door, path: str) -> str:
    return (door.read(path, 4096) or b"").decode("ascii", "replace").strip()


def _number(text: str) -> int:
    # raid_disks of an array that is being reshaped: `3 (2)`, the new and the old number.
    first = text.split(" ", maxsplit=1)[0]
    return int(first) if first.isdecimal() else 0
