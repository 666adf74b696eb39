"""`kvmkeep backup copy-out`: files out of a backup, without bringing a disk back."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_subject import add_backup, notes_of, subject_of
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.copy_out import add_largest, demanded, there
from kvmkeep.cli.goal import Goal, reach, with_notes

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door


class Args(Struct, frozen=True, kw_only=True):
    """Which files of which backup, and where to."""

    backup: str
    repository: tuple[str, ...]
    paths: tuple[str, ...]
    directory: str
    largest: str
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_backup(parser)
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a file or directory inside it")
    parser.add_argument("directory", metavar="DIR", help="where to put them on this host")
    add_largest(parser)
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Copy them; what is there already is never overwritten."""
    from kvmkeep.cli.beside import Beside
    from kvmkeep.planning.backups.copy_out import plan_copy_out_of
    from kvmkeep.planning.offline.copy_out import CopyOut

    directory = posixpath.abspath(args.directory)
    paths, largest = demanded(args.paths, args.largest, directory, ctx)
    spec = ctx.spec()
    subject = subject_of(args.backup, args.repository, ctx, spec)

    def wish(door: Door) -> CopyOut:
        return CopyOut(
            guest=subject.entry.guest,
            paths=paths,
            directory=directory,
            largest=largest,
            way=door.way(directory),
            there=there(directory, door),
        )

    beside = Beside(wish)
    goal = Goal(
        verb="backup copy-out",
        planner=lambda spec, facts: plan_copy_out_of(spec, facts, subject, beside.seen),
        beside=beside,
        reading=ctx.reading(),
    )
    return reach(with_notes(goal, notes_of(subject, spec)), ctx, yes=True, dry_run=args.dry_run)
