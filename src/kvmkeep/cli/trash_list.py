"""`kvmkeep trash list`: what was removed, since when, and what it takes of the volume group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.table import table

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from kvmkeep.cli.context import Context
    from kvmkeep.model.trash import TrashEntry


class Args(Struct, frozen=True, kw_only=True):
    """How much of it."""

    names: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--names", action="store_true", help="names only, one a line (for completion)"
    )


def run(args: Args, ctx: Context) -> int:
    """Print the entries of the trash, the oldest first."""
    from kvmkeep.host.clock import utc_now

    entries = ctx.trash(ctx.spec())
    now = utc_now()
    if args.names:
        if entries:
            ctx.streams.script("\n".join(one.name for one in entries))
    elif ctx.json:
        ctx.print_json({"entries": [value(one) for one in entries]})
    elif entries:
        ctx.streams.result(text(entries, now, ctx.streams.width))
        total = sum(one.size.bytes for one in entries)
        ctx.streams.talk(_total(total, ctx.spec().storage.vg))
    else:
        ctx.streams.talk("The trash is empty.")
    return 0


def _total(total: int, vg: str) -> str:
    from kvmkeep.model.units import Size

    return f"{Size(total)} of {vg} in all; kvmkeep trash empty NAME frees it."


def state(entry: TrashEntry) -> str:
    """Return what can be done with an entry, in a word or two."""
    if entry.emptying:
        return "DESTROYED IN PART"
    if entry.moving:
        return "ON ITS WAY"
    return "whole" if entry.folder is not None else "disk only"


def value(entry: TrashEntry) -> dict[str, object]:
    """Return an entry for JSON; sizes in bytes, times in ISO 8601."""
    from kvmkeep.cli.moment import iso
    from kvmkeep.model.trash import original_name

    return {
        "name": entry.name,
        "guest": entry.guest,
        "since": iso(entry.stamp),
        "size": entry.size.bytes,
        "on_its_way": entry.moving,
        "destroyed_in_part": entry.emptying,
        "definition": entry.folder is not None and entry.folder.domain is not None,
        "spec_file": entry.spec_file,
        "volumes": [
            {
                "lv": one.full_name,
                "was": original_name(one),
                "size": one.size.bytes,
                "snapshot_of": one.origin,
            }
            for one in entry.volumes
        ],
    }


def text(entries: tuple[TrashEntry, ...], now: datetime, width: int) -> str:
    """Return the table for a terminal."""
    from kvmkeep.cli.age import stamp_age

    head = ("NAME", "GUEST", "AGE", "DISKS", "SNAPSHOTS", "SIZE", "STATE")
    rows = [
        (
            one.name,
            one.guest,
            stamp_age(one.stamp, now),
            str(sum(not volume.origin for volume in one.volumes)),
            str(sum(bool(volume.origin) for volume in one.volumes)),
            str(one.size),
            state(one),
        )
        for one in entries
    ]
    return table(head, rows, width)
