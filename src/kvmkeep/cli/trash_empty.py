"""`kvmkeep trash empty`: destroy what lies in the trash, after the guests' names were typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run, answers, ask_names
from kvmkeep.cli.goal import Goal, reach, show
from kvmkeep.cli.moment import span
from kvmkeep.cli.trash_restore import demand_entries
from kvmkeep.errors import UsageError
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import timedelta

    from kvmkeep.cli.context import Context
    from kvmkeep.model.trash import TrashEntry


class Args(Struct, frozen=True, kw_only=True):
    """Which entries; `really` names their guests once more."""

    names: tuple[str, ...]
    older: str
    really: tuple[str, ...]
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="entries, as `list` names them")
    parser.add_argument(
        "--older", metavar="SPAN", default="",
        help="only what has been there for longer, such as 12h, 7d or 4w; without names: all of it",
    )  # fmt: skip
    parser.add_argument(
        "--really", metavar="GUEST", action="append", default=[],
        help="don't ask, for scripts: the guest whose disks are destroyed; once for each",
    )  # fmt: skip
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Destroy them, one LV after the other."""
    from kvmkeep.planning.trash.empty import plan_empty

    if not args.names and not args.older:
        raise UsageError(
            "nothing is named to be destroyed", hint="name entries (kvmkeep trash list), or --older"
        )
    least = span(args.older, "--older") if args.older else None
    chosen = demand_entries(entries := ctx.trash(ctx.spec()), args.names) or entries
    if least is not None:
        chosen = tuple(one for one in chosen if _older(one, least))
    if not chosen:
        ctx.streams.talk("Nothing in the trash is that old.")
        return 0
    names = tuple(one.name for one in chosen)
    goal = Goal(verb="trash empty", planner=lambda spec, facts: plan_empty(spec, facts, names))
    if args.dry_run:
        return show(goal, ctx)
    guests = {one.guest for one in chosen}
    if args.really and {*args.really} != guests:
        raise UsageError(
            f"--really does not name just the guests of these entries ({' '.join(sorted(guests))})"
        )
    if not args.really and not answers():
        raise UsageError(
            "the guests' names must be typed, and there is no terminal to type them at",
            hint="name them with --really",
        )
    return reach(goal, ctx, yes=bool(args.really), asks=ask_names)


def _older(entry: TrashEntry, wanted: timedelta) -> bool:
    from kvmkeep.model.names import stamped_time

    time = stamped_time(entry.stamp)
    return time is not None and utc_now() - time > wanted
