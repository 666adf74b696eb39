"""`kvmkeep poweroff`: cut the power of guests, after their names were typed once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent, ask_names
from kvmkeep.cli.goal import dry_run, reach
from kvmkeep.cli.guests import add_choice, chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, whether QEMU may be killed, and whether to ask."""

    guests: tuple[str, ...]
    label: tuple[str, ...]
    kill: bool
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_choice(parser, "cut the power of")
    parser.add_argument(
        "--kill", action="store_true", help="kill a QEMU that doesn't end within 15 s by itself"
    )
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Cut their power; the guests' names must be typed, unless `--yes`."""
    names = chosen(args.guests, args.label, ctx)

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.poweroff import plan_poweroff  # noqa: PLC0415

        return plan_poweroff(spec, facts, names, kill=args.kill)

    if args.dry_run:
        return dry_run(planner, names, ctx)
    return reach("poweroff", planner, names, ctx, yes=args.yes, asks=ask_names)
