"""`kvmkeep uninstall-units`: have libvirt start the guests with the host again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Whether to ask."""

    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Show the plan, ask, and take them away."""
    from kvmkeep.planning.units import plan_uninstall

    goal = Goal(verb="uninstall-units", planner=plan_uninstall)
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)
