"""`kvmkeep uninstall-units`: have libvirt start the guests with the host again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import dry_run, reach

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


class Args(Struct, frozen=True, kw_only=True):
    """Whether to ask."""

    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Show the plan, ask, and take them away."""

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.units import plan_uninstall  # noqa: PLC0415

        return plan_uninstall(spec, facts)

    if args.dry_run:
        return dry_run(planner, (), ctx)
    return reach("uninstall-units", planner, (), ctx, yes=args.yes)
