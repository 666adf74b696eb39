"""A look at the whole host for `status`, `check` and `report`, and the judgement on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Problem
from kvmkeep.model.vitals import GuestAnswer, LastRun, Vitals

if TYPE_CHECKING:
    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.health import Finding
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Guest, Spec


LIMIT = 60
"""Seconds for the look of `status` and `report`; it takes one or two where nothing hangs."""


class Examined(Struct, frozen=True, kw_only=True):
    """What was seen of the host, what `apply` would do, and what is wrong, the worst first."""

    spec: Spec
    facts: Facts
    plan: Plan
    vitals: Vitals
    findings: tuple[Finding, ...]


def examined(ctx: Context, *, answers: bool, limit: float) -> Examined:
    """Look and judge within `limit` seconds; with `answers` the guests are asked as well.

    Raises OSError where a file is not read in time.
    """
    from kvmkeep.cli.hints import spec_options
    from kvmkeep.health.judge import judge
    from kvmkeep.planning.plan import make_plan

    ctx = ctx.hurried(limit)
    spec = ctx.spec()
    facts = ctx.observe(spec)
    plan = make_plan(spec, facts, ())
    vitals = _vitals(ctx, spec, facts, answers=answers)
    findings = judge(spec, facts, plan, vitals, spec_options(ctx.spec_dir))
    return Examined(spec=spec, facts=facts, plan=plan, vitals=vitals, findings=findings)


def examined_or_unready(ctx: Context, *, answers: bool) -> Examined:
    """Look and judge within `LIMIT` seconds; raises Unready where a file is not read in time."""
    try:
        return examined(ctx, answers=answers, limit=LIMIT)
    except OSError as error:
        raise Unready(unread(error), hint="what is wrong with it: kvmkeep check") from error


def unread(error: OSError) -> str:
    """Return which file could not be read in time, and why."""
    return f"{error.filename or 'a file'}: {error.strerror or error}"


def _vitals(ctx: Context, spec: Spec, facts: Facts, *, answers: bool) -> Vitals:
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


def _inside(ctx: Context, spec: Spec, facts: Facts) -> tuple[GuestAnswer, ...]:
    from kvmkeep.cli.moment import utc_now
    from kvmkeep.cli.signs import Ready, look_inside, readiness, up_for

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
        GuestAnswer(
            guest=name,
            ready=told[readiness(guests[name], sign)],
            silent=sign.agent.problem if sign.agent is not None else "",
            up=up_for(ctx.door(), name, now),
        )
        for name, sign in signs.items()
    )
