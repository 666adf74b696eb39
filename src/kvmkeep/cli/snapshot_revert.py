"""`kvmkeep snapshot revert`: take a guest's disks back to a set; what came after it is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import checked
from kvmkeep.cli.shutdown import LIMIT
from kvmkeep.cli.snapshot_delete import demand_sets
from kvmkeep.errors import UsageError
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which guest, to which set; `limit` in seconds to shut down."""

    guest: str
    set: str
    shutdown: bool
    keep: bool
    limit: int
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest to take back")
    parser.add_argument("set", metavar="SET", help="to which set, as `list` names it")
    parser.add_argument(
        "--shutdown", action="store_true",
        help="shut a running guest down first, and start it again in the end",
    )  # fmt: skip
    parser.add_argument(
        "--limit", metavar="SECONDS", type=int, default=LIMIT,
        help=f"how long to wait for it to shut down (default {LIMIT})",
    )  # fmt: skip
    parser.add_argument(
        "--keep", action="store_true",
        help="keep the present state as a new set first, which takes room for all disks",
    )  # fmt: skip
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Take it back; a revert that was stopped in the middle is finished."""
    from kvmkeep.model.names import TAG_GUEST, TAG_REVERT, TAG_START
    from kvmkeep.planning.snapshots.revert import plan_revert

    if args.limit < 1:
        raise UsageError("--limit takes a number of seconds, at least 1")
    guest = checked(args.guest)
    under_way = any(
        TAG_GUEST + guest in one.tags
        and (TAG_REVERT + args.set in one.tags or any(t.startswith(TAG_START) for t in one.tags))
        for one in ctx.volumes()
    )
    if not under_way:
        demand_sets(ctx, guest, (args.set,))
    keep = utc_now().isoformat() if args.keep else ""
    limit = args.limit if args.shutdown else 0
    goal = Goal(
        verb="snapshot revert",
        planner=lambda spec, facts: plan_revert(spec, facts, guest, args.set, limit, keep=keep),
        guests=(guest,),
    )
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)
