"""`kvmkeep remove`: bring a guest, or a disk that it has no more, into the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.shutdown import LIMIT
from kvmkeep.errors import UsageError
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Planner


class Args(Struct, frozen=True, kw_only=True):
    """Which guest, or which disk of it; `limit` in seconds to shut down."""

    guest: str
    disk: str
    shutdown: bool
    limit: int
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest, in the spec or not")
    parser.add_argument(
        "--disk", metavar="NAME", default="",
        help="only this disk, which the spec does not name any more and nothing uses",
    )  # fmt: skip
    parser.add_argument(
        "--shutdown", action="store_true", help="shut a running guest down first, gracefully"
    )
    parser.add_argument(
        "--limit", metavar="SECONDS", type=int, default=LIMIT,
        help=f"how long to wait for it to shut down (default {LIMIT})",
    )  # fmt: skip
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Bring it into the trash; a removal that was stopped in the middle is finished."""
    from kvmkeep.model.units import parse_guest_name, parse_label

    if args.limit < 1:
        raise UsageError("--limit takes a number of seconds, at least 1")
    try:
        name = parse_guest_name(args.guest)
        disk = parse_label(args.disk) if args.disk else ""
    except ValueError as error:
        raise UsageError(str(error)) from error
    if disk and args.shutdown:
        raise UsageError("--shutdown goes with a whole guest, not with --disk")
    planner = _disk_planner(name, disk) if disk else _guest_planner(name, args, ctx)
    spec = ctx.spec()
    plan = planner(spec, ctx.observe(spec))
    if plan.empty:
        what = f"guest {name} has no disk {disk}" if disk else f"there is no guest {name}"
        raise UsageError(f"{what} to remove", hint="it may have gone before: kvmkeep trash list")
    goal = Goal(verb="remove", planner=planner)
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)


def _guest_planner(name: str, args: Args, ctx: Context) -> Planner:
    import posixpath

    from kvmkeep.planning.trash.remove import Removing, plan_remove

    guest = ctx.spec().guest(name)
    removing = Removing(
        guest=name,
        moment=utc_now().isoformat(),
        file=posixpath.abspath(guest.place.file) if guest is not None else "",
        limit=args.limit if args.shutdown else 0,
    )
    return lambda spec, facts: plan_remove(spec, facts, removing)


def _disk_planner(name: str, disk: str) -> Planner:
    from kvmkeep.planning.trash.remove_disk import RemovingDisk, plan_remove_disk

    removing = RemovingDisk(guest=name, disk=disk, moment=utc_now().isoformat())
    return lambda spec, facts: plan_remove_disk(spec, facts, removing)
