"""`kvmkeep poweroff`: cut the power of guests, after their names were typed once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent, ask_names
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import add_choice, chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


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
    from kvmkeep.planning.running.poweroff import plan_poweroff

    names = chosen(args.guests, args.label, ctx)
    goal = Goal(
        verb="poweroff",
        planner=lambda spec, facts: plan_poweroff(spec, facts, names, kill=args.kill),
        guests=names,
    )
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run, asks=ask_names)
