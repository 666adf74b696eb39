"""`kvmkeep backup prune`: free the room of backups that were forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import backup_lock, chosen_repositories
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.moment import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which repositories."""

    repositories: tuple[str, ...]
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "repositories", metavar="REPOSITORY", nargs="*", help="its name in host.yaml; default: all"
    )
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Free it."""
    from kvmkeep.planning.backup_upkeep import plan_prune

    repositories = chosen_repositories(args.repositories, ctx.spec())
    asked = utc_now().isoformat()
    goal = Goal(
        verb="backup prune",
        planner=lambda spec, facts: plan_prune(spec, facts, asked),
        repositories=repositories,
        lock=backup_lock(ctx),
        reading=ctx.reading(alone=True),
    )
    return reach(goal, ctx, yes=True, dry_run=args.dry_run, tells=True)
