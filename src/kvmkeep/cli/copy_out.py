"""`kvmkeep copy-out`: files of a guest's disk, copied to the host."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import checked
from kvmkeep.errors import Refused, Unready, UsageError
from kvmkeep.model.text import printable
from kvmkeep.model.units import Size, parse_size

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door

_LARGEST = "8GiB"


class Args(Struct, frozen=True, kw_only=True):
    """Which files of which guest, and where to."""

    guest: str
    paths: tuple[str, ...]
    directory: str
    largest: str
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest; it may run")
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a file or directory inside it")
    parser.add_argument("directory", metavar="DIR", help="where to put them on this host")
    add_largest(parser)
    add_dry_run(parser)


def add_largest(parser: ArgumentParser) -> None:
    """Add the limit for one file."""
    parser.add_argument(
        "--largest", metavar="SIZE", default=_LARGEST,
        help=f"stop at a file that is larger than this (default {_LARGEST})",
    )  # fmt: skip


def run(args: Args, ctx: Context) -> int:
    """Copy them; what is there already is never overwritten."""
    from kvmkeep.cli.beside import Beside
    from kvmkeep.planning.offline.copy_out import CopyOut, plan_copy_out

    guest = checked(args.guest)
    directory = posixpath.abspath(args.directory)
    paths, largest = demanded(args.paths, args.largest, directory, ctx)

    def wish(door: Door) -> CopyOut:
        return CopyOut(
            guest=guest,
            paths=paths,
            directory=directory,
            largest=largest,
            way=door.way(directory),
            there=there(directory, door),
        )

    beside = Beside(wish)
    goal = Goal(
        verb="copy-out",
        planner=lambda spec, facts: plan_copy_out(spec, facts, beside.seen),
        beside=beside,
        guests=(guest,),
    )
    return reach(goal, ctx, yes=True, dry_run=args.dry_run)


def demanded(
    words: tuple[str, ...], limit: str, directory: str, ctx: Context
) -> tuple[tuple[str, ...], Size]:
    """Return the paths inside a guest and the size of the largest file; refuse what can't be."""
    paths = tuple(inside(path) for path in words)
    names = [posixpath.basename(path) for path in paths]
    if len(set(names)) < len(names):
        raise UsageError("two of the files have the same name", hint="copy them one after another")
    try:
        largest = parse_size(limit)
    except ValueError as error:
        raise UsageError(f"--largest: {error}") from error
    taken = [name for name in names if name in there(directory, ctx.door())]
    if taken:
        raise Refused(
            f"{directory}/{printable(taken[0])[1:-1]} is there already",
            hint="move it away, or name another directory",
        )
    return paths, largest


def inside(path: str) -> str:
    """Return a path inside a guest in its simplest form, or refuse what can't be one."""
    if not path.startswith("/") or not path.isprintable() or len(path) > 4096:
        raise UsageError(
            f"{printable(path)} is no path inside a guest", hint="begin it with /, from its root"
        )
    simple = "/" + posixpath.normpath(path).lstrip("/")
    if simple == "/":
        raise UsageError("the whole guest can't be copied", hint="name a file or directory in it")
    return simple


def there(directory: str, door: Door) -> tuple[str, ...]:
    """Return the names in a directory of the host."""
    try:
        return door.names(directory)
    except OSError as error:
        raise Unready(f"{directory} can't be read: {error.strerror}") from error
