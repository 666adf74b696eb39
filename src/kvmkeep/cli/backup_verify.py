"""`kvmkeep backup verify`: have the engine check what its repositories hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import backup_lock, chosen_repositories
from kvmkeep.cli.backup_upkeep import demand_percent, keep_up
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which repositories, and how much of their data."""

    repositories: tuple[str, ...]
    data: int
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "repositories", metavar="REPOSITORY", nargs="*", help="its name in host.yaml; default: all"
    )
    parser.add_argument(
        "--data", metavar="PERCENT", type=int, default=0,
        help="also read so much of the data, the next part each time (default: 0; 100: all of it)",
    )  # fmt: skip
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Check them."""
    demand_percent("--data", args.data)
    repositories = chosen_repositories(args.repositories, ctx.spec())
    return verify(repositories, args.data, ctx, dry_run=args.dry_run)


def verify(repositories: tuple[str, ...], percent: int, ctx: Context, *, dry_run: bool) -> int:
    """Have the engine check repositories, and read so much of their data."""
    from kvmkeep.planning.backups.upkeep import passed_over, plan_verify

    asked = utc_now().isoformat()
    goal = Goal(
        verb="backup verify",
        planner=lambda spec, facts: plan_verify(spec, facts, asked, percent),
        repositories=repositories,
        lock=backup_lock(ctx),
    )
    return keep_up(goal, ctx, partial(passed_over, pruning=False), dry_run=dry_run)
