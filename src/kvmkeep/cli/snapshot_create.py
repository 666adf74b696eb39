"""`kvmkeep snapshot create`: all disks of a guest at one moment; the guest goes on running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import add_guests
from kvmkeep.cli.level import add_consistency, at_level, chosen_level, chosen_size
from kvmkeep.cli.moment import span
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Planner
    from kvmkeep.model.snapshot import Level

VERB = "snapshot create"


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, and how."""

    guests: tuple[str, ...]
    consistency: str
    size: str
    expires: str
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=True, help_text="the guests to take a set of")
    add_consistency(parser)
    parser.add_argument(
        "--size", default="",
        help="size of each snapshot, such as 2GiB, where there is no room for full size; "
        "one that gets full is lost",
    )  # fmt: skip
    parser.add_argument(
        "--expires", metavar="SPAN", default="",
        help="how long it is wanted, such as 12h, 7d or 4w; nothing is deleted by itself",
    )  # fmt: skip
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Take the sets; where an agent does not freeze, say so and take them without."""
    from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create

    now = utc_now()
    moment = now.isoformat()
    expires = (now + span(args.expires, "--expires")).isoformat() if args.expires else ""
    size = chosen_size(args.size, "--size")
    level = chosen_level(args.consistency)

    def planner(level: Level | None) -> Planner:
        wish = SnapshotRequest(
            guests=args.guests, moment=moment, level=level, size=size, expires=expires
        )
        return lambda spec, facts: plan_create(spec, facts, wish)

    def run_at(planner: Planner) -> int:
        goal = Goal(verb=VERB, planner=planner, guests=args.guests)
        return reach(goal, ctx, yes=True, dry_run=args.dry_run)

    return at_level(planner, level, run_at, ctx)
