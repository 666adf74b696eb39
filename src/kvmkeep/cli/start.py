"""`kvmkeep start`: start guests and wait until they are ready, in the order they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvmkeep.cli.goal import dry_run, reach
from kvmkeep.cli.guests import add_guests

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Which guests."""

    guests: tuple[str, ...]
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=True, help_text="the guests to start")
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="show the steps, run none of them"
    )


def run(args: Args, ctx: Context) -> int:
    """Start them; typing their names is consent enough."""

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.start import plan_start  # noqa: PLC0415

        return plan_start(spec, facts, args.guests)

    if args.dry_run:
        return dry_run(planner, args.guests, ctx)
    return reach("start", planner, args.guests, ctx, yes=True)
