"""`kvmkeep backup list`: the backups that repositories hold, as their listings tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import add_repositories, look_into
from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.cli.table import table
from kvmkeep.errors import DIFFERENCES_FOUND

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime

    from kvmkeep.cli.context import Context
    from kvmkeep.model.backup import BackupEntry


class Args(Struct, frozen=True, kw_only=True):
    """Of which guests, in which repositories."""

    guests: tuple[str, ...]
    repository: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only of these guests")
    add_repositories(parser)


def run(args: Args, ctx: Context) -> int:
    """Print the backups, the oldest first; ends with 9 where a repository can't be seen."""
    from kvmkeep.cli.moment import utc_now
    from kvmkeep.model.backup import RepositoryState

    wanted = frozenset(checked(name) for name in args.guests)
    found = look_into(ctx, ctx.spec(), args.repository)
    entries = [e for one in found for e in one.entries if not wanted or e.guest in wanted]
    entries.sort(key=lambda one: (one.guest, one.moment, one.repository))
    unseen = [one for one in found if one.state is not RepositoryState.READY]
    if ctx.json:
        ctx.print_json(
            {
                "backups": [value(one) for one in entries],
                "unseen": [{"repository": one.name, "state": str(one.state)} for one in unseen],
            }
        )
    elif entries:
        ctx.streams.result(text(entries, utc_now(), ctx.streams.width))
    else:
        hidden = any(one.state is not RepositoryState.ABSENT for one in unseen)
        ctx.streams.talk("No backups can be seen." if hidden else "No backups.")
    return DIFFERENCES_FOUND if unseen else 0


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
        "disks": [
            {"disk": disk.disk, "size": disk.size.bytes, "object": disk.object, "path": disk.path}
            for disk in one.disks
        ],
    }


def text(entries: list[BackupEntry], now: datetime, width: int) -> str:
    """Return the table for a terminal."""
    from kvmkeep.cli.age import stamp_age

    head = ("BACKUP", "AGE", "CONSISTENCY", "DISKS", "SIZE", "ADDED", "REPOSITORY")
    rows = [
        (
            f"{one.guest}@{one.moment}",
            stamp_age(one.moment, now),
            one.level,
            str(len(one.disks)),
            str(one.size),
            str(one.added),
            one.repository,
        )
        for one in entries
    ]
    return table(head, rows, width)
