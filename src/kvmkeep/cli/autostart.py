"""`kvmkeep autostart`: have guests start with the host, or not; the spec is not edited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import add_choice, chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, and `on` or `off`."""

    guests: tuple[str, ...]
    label: tuple[str, ...]
    switch: str
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_choice(parser, "have started with the host, or not")
    parser.add_argument("switch", choices=("on", "off"), help="start with the host, or don't")
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Switch it; where the spec says otherwise, say so and where."""
    from kvmkeep.planning.running.autostart import plan_autostart

    names = chosen(args.guests, args.label, ctx)
    goal = Goal(
        verb="autostart",
        planner=lambda spec, facts: plan_autostart(spec, facts, names, on=args.switch == "on"),
        guests=names,
    )
    return reach(goal, ctx, yes=True, dry_run=args.dry_run)
