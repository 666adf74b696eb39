"""`kvmkeep backup prune`: free the room of backups that were forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import backup_lock, chosen_repositories
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import dry_run, reach
from kvmkeep.cli.moment import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


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
    repositories = chosen_repositories(args.repositories, ctx.spec())
    asked = utc_now().isoformat()

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.backup_upkeep import plan_prune  # noqa: PLC0415

        return plan_prune(spec, facts, asked)

    if args.dry_run:
        return dry_run(planner, (), ctx, repositories=repositories)
    return reach(
        "backup prune", planner, (), ctx,
        yes=True, repositories=repositories, lock=backup_lock(ctx),
    )  # fmt: skip
