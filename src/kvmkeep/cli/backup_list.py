"""`kvmkeep backup list`: the backups that repositories hold, as their listings tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import add_repositories, look_into
from kvmkeep.cli.goal import tell_notes
from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.cli.table import table
from kvmkeep.errors import NEEDS_ATTENTION

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from datetime import datetime

    from kvmkeep.cli.context import Context
    from kvmkeep.model.backup import BackupEntry
    from kvmkeep.model.proof import Proof


class Args(Struct, frozen=True, kw_only=True):
    """Of which guests, in which repositories."""

    guests: tuple[str, ...]
    repository: tuple[str, ...]


class Row(Struct, frozen=True, kw_only=True):
    """A backup, the name of its guest that means it now, and its proof."""

    entry: BackupEntry
    name: str
    proof: Proof | None


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only of these guests")
    add_repositories(parser)


def run(args: Args, ctx: Context) -> int:
    """Print the backups, the oldest first.

    It ends with 9 where one lacks a disk, or is gone that this host made, or can't be seen.
    """
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.backup import RepositoryState, moment_order
    from kvmkeep.observe.backup_care import observe_made, proofs
    from kvmkeep.observe.notebook import Notebook
    from kvmkeep.planning.backups.owner import is_meant, name_to_type
    from kvmkeep.planning.backups.vanished import vanished, vanished_note

    wanted = frozenset(checked(name) for name in args.guests)
    spec = ctx.spec()
    made = observe_made(ctx.door())
    found = look_into(ctx, spec, args.repository)
    entries = [
        e
        for one in found
        for e in one.entries
        if not wanted or any(is_meant(spec, e, name) for name in wanted)
    ]
    proven = {(one.repository, one.guest, one.moment): one for one in proofs(Notebook(ctx.door()))}
    rows = [
        Row(
            entry=one,
            name=name_to_type(spec, one),
            proof=proven.get((one.repository, one.guest, one.moment)),
        )
        for one in entries
    ]
    rows.sort(key=lambda row: (row.name, moment_order(row.entry.moment), row.entry.repository))
    unseen = [one for one in found if one.state is not RepositoryState.READY]
    asked = [one for one in spec.guests if one.name in wanted or not wanted]
    names = {str(one.identity): one.name for one in asked}
    gone = [one for one in vanished(made, found) if one.identity in names]
    tell_notes([vanished_note(names[one.identity], one, found) for one in gone], ctx)
    if ctx.json:
        ctx.print_json(
            {
                "backups": [{**value(row.entry), "proof": verdict(row.proof)} for row in rows],
                "unseen": [{"repository": one.name, "state": str(one.state)} for one in unseen],
                "vanished": [
                    {
                        "guest": names[one.identity],
                        "identity": one.identity,
                        "moment": one.moment,
                        "repository": one.repository,
                    }
                    for one in gone
                ],
            }
        )
    elif rows:
        ctx.streams.result(text(rows, spec.host.name, utc_now(), ctx.streams.width))
    else:
        hidden = any(one.state is not RepositoryState.ABSENT for one in unseen)
        ctx.streams.talk("No backups can be seen." if hidden else "No backups.")
    attention = unseen or gone or any(not row.entry.whole for row in rows)
    return NEEDS_ATTENTION if attention else 0


def value(one: BackupEntry) -> dict[str, object]:
    """Return a backup for JSON; sizes in bytes, times in ISO 8601."""
    return {
        "guest": one.guest,
        "identity": one.identity,
        "moment": one.moment,
        "consistency": one.level,
        "repository": one.repository,
        "host": one.host,
        "complete": one.time,
        "size": one.size.bytes,
        "added": one.added.bytes,
        "manifest": one.manifest,
        "whole": one.whole,
        "disks": [
            {"disk": disk.disk, "size": disk.size.bytes, "object": disk.object, "path": disk.path}
            for disk in one.disks
        ],
    }


def verdict(proof: Proof | None) -> dict[str, object] | None:
    """Return for JSON how a proof ended, as this host remembers; null where there was none."""
    return None if proof is None else {"time": proof.time, "proven": proof.proven}


def text(rows: Sequence[Row], host: str, now: datetime, width: int) -> str:
    """Return the table for a terminal.

    It tells of hosts where there is more than this one, and of the names that backups are stored
    under where a guest was renamed.
    """
    from kvmkeep.cli.age import stamp_age, verdict_age

    several = any(row.entry.host != host for row in rows)
    renamed = any(row.entry.guest != row.name for row in rows)
    head = ("BACKUP", "AGE", "CONSISTENCY", "DISKS", "SIZE", "ADDED", "PROOF", "REPOSITORY")
    lines = [
        (
            f"{row.name}@{row.entry.moment}",
            stamp_age(row.entry.moment, now),
            row.entry.level,
            str(len(row.entry.disks)) + ("" if row.entry.whole else ", LACKS A DISK"),
            str(row.entry.size),
            str(row.entry.added),
            verdict_age(row.proof, now) or "-",
            row.entry.repository,
            *((row.entry.host,) if several else ()),
            *((row.entry.guest,) if renamed else ()),
        )
        for row in rows
    ]
    more = (*(("HOST",) if several else ()), *(("STORED AS",) if renamed else ()))
    return table((*head, *more), lines, width)
