"""`kvmkeep resume`: let guests that stand still go on."""

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
    add_choice(parser, "resume")
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Resume them; typing their names is consent enough."""
    names = chosen(args.guests, args.label, ctx)

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.pausing import plan_resume  # noqa: PLC0415

        return plan_resume(spec, facts, names)

    if args.dry_run:
        return dry_run(planner, names, ctx)
    return reach("resume", planner, names, ctx, yes=True)
