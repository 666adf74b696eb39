"""The vital signs: of the host, of the last run, and of running guests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Problem
from kvmkeep.model.vitals import Inside, LastRun, Vitals

if TYPE_CHECKING:
    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.spec import Guest, Spec


def examine(ctx: Context, spec: Spec, facts: Facts, *, answers: bool) -> Vitals:
    """Return the vital signs; with `answers` the guests are asked, for two seconds in all."""
    vitals = ctx.vitals()
    try:
        vitals = replace(vitals, last_run=_last_run(ctx))
    except Unready as error:
        problem = Problem(what="the journal", reason=error.message, hint=error.hint)
        vitals = replace(vitals, problems=(*vitals.problems, problem))
    return replace(vitals, inside=_inside(ctx, spec, facts)) if answers else vitals


def _last_run(ctx: Context) -> LastRun | None:
    journals = ctx.journals()
    names = journals.names()
    if not names:
        return None
    run = journals.read(names[-1])
    alive = not run.outcome and run.pid > 0 and ctx.door().look(f"/proc/{run.pid}") is not None
    return LastRun(name=run.name, command_line=run.command_line, outcome=run.outcome, alive=alive)


def _inside(ctx: Context, spec: Spec, facts: Facts) -> tuple[Inside, ...]:
    from kvmkeep.cli.inside import Ready, look_inside, readiness, up_for  # noqa: PLC0415
    from kvmkeep.cli.moment import utc_now  # noqa: PLC0415

    guests: dict[str, Guest] = {guest.name: guest for guest in spec.guests}
    running = {
        domain.name: domain.uuid
        for domain in facts.domains
        if domain.state is DomainState.RUNNING and domain.ours
    }
    running = {name: uuid for name, uuid in running.items() if name in guests}
    now = utc_now()
    signs = look_inside(ctx.door(), ctx.connect, running, guests, now) if running else {}
    told = {Ready.YES: True, Ready.NO: False, Ready.UNKNOWN: None}
    return tuple(
        Inside(
            guest=name,
            ready=told[readiness(guests[name], sign)],
            silent=sign.agent.problem if sign.agent is not None else "",
            up=up_for(ctx.door(), name, now),
        )
        for name, sign in signs.items()
    )
