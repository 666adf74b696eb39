"""`kvmkeep shutdown`: ask guests to shut down and wait; their power is never cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, noting, reach, reach_unattended, tell_notes
from kvmkeep.cli.guests import add_choice, chosen
from kvmkeep.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.plan import Note

LIMIT = 300
"""Seconds that a guest gets to shut down as a part of another verb."""


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, or all since the `host` goes down; `limit` is how long to wait for each."""

    guests: tuple[str, ...]
    label: tuple[str, ...]
    host: bool
    limit: int | None
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_choice(parser, "shut down")
    parser.add_argument(
        "--host", action="store_true",
        help="all guests, in the reverse order of their needs, as the host goes down; they are to "
        "run again with it",
    )  # fmt: skip
    add_limit(parser)
    add_dry_run(parser)


def add_limit(parser: ArgumentParser) -> None:
    """Add how long a guest may take to go down."""
    parser.add_argument(
        "--limit", metavar="SECONDS", type=int,
        help="how long to wait for each to go down (default: its stop_timeout)",
    )  # fmt: skip


def checked_limit(seconds: int | None) -> int:
    """Return the limit, or refuse what is none; 0 stands for that of the spec."""
    if seconds is None:
        return 0
    if seconds < 1:
        raise UsageError("--limit takes a number of seconds, at least 1")
    return seconds


def run(args: Args, ctx: Context) -> int:
    """Shut them down, as typed; a guest that goes on running after the limit is a failed step."""
    from kvmkeep.planning.running.shutdown import plan_shutdown

    limit = checked_limit(args.limit)
    if args.host:
        return _with_host(args, ctx)
    names = chosen(args.guests, args.label, ctx)
    goal = Goal(
        verb="shutdown",
        planner=lambda spec, facts: plan_shutdown(spec, facts, names, limit),
        guests=names,
    )
    return reach(goal, ctx, yes=True, dry_run=args.dry_run)


def _with_host(args: Args, ctx: Context) -> int:
    """Shut all down, as systemd asks for it while the host goes down: nobody is there.

    Another run does not stop that. Guests that nobody asks lose their power with the host.
    """
    from kvmkeep.apply.sight import Sight
    from kvmkeep.host.lock import ForgoneLock
    from kvmkeep.model.names import LOCK_FILE
    from kvmkeep.planning.running.host_down import NO_SPEC, plan_host_down
    from kvmkeep.planning.units.files import PATIENCE

    if args.guests or args.label or args.limit is not None:
        raise UsageError("--host is about all guests, each with its own stop_timeout")
    notes: list[Note] = []
    lock = ForgoneLock(ctx.stages.lock(LOCK_FILE), ctx.streams.talk)
    return reach_unattended(
        noting(Goal(verb="shutdown --host", planner=plan_host_down, lock=lock), notes),
        ctx,
        dry_run=args.dry_run,
        tells=lambda: tell_notes(notes, ctx),
        notes=notes,
        patience=PATIENCE,
        fallback_spec=NO_SPEC,
        # The unit's limit has room for one of both.
        sight=Sight(seconds=PATIENCE, with_lock=True),
    )
