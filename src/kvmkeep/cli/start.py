"""`kvmkeep start`: start guests and wait until they are ready, in the order they need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import dry_run, reach
from kvmkeep.cli.guests import add_choice, chosen

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
    label: tuple[str, ...]
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_choice(parser, "start")
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Start them; typing their names is consent enough."""
    names = chosen(args.guests, args.label, ctx)

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.start import plan_start  # noqa: PLC0415

        return plan_start(spec, facts, names)

    if args.dry_run:
        return dry_run(planner, names, ctx)
    return reach("start", planner, names, ctx, yes=True)
