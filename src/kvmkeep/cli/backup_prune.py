"""`kvmkeep backup prune`: free the room of backups that were forgotten."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import backup_lock, chosen_repositories
from kvmkeep.cli.backup_upkeep import demand_percent, keep_up
from kvmkeep.cli.backup_verify import verify
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.ended import one_by_one
from kvmkeep.cli.goal import Goal
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which repositories, and how much of their data is read afterwards; None: no check."""

    repositories: tuple[str, ...]
    verify: int | None
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "repositories", metavar="REPOSITORY", nargs="*", help="its name in host.yaml; default: all"
    )
    parser.add_argument(
        "--verify", metavar="PERCENT", type=int, default=None,
        help="then, whatever became of it, do as `verify --data PERCENT`",
    )  # fmt: skip
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Free it, and have the engine check the repositories if that was asked for."""
    repositories = chosen_repositories(args.repositories, ctx.spec())
    if args.verify is None:
        return _prune(repositories, ctx, dry_run=args.dry_run)
    demand_percent("--verify", args.verify)
    prune = partial(_prune, repositories, dry_run=args.dry_run)
    check = partial(verify, repositories, args.verify, dry_run=args.dry_run)
    runs = (("no room was freed, or not everywhere", prune), ("not checked, or not all", check))
    return one_by_one(runs, ctx)


def _prune(repositories: tuple[str, ...], ctx: Context, *, dry_run: bool) -> int:
    from kvmkeep.planning.backups.upkeep import passed_over, plan_prune

    asked = utc_now().isoformat()
    goal = Goal(
        verb="backup prune",
        planner=lambda spec, facts: plan_prune(spec, facts, asked),
        repositories=repositories,
        lock=backup_lock(ctx),
        reading=ctx.reading(exclusive=True),
    )
    return keep_up(goal, ctx, partial(passed_over, pruning=True), dry_run=dry_run)
