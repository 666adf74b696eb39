"""`kvmkeep install-units`: have systemd start and stop the guests with the host, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.hints import spec_options

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
    """Show the plan, ask, and install them."""
    from kvmkeep.planning.units.install import plan_install

    options = spec_options(ctx.spec_dir)
    goal = Goal(
        verb="install-units", planner=lambda spec, facts: plan_install(spec, facts, options)
    )
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)
