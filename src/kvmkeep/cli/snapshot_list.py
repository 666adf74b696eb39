"""`kvmkeep snapshot list`: the sets of snapshots, and whether one can go back to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.cli.moment import iso
from kvmkeep.cli.table import table
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Volume
    from kvmkeep.model.snapshot import SnapshotSet


class Args(Struct, frozen=True, kw_only=True):
    """Which guests."""

    guests: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only of these guests")


def run(args: Args, ctx: Context) -> int:
    """Print the sets, and the reverts that are under way."""
    from kvmkeep.model.snapshot import snapshot_sets

    wanted = frozenset(checked(name) for name in args.guests)
    vg = ctx.spec().storage.vg
    volumes = ctx.volumes()
    sets = [s for s in snapshot_sets(volumes, vg) if not wanted or s.guest in wanted]
    now = utc_now()
    if ctx.json:
        ctx.print_json({"sets": [value(one, now) for one in sets]})
    elif sets:
        ctx.streams.result(text(sets, now, ctx.streams.width))
    else:
        of = f" of {', '.join(sorted(wanted))}" if wanted else ""
        ctx.streams.talk(f"No snapshots{of}.")
    unknown = sorted(wanted - {*ctx.guest_names(), *(one.guest for one in sets)})
    if unknown:
        ctx.streams.talk(f"kvmkeep: the spec has no guest {', '.join(unknown)}")
    for line in reverts(volumes, vg, wanted):
        ctx.streams.talk(line)
    return 0


def trouble(one: SnapshotSet, now: datetime) -> str:
    """Return what is to be known of a set: that it is no good, filling, or no longer wanted."""
    if one.trouble:
        return one.trouble.upper()
    from kvmkeep.model.snapshot import FILLING, expired

    if one.can_overflow and one.filled_percent >= FILLING:
        return "filling"

    return "expired" if expired(one, now) else "good"


def value(one: SnapshotSet, now: datetime) -> dict[str, object]:
    """Return a set for JSON; sizes in bytes, times in ISO 8601."""
    from kvmkeep.model.snapshot import expired

    return {
        "guest": one.guest,
        "set": one.name,
        "taken": iso(one.taken),
        "consistency": one.level,
        "expires": iso(one.expires),
        "expired": expired(one, now),
        "trouble": one.trouble,
        "size": one.size.bytes,
        "filled_percent": one.filled_percent,
        "can_overflow": one.can_overflow,
        "snapshots": [
            {
                "lv": member.full_name,
                "origin": f"{member.vg}/{member.origin}",
                "size": member.size.bytes,
                "filled_percent": member.filled_percent,
                "invalid": member.invalid,
            }
            for member in one.members
        ],
    }


def text(sets: list[SnapshotSet], now: datetime, width: int) -> str:
    """Return the table for a terminal."""
    head = ("GUEST", "SET", "STATE", "CONSISTENCY", "DISKS", "SIZE", "FILLED", "EXPIRES")
    rows = [
        (
            one.guest,
            one.name,
            trouble(one, now),
            one.level,
            str(len(one.members)),
            str(one.size),
            f"{one.filled_percent:.0f} %",
            iso(one.expires) or "-",
        )
        for one in sets
    ]
    return table(head, rows, width)


def reverts(volumes: tuple[Volume, ...], vg: str, wanted: frozenset[str]) -> list[str]:
    """Return a line for each disk that is being reverted."""
    from kvmkeep.model.names import TAG_GUEST, TAG_OURS
    from kvmkeep.model.snapshot import tag_value

    lines: list[str] = []
    for one in volumes:
        guest = tag_value(one, TAG_GUEST)
        if one.vg != vg or not one.merging or TAG_OURS not in one.tags:
            continue
        if wanted and guest not in wanted:
            continue
        state = f"{one.filled_percent:.0f} % are still to be merged"
        if one.merge_failed:
            state = "the merge FAILED; look at: dmesg"
        elif one.merge_waits:
            state = "the merge has not begun; it begins when nothing has the disk open"
        lines.append(f"guest {guest}: {one.name} is being reverted: {state}")
    return lines
