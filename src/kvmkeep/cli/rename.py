"""`kvmkeep rename`: give a guest that is off another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import checked

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which guest, and its new name."""

    guest: str
    name: str
    dry_run: bool
    yes: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest; it must be off")
    parser.add_argument("name", metavar="NAME", help="its new name")
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Rename it: domain, LVs, XML file and spec."""
    import posixpath

    from kvmkeep.errors import UsageError
    from kvmkeep.model.units import GuestName, parse_guest_name
    from kvmkeep.planning.domains.new_name import Renaming
    from kvmkeep.planning.domains.rename import plan_rename
    from kvmkeep.spec.identity import takes_identity

    try:
        new = parse_guest_name(args.name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    old = GuestName(checked(args.guest))
    by_name = {guest.name: guest for guest in ctx.spec().guests}
    file = by_name[old].place.file if old in by_name else f"{ctx.spec_dir}/guests/{old}.yaml"
    content = ctx.door().read(file) or b""
    renaming = Renaming(
        old=old,
        new=new,
        file=posixpath.abspath(file),
        takes_identity=takes_identity(content),
    )
    goal = Goal(verb="rename", planner=lambda spec, facts: plan_rename(spec, facts, renaming))
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)
