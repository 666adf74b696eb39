"""`kvmkeep snapshot watch`: have snapshots grow before they are full; for a timer, or by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, noting, reach, show, tell_notes
from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.errors import (
    NEEDS_ATTENTION,
    Declined,
    Interrupted,
    KvmkeepError,
    SpecError,
    UsageError,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Note, Plan
    from kvmkeep.model.spec import Spec

VERB = "snapshot watch"
_LEAST, _MOST = 10, 95
"""Between these, in percent: an empty snapshot is not quite empty, and a full one is lost."""


class Args(Struct, frozen=True, kw_only=True):
    """Which guests; `at` and `by` in percent, `every` in seconds (0: one pass)."""

    guests: tuple[str, ...]
    at: int
    by: int
    every: int
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only the snapshots of these guests")
    parser.add_argument(
        "--at", metavar="PERCENT", type=int, default=70,
        help="how full a snapshot is when it grows (default 70)",
    )  # fmt: skip
    parser.add_argument(
        "--by", metavar="PERCENT", type=int, default=25,
        help="by how much of its size it grows (default 25)",
    )  # fmt: skip
    parser.add_argument(
        "--every", metavar="SECONDS", type=int, default=0,
        help="look again and again, until it is interrupted; without it, once",
    )  # fmt: skip
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Look, once or again and again; tell of snapshots that are lost or can't grow."""
    _demand(args)
    names = tuple(checked(name) for name in args.guests)
    notes: list[Note] = []

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.snapshots.watch import Watch, plan_watch

        return plan_watch(spec, facts, Watch(at=args.at, by=args.by, guests=names))

    goal = noting(Goal(verb=VERB, planner=planner), notes)
    if args.dry_run:
        return show(goal, ctx)
    if not args.every:
        reach(goal, ctx, yes=True)
        tell_notes(notes, ctx)
        return NEEDS_ATTENTION if notes else 0
    told: list[Note] = []
    while True:
        try:
            reach(goal, ctx, yes=True, idle=False)
        except (Declined, Interrupted, SpecError, UsageError):
            raise
        except KvmkeepError as error:
            # Another run is at work, or a guest writes fast: the next pass may find it otherwise.
            ctx.streams.talk(f"kvmkeep: {error.message}")
        if notes != told:
            tell_notes(notes, ctx)
            told = list(notes)
        ctx.door().sleep(float(args.every))


def _demand(args: Args) -> None:
    if not _LEAST <= args.at <= _MOST:
        raise UsageError(f"--at takes a percentage from {_LEAST} to {_MOST}")
    if not 1 <= args.by <= 1000:
        raise UsageError("--by takes a percentage from 1 to 1000")
    if args.every < 0:
        raise UsageError("--every takes a number of seconds")
