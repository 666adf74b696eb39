"""What systemd knows of units by their names."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from kvmkeep.host.door import Door
from kvmkeep.host.tools import ask
from kvmkeep.model.host_units import SYSTEMD

SHOW = ("systemctl", "show", "--property=Id,ActiveState,NeedDaemonReload,DropInPaths")


class UnitState(Struct, frozen=True, kw_only=True):
    """Whether a unit does its work now, and whether systemd read another file than there is.

    `failed` when its last run did not end well. `drop_ins` are files that change this unit alone;
    distributions have some for all.
    """

    active: bool
    failed: bool
    stale: bool
    drop_ins: tuple[str, ...]


def states(door: Door, names: Sequence[str]) -> dict[str, UnitState]:
    """Return how units stand, by their names; raises Unanswered."""
    blocks = ask(door, SYSTEMD, (*SHOW, *names)).split("\n\n")
    units = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]
    return {
        one.get("Id", ""): UnitState(
            active=one.get("ActiveState") == "active",
            failed=one.get("ActiveState") == "failed",
            stale=one.get("NeedDaemonReload") == "yes",
            drop_ins=tuple(
                path
                for path in one.get("DropInPaths", "").split()
                if f"/{one.get('Id')}.d/" in path
            ),
        )
        for one in units
    }
