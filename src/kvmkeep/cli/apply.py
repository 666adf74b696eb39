"""`kvmkeep apply`: make the host as the spec says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import add_guests

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, and whether to ask."""

    guests: tuple[str, ...]
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only these guests and what they need")
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Show the plan, ask, run it, and prove it."""
    from kvmkeep.planning.plan import make_plan

    goal = Goal(
        verb="apply",
        planner=lambda spec, facts: make_plan(spec, facts, args.guests),
        guests=args.guests,
    )
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)
