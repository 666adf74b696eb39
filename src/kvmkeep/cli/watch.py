"""`kvmkeep watch`: one look after the guests, for a timer: who died is started again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, noting, reach_unattended, tell_notes
from kvmkeep.cli.remember import remember

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.plan import Note

VERB = "watch"


class Args(Struct, frozen=True, kw_only=True):
    """Whether only to show the steps."""

    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Look once; start what died, and tell what can't be helped."""
    from kvmkeep.planning.running.watch import plan_look_after

    notes: list[Note] = []
    goal = Goal(verb=VERB, planner=plan_look_after, agents=ctx.guest_names())

    def tells() -> bool:
        attention = tell_notes(notes, ctx)
        remember(ctx)
        return attention

    goal = noting(goal, notes, kept=True)
    return reach_unattended(goal, ctx, dry_run=args.dry_run, tells=tells, notes=notes)
