"""`kvmkeep snapshot delete`: delete sets of snapshots; the guest goes on as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import checked
from kvmkeep.errors import UsageError
from kvmkeep.host.clock import utc_now
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


class Args(Struct, frozen=True, kw_only=True):
    """Which sets of which guest; `expired`: all past their date, of that guest or of all."""

    guest: str
    sets: tuple[str, ...]
    expired: bool
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", nargs="?", default="", help="whose snapshots")
    parser.add_argument("sets", metavar="SET", nargs="*", help="the sets, as `list` names them")
    parser.add_argument(
        "--expired", action="store_true",
        help="instead of named sets: all that are past their date, of this guest or of all",
    )  # fmt: skip
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Delete them, one snapshot after the other."""
    from kvmkeep.planning.snapshots.delete import plan_delete, plan_delete_expired

    if args.sets and args.expired:
        raise UsageError(
            "--expired takes no names of sets: it is about all that are past their date"
        )
    if not args.sets and not args.expired:
        raise UsageError("name sets of a guest, or use --expired", hint="kvmkeep snapshot list")
    guest = checked(args.guest) if args.guest else ""
    if args.sets:
        demand_sets(ctx, guest, args.sets)
    now = utc_now()

    def planner(spec: Spec, facts: Facts) -> Plan:
        if args.expired:
            return plan_delete_expired(spec, facts, now, guest)
        return plan_delete(spec, facts, args.guest, args.sets)

    goal = Goal(verb="snapshot delete", planner=planner)
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)


def demand_sets(ctx: Context, guest: str, names: tuple[str, ...]) -> None:
    """Refuse names that no set of this guest has: to a planner, such a set would be gone."""
    from kvmkeep.model.snapshot import snapshot_sets

    sets = snapshot_sets(ctx.volumes(), ctx.spec().storage.vg)
    known = {one.name for one in sets if one.guest == guest}
    missing = [printable(name) for name in names if name not in known]
    if missing:
        raise UsageError(
            f"guest {guest} has no set {', '.join(missing)}",
            hint=f"type: kvmkeep snapshot list {guest}",
        )
