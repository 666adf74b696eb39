"""The way of every verb that changes something: show the plan, ask, run it, tell what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmkeep.cli.consent import ask, demand_terminal
from kvmkeep.cli.parser import URI
from kvmkeep.cli.plan import demand_guests, refusal, show_plan
from kvmkeep.cli.progress import make_ui
from kvmkeep.errors import Unready, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kvmkeep.cli.context import Context
    from kvmkeep.cli.streams import Streams
    from kvmkeep.flow import Confirm, Look, Planner
    from kvmkeep.host.door import Door
    from kvmkeep.host.lock import Lock
    from kvmkeep.model.plan import Note, Plan, Report


def dry_run(
    planner: Planner,
    guests: tuple[str, ...],
    ctx: Context,
    *,
    agents: tuple[str, ...] = (),
    repositories: tuple[str, ...] = (),
) -> int:
    """Show what the goal would do; take no lock and touch nothing.

    `agents` names the guests whose agents are asked for it, `repositories` those that are listed.
    """
    spec = ctx.spec()
    demand_guests(spec, guests)
    plan = planner(spec, ctx.observe(spec, agents, repositories=repositories))
    show_plan(plan, ctx)
    if plan.refusals:
        raise refusal(plan)
    return 0


def reach(
    verb: str,
    planner: Planner,
    guests: tuple[str, ...],
    ctx: Context,
    *,
    yes: bool,
    asks: Callable[[Plan, Streams], bool] = ask,
    agents: tuple[str, ...] = (),
    repositories: tuple[str, ...] = (),
    lock: Lock | None = None,
    idle: bool = True,
) -> int:
    """Reach the goal; ask first, unless `yes`. `agents` names the guests whose agents are asked.

    `repositories` names those that are listed. `lock` is another one than that of this host.
    `idle` says so where there was nothing to do.
    """
    report = _reach(
        verb, planner, guests, ctx,
        yes=yes, asks=asks, agents=agents, repositories=repositories, lock=lock,
    )  # fmt: skip
    if idle or report.steps:
        _tell(report, ctx)
    return 0


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


def dry_look(look: Callable[[Door], Look], ctx: Context) -> int:
    """Show what a goal with a look of its own would do; touch nothing."""
    plan = look(ctx.door()).plan
    show_plan(plan, ctx)
    if plan.refusals:
        raise refusal(plan)
    return 0


def reach_by(verb: str, look: Callable[[Door], Look], ctx: Context, *, yes: bool) -> int:
    """Reach a goal with a look of its own; ask first, unless `yes`."""
    if not yes:
        demand_terminal(verb, ctx.argv)
    demand_own_libvirt(verb, ctx)
    ui = make_ui(ctx.streams)
    try:
        report = ctx.reach(ui, verb, look, _confirm(ctx, yes=yes, asks=ask))
    finally:
        ui.close()
    _tell(report, ctx)
    return 0


def reach_quietly(verb: str, planner: Planner, guests: tuple[str, ...], ctx: Context) -> None:
    """Reach a goal that changes nothing that is ours, without a word unless it fails."""
    _reach(verb, planner, guests, ctx, yes=True, told=False)


def _reach(
    verb: str,
    planner: Planner,
    guests: tuple[str, ...],
    ctx: Context,
    *,
    yes: bool,
    asks: Callable[[Plan, Streams], bool] = ask,
    told: bool = True,
    agents: tuple[str, ...] = (),
    repositories: tuple[str, ...] = (),
    lock: Lock | None = None,
) -> Report:
    if not yes:
        demand_terminal(verb, ctx.argv)
    demand_own_libvirt(verb, ctx)
    demand_guests(ctx.spec(), guests)

    ui = make_ui(ctx.streams)
    try:
        confirm = _confirm(ctx, yes=yes, asks=asks, told=told)
        return ctx.run_goal(
            ui, verb, planner, confirm, agents, repositories=repositories, lock=lock
        )
    finally:
        ui.close()


def reach_alone(
    verb: str,
    planner: Planner,
    ctx: Context,
    *,
    repositories: tuple[str, ...] = (),
    lock: Lock | None = None,
) -> None:
    """Reach one of several goals of a verb that nobody attends to: its steps are shown as they run.

    It waits for another run to end. `lock` is another one than that of this host.
    """
    from kvmkeep.planning.unit_files import PATIENCE  # noqa: PLC0415

    ui = make_ui(ctx.streams)
    try:
        ctx.run_goal(
            ui, verb, planner, lambda _: True,
            repositories=repositories, lock=lock, patience=PATIENCE,
        )  # fmt: skip
    finally:
        ui.close()


def _confirm(
    ctx: Context, *, yes: bool, asks: Callable[[Plan, Streams], bool], told: bool = True
) -> Confirm:
    def confirm(plan: Plan) -> bool:
        if told and not ctx.json:
            show_plan(plan, ctx)
        return yes or asks(plan, ctx.streams)

    return confirm


def demand_own_libvirt(verb: str, ctx: Context) -> None:
    """Refuse another libvirt than this host's: the steps are commands for this host."""
    if ctx.connect != URI:
        raise UsageError(
            f"{verb} works on this host's libvirt only ({URI})", hint="leave --connect out"
        )


def tell_notes(notes: Iterable[Note], ctx: Context) -> None:
    """Tell what should be known after a run that nobody attends to."""
    from kvmkeep.report.clean import one_line  # noqa: PLC0415

    for note in notes:
        ctx.streams.talk(f"{one_line(note.subject)}: {one_line(note.text)}")


def _tell(report: Report, ctx: Context) -> None:
    if ctx.json:
        from kvmkeep.report.json import report_json  # noqa: PLC0415

        ctx.streams.json(report_json(report))
    elif report.steps:
        from kvmkeep.cli.progress import duration  # noqa: PLC0415

        seconds = sum(step.seconds for step in report.steps)
        count = len(report.steps)
        ctx.streams.result(f"Done: {count} step{'s' * (count > 1)} in {duration(seconds)}.")
    else:
        ctx.streams.result("Nothing to do.")
