"""`kvmkeep backup init`: make a repository for backups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.errors import StepFailed, UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which repository."""

    repository: str
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("repository", metavar="REPOSITORY", help="its name in host.yaml")
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Make it, unless it is there."""
    from kvmkeep.model.units import Label
    from kvmkeep.planning.backups.init import plan_init

    names = [one.name for one in ctx.spec().repositories]
    if args.repository not in names:
        known = ", ".join(names) or "none"
        raise UsageError(f"there is no repository {printable(args.repository)} (known: {known})")

    asked = (args.repository,)
    goal = Goal(
        verb="backup init",
        planner=lambda spec, facts: plan_init(spec, facts, spec.repository(Label(args.repository))),
        repositories=asked,
    )
    try:
        return reach(goal, ctx, yes=True, dry_run=args.dry_run)
    except StepFailed as error:
        # A place that only the engine can look into: one of an `init` that was stopped.
        place = ctx.spec().repository(Label(args.repository)).url
        hint = (
            "if it says that there is something there already, and no backup was ever stored: "
            f"delete what is at {place}, and type it again"
        )
        raise StepFailed(error.message, hint=hint, argv=error.argv) from error
