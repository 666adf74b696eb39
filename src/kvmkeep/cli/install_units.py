"""`kvmkeep install-units`: have systemd start and stop the guests with the host, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import dry_run, reach
from kvmkeep.cli.parser import SPEC_DIR

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
    """Show the plan, ask, and install them."""
    options = options_of(ctx.spec_dir)

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.units import plan_install  # noqa: PLC0415

        return plan_install(spec, facts, options)

    if args.dry_run:
        return dry_run(planner, (), ctx)
    return reach("install-units", planner, (), ctx, yes=args.yes)


def options_of(spec_dir: str) -> tuple[str, ...]:
    """Return the options by which a unit finds the same spec, from whatever directory."""
    from posixpath import abspath  # noqa: PLC0415

    path = abspath(spec_dir)
    return () if path == SPEC_DIR else ("--spec", path)
