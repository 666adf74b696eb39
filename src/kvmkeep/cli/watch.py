"""`kvmkeep watch`: one look after the guests, for a timer: who died is started again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, demand_own_libvirt, show, tell_notes
from kvmkeep.cli.remember import remember
from kvmkeep.errors import DIFFERENCES_FOUND

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Note, Plan
    from kvmkeep.model.spec import Spec

VERB = "watch"


class Args(Struct, frozen=True, kw_only=True):
    """Whether only to show the steps."""

    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Look once; start what died, and tell what can't be helped."""
    from kvmkeep.cli.progress import make_ui

    notes: list[Note] = []

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.look_after import plan_look_after

        plan = plan_look_after(spec, facts)
        notes.extend(note for note in plan.notes if note not in notes)
        return plan

    goal = Goal(verb=VERB, planner=planner, agents=ctx.guest_names())
    if args.dry_run:
        return show(goal, ctx, unattended=True)
    demand_own_libvirt(VERB, ctx)
    remember(ctx)
    ui = make_ui(ctx.streams)
    try:
        ctx.run_goal(goal, ui, lambda _: True, unattended=True)
    finally:
        ui.close()
        tell_notes(notes, ctx)
    return DIFFERENCES_FOUND if notes else 0
