"""`kvmkeep uninstall-units`: have libvirt start the guests with the host again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import reach_by, readable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Look
    from kvmkeep.host.door import Door


class Args(Struct, frozen=True, kw_only=True):
    """Whether to ask."""

    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Show the plan, ask, and take them away; after `release --all` there is no spec any more."""

    def look(door: Door) -> Look:
        from kvmkeep.flow import Look
        from kvmkeep.planning.units import plan_uninstall
        from kvmkeep.report.json import encoded
        from kvmkeep.spec.load import load_if_any

        spec = load_if_any(ctx.spec_dir, door)
        facts = ctx.observe(spec, door=door)
        plan = plan_uninstall(spec, facts)
        return Look(spec=encoded(spec), facts=encoded(facts), plan=plan)

    return reach_by("uninstall-units", readable(look), ctx, yes=args.yes, dry_run=args.dry_run)
