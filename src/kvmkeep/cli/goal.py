"""The way of every verb that changes something: show the plan, ask, run it, tell what was done."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.cli.consent import ask, demand_terminal
from kvmkeep.cli.parser import URI
from kvmkeep.cli.plan import demand_guests, refusal, show_plan
from kvmkeep.cli.progress import make_ui
from kvmkeep.errors import NEEDS_ATTENTION, Unready, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kvmkeep.apply.sight import Sight
    from kvmkeep.apply.ui import Ui
    from kvmkeep.cli.beside import Beside
    from kvmkeep.cli.context import Context
    from kvmkeep.cli.streams import Streams
    from kvmkeep.flow import Confirm, Look, Planner
    from kvmkeep.host.door import Door
    from kvmkeep.host.lock import Lock
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Note, Plan, Report
    from kvmkeep.model.spec import Spec


class Goal(Struct, frozen=True, kw_only=True):
    """What a verb is to reach.

    `guests` are those that were named: the spec must have them. With each look, the agents of
    `agents` are asked, `repositories` are listed, and `beside` looks. `lock` is held in place of
    that of the host, for what may be done beside other runs. `reading` is held first where it is
    given: see `Context.reading`. `dry_run` tells whether the verb can show what it would do.
    """

    verb: str
    planner: Planner
    guests: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    beside: Beside[Any] | None = None
    lock: Lock | None = None
    reading: Lock | None = None
    dry_run: bool = True


def show(
    goal: Goal, ctx: Context, *, unattended: bool = False, fallback_spec: Spec | None = None
) -> int:
    """Show what would be done; take no lock and touch nothing.

    `unattended` and `fallback_spec` are those of the run: see `flow.RunSettings`.
    """
    if unattended:
        with closing(make_ui(ctx.streams)) as ui:
            spec = ctx.unattended_spec(ui, fallback_spec)
    else:
        spec = ctx.spec()
    demand_guests(spec, goal.guests)
    facts = ctx.observe(spec, goal.agents, repositories=goal.repositories)
    if goal.beside is not None:
        goal.beside.look(ctx.door())
    return _show(goal.planner(spec, facts), ctx)


def reach(
    goal: Goal,
    ctx: Context,
    *,
    yes: bool,
    dry_run: bool = False,
    asks: Callable[[Plan, Streams], bool] = ask,
    idle: bool = True,
    tells: bool = False,
) -> int:
    """Reach the goal, or only show it (`dry_run`); ask first, unless `yes`.

    `idle` says so where there was nothing to do; `tells` the notes of its plan as well, which
    nobody has seen then.
    """
    if dry_run:
        return show(goal, ctx)
    if not yes:
        demand_terminal(goal.verb, ctx.argv)
    notes: list[Note] = []
    report = _reach(noting(goal, notes), ctx, _confirm(ctx, yes=yes, asks=asks))
    if idle or report.steps:
        _tell(report, ctx)
    if tells and not report.steps:
        tell_notes(notes, ctx)
    return 0


def reach_quietly(goal: Goal, ctx: Context) -> None:
    """Reach a goal that changes nothing that is ours, without a word unless it fails."""
    _reach(goal, ctx, _agree)


def reach_without_asking(goal: Goal, ctx: Context, *, patience: float = 0.0) -> None:
    """Reach one of several goals of a verb: its steps are shown as they run.

    It waits for another run to end, for a little while or `patience` seconds if that is more.
    """
    from kvmkeep.planning.units.files import PATIENCE

    with closing(make_ui(ctx.streams)) as ui:
        ctx.run_goal(goal, ui, _agree, patience=max(PATIENCE, patience))


def reach_unattended(
    goal: Goal,
    ctx: Context,
    *,
    dry_run: bool,
    tells: Callable[[], bool],
    notes: Collection[Note] | None = None,
    patience: float = 0.0,
    fallback_spec: Spec | None = None,
    sight: Sight | None = None,
    seen: Callable[[Ui], Ui] | None = None,
) -> int:
    """Reach the goal as nobody is there to be asked, or only show it (`dry_run`).

    In the end, also of a run that fails, `tells` tells what there is to tell, and returns whether
    something needs attention. `notes` are printed with the report where that is to be JSON; a verb
    without them prints its own. `patience`, `fallback_spec` and `sight` are those of
    `flow.RunSettings`; `seen` returns a screen before the usual one.
    """
    if dry_run:
        return show(goal, ctx, unattended=True, fallback_spec=fallback_spec)
    demand_own_libvirt(goal.verb, ctx)
    ui = make_ui(ctx.streams)
    before = ui if seen is None else seen(ui)
    try:
        report = ctx.run_goal(
            goal,
            before,
            _agree,
            patience=patience,
            unattended=True,
            fallback_spec=fallback_spec,
            sight=sight,
        )
    finally:
        ui.close()
        attention = tells()
    if ctx.json and notes is not None:
        from kvmkeep.report.json import report_json

        ctx.streams.json(report_json(report, notes))
    return NEEDS_ATTENTION if attention else 0


def readable(look: Callable[[Door], Look]) -> Callable[[Door], Look]:
    """Return a look that raises Unready where a file of the spec can't be read."""

    def guarded(door: Door) -> Look:
        try:
            return look(door)
        except OSError as error:
            denied = isinstance(error, PermissionError)
            hint = "run it as root" if denied else "look at its disk: dmesg"
            what = error.filename or "a file of the spec"
            raise Unready(f"{what} can't be read: {error.strerror or error}", hint=hint) from error

    return guarded


def reach_by(
    verb: str, look: Callable[[Door], Look], ctx: Context, *, yes: bool, dry_run: bool
) -> int:
    """Reach a goal with a look of its own, or only show it; ask first, unless `yes`."""
    if dry_run:
        return _show(look(ctx.door()).plan, ctx)
    if not yes:
        demand_terminal(verb, ctx.argv)
    demand_own_libvirt(verb, ctx)
    with closing(make_ui(ctx.streams)) as ui:
        report = ctx.reach(ui, verb, look, _confirm(ctx, yes=yes, asks=ask))
    _tell(report, ctx)
    return 0


def demand_own_libvirt(verb: str, ctx: Context) -> None:
    """Refuse another libvirt than this host's: the steps are commands for this host."""
    if ctx.connect != URI:
        raise UsageError(
            f"{verb} works on this host's libvirt only ({URI})", hint="leave --connect out"
        )


def with_notes(goal: Goal, notes: tuple[Note, ...]) -> Goal:
    """Return the goal; what it plans to do has those notes first."""

    def planner(spec: Spec, facts: Facts) -> Plan:
        plan = goal.planner(spec, facts)
        return plan if plan.empty else replace(plan, notes=(*notes, *plan.notes))

    return replace(goal, planner=planner)


def noting(goal: Goal, notes: list[Note], *, kept: bool = False) -> Goal:
    """Return the goal; whenever it is planned, `notes` become those of the plan.

    Where they are `kept`, those of earlier looks stay before them, each once.
    """

    def planner(spec: Spec, facts: Facts) -> Plan:
        plan = goal.planner(spec, facts)
        notes[:] = dict.fromkeys((*(notes if kept else ()), *plan.notes))
        return plan

    return replace(goal, planner=planner)


def tell_notes(notes: Collection[Note], ctx: Context) -> bool:
    """Tell what should be known after a run that nobody attends to; return whether there is any."""
    from kvmkeep.model.text import one_line

    for note in notes:
        ctx.streams.talk(f"{one_line(note.subject)}: {one_line(note.text)}")
    return bool(notes)


def _show(plan: Plan, ctx: Context) -> int:
    show_plan(plan, ctx)
    if plan.refusals:
        raise refusal(plan)
    return 0


def _reach(goal: Goal, ctx: Context, confirm: Confirm) -> Report:
    demand_own_libvirt(goal.verb, ctx)
    demand_guests(ctx.spec(), goal.guests)
    with closing(make_ui(ctx.streams)) as ui:
        return ctx.run_goal(goal, ui, confirm)


def _agree(_plan: Plan) -> bool:
    return True


def _confirm(ctx: Context, *, yes: bool, asks: Callable[[Plan, Streams], bool]) -> Confirm:
    def confirm(plan: Plan) -> bool:
        if not ctx.json:
            show_plan(plan, ctx)
        return yes or asks(plan, ctx.streams)

    return confirm


def _tell(report: Report, ctx: Context) -> None:
    if ctx.json:
        from kvmkeep.report.json import report_json

        ctx.streams.json(report_json(report))
    elif report.steps:
        from kvmkeep.cli.progress import duration

        seconds = sum(step.seconds for step in report.steps)
        count = len(report.steps)
        ctx.streams.result(f"Done: {count} step{'s' * (count > 1)} in {duration(seconds)}.")
    else:
        ctx.streams.result("Nothing to do.")
