"""`kvmkeep release`: let guests go; they and their disks stay as they are."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import reach_by, readable
from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Look
    from kvmkeep.host.door import Door

_ASIDE = ".yaml.released"


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, or all that is ours."""

    guests: tuple[str, ...]
    all: bool
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="the guests to let go")
    parser.add_argument(
        "--all", action="store_true", help="all guests, the networks, and the host's file"
    )
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Take the marks away, and put the files of the spec aside."""
    names = tuple(checked(name) for name in args.guests)
    if names and args.all:
        raise UsageError("--all is about all guests: leave the names out, or --all")
    if not names and not args.all:
        raise UsageError("name the guests, or say --all", hint="`kvmkeep list` shows the names")

    def look(door: Door) -> Look:
        from kvmkeep.flow import Look
        from kvmkeep.planning.adoption.release import Letting, plan_release
        from kvmkeep.report.json import encoded
        from kvmkeep.spec.load import HOST_FILE, load_if_any

        folder = posixpath.abspath(ctx.spec_dir)
        spec = load_if_any(folder, door)
        files = door.names(posixpath.join(ctx.spec_dir, "guests"))
        letting = Letting(
            guests=names,
            everything=args.all,
            released=frozenset(one.removesuffix(_ASIDE) for one in files if one.endswith(_ASIDE)),
            host_file=posixpath.join(folder, HOST_FILE) if spec is not None else "",
        )
        facts = ctx.observe(spec, door=door)
        plan = plan_release(spec, facts, letting)
        return Look(spec=encoded(spec), facts=encoded(facts), plan=plan)

    return reach_by("release", readable(look), ctx, yes=args.yes, dry_run=args.dry_run)
