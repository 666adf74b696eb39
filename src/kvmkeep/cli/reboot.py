"""`kvmkeep reboot`: ask guests to reboot, see that they did, and wait until they are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import add_choice, chosen
from kvmkeep.cli.shutdown import add_limit, checked_limit

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, how many seconds each may take to go down, and whether QEMU ends too."""

    guests: tuple[str, ...]
    label: tuple[str, ...]
    limit: int | None
    cold: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_choice(parser, "reboot")
    parser.add_argument(
        "--cold", action="store_true",
        help="shut each down and start it anew: takes in what waits for its next start",
    )  # fmt: skip
    add_limit(parser)
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Reboot them, as typed; their power is never cut."""
    limit = checked_limit(args.limit)
    names = chosen(args.guests, args.label, ctx)
    looks: list[Facts] = []

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.running.reboot import plan_cold_reboot, plan_reboot

        looks.append(facts)
        plan = plan_cold_reboot if args.cold else plan_reboot
        return plan(spec, facts, looks[0], names, limit)

    goal = Goal(verb="reboot", planner=planner, guests=names)
    return reach(goal, ctx, yes=True, dry_run=args.dry_run)
