"""`kvmkeep copy-in`: files of the host, copied into a disk that nobody uses."""

from __future__ import annotations

import posixpath
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.copy_out import inside
from kvmkeep.cli.disks import add_disk, add_output, change_of, guest_of, looked
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.errors import Unready, UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.image_facts import ImageFile


class Args(Struct, frozen=True, kw_only=True):
    """Which files into which disk, and where in it."""

    name: str
    files: tuple[str, ...]
    directory: str
    mode: str
    replace: bool
    output: str
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_disk(parser)
    parser.add_argument("files", metavar="FILE", nargs="+", help="a file or directory of this host")
    parser.add_argument("directory", metavar="DIR", help="where to put them, inside the guest")
    parser.add_argument(
        "--mode", metavar="MODE", default="", help="such as 0644; without it they keep theirs"
    )
    parser.add_argument(
        "--replace", action="store_true", help="replace what is there; the old ones are kept"
    )
    add_output(parser)
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Look what is there, then copy them at once."""
    from kvmkeep.cli.beside import Beside
    from kvmkeep.planning.offline.copy_in import CopyIn, plan_copy_in
    from kvmkeep.spec.tweak import parse_mode

    guest = guest_of(args.name, ctx)
    directory = args.directory if args.directory == "/" else inside(args.directory)
    try:
        parse_mode(args.mode or "0644")
    except ValueError as error:
        raise UsageError(f"--mode: {error}") from error
    files = tuple(_file(path, ctx) for path in args.files)
    names = [posixpath.basename(file.path) for file in files]
    if len(set(names)) < len(names):
        raise UsageError("two of the files have the same name", hint="copy them one after another")
    change = change_of(guest, args.name, args.output, ctx)
    wish = CopyIn(files=files, directory=directory, mode=args.mode, replace=args.replace)
    beside = Beside(partial(looked, change))
    goal = Goal(
        verb="copy-in",
        planner=lambda spec, facts: plan_copy_in(
            spec, facts, beside.seen.change, wish, beside.seen.fittings
        ),
        beside=beside,
    )
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)


def _file(path: str, ctx: Context) -> ImageFile:
    """Return a file or directory of the host."""
    whole = posixpath.abspath(path)
    shown = printable(whole)[1:-1]
    if not whole.isprintable() or whole == "/":
        raise UsageError(f"{shown} can't be copied")
    try:
        found = ctx.door().look(whole)
    except OSError as error:
        raise Unready(f"{shown} can't be read: {error.strerror}", hint="run it as root") from error
    if found is None:
        raise UsageError(f"there is no file {shown}")
    if found.kind not in {"file", "directory"}:
        raise UsageError(f"{shown} is a {found.kind}", hint="name a file or a directory")
    return found
