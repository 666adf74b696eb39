"""A look at the whole host for `status`, `check` and `report`, and the judgement on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.errors import SpecError, Unready
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.health import Finding, Severity, worst_first
from kvmkeep.model.journal import DONE
from kvmkeep.model.names import BACKUP_LOCK, LOCK_FILE, PROOF_LOCK
from kvmkeep.model.plan import Plan
from kvmkeep.model.vitals import GuestAnswer, LastRun, LockHolder, Vitals

if TYPE_CHECKING:
    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.journal import Run
    from kvmkeep.model.spec import Guest, Spec


LIMIT = 60
"""Seconds for the look of `status` and `report`; it takes one or two where nothing hangs."""
_LOCKS = (LOCK_FILE, BACKUP_LOCK, PROOF_LOCK)
"""Each run with a journal holds one of these."""


class Examined(Struct, frozen=True, kw_only=True):
    """What was seen of the host, what `apply` would do, and what is wrong, the worst first."""

    spec: Spec
    facts: Facts
    plan: Plan
    vitals: Vitals
    findings: tuple[Finding, ...]


def examined(ctx: Context, *, answers: bool, limit: float, stand_in: bool = False) -> Examined:
    """Look and judge within `limit` seconds; with `answers` the guests are asked as well.

    With `stand_in`, the last good spec counts where the present one has mistakes, and `NO_SPEC`
    where none was kept. Raises OSError where a file is not read in time.
    """
    from kvmkeep.cli.hints import spec_options
    from kvmkeep.health.judge import judge
    from kvmkeep.planning.plan import make_plan
    from kvmkeep.planning.running.host_down import NO_SPEC

    ctx = ctx.hurried(limit)
    spec, mistakes = _stand_in(ctx) if stand_in else (ctx.spec(), ())
    # Asked before and after: what was seen between may be of a run that has ended since.
    working = _held(ctx.door(), LOCK_FILE)
    facts = ctx.observe(spec)
    plan = make_plan(spec, facts, ()) if spec is not NO_SPEC else Plan()
    vitals = _vitals(ctx, spec, facts, answers=answers)
    holder = _holder(ctx.door())
    vitals = replace(vitals, working=working or _held(ctx.door(), LOCK_FILE), holder=holder)
    findings = judge(spec, facts, plan, vitals, spec_options(ctx.spec_dir))
    findings = worst_first((*mistakes, *findings))
    return Examined(spec=spec, facts=facts, plan=plan, vitals=vitals, findings=findings)


def _stand_in(ctx: Context) -> tuple[Spec, tuple[Finding, ...]]:
    """Return the spec, or what there is in its place, and a finding that tells of that."""
    from kvmkeep.planning.running.host_down import NO_SPEC
    from kvmkeep.spec.good import last_good

    try:
        return ctx.spec(), ()
    except SpecError as error:
        first, *others = error.message.splitlines()
    good = last_good(ctx.spec_dir, ctx.door())
    instead = (
        f"all else is judged by the last good one, of {good[1]}"
        if good is not None
        else "no good one is kept, so guests and networks are not looked at"
    )
    mistakes = Finding(
        name="spec-mistakes",
        severity=Severity.UNKNOWN,
        subject="spec",
        what=first + (f" (and {len(others)} more)" if others else ""),
        why=f"nothing can be changed by it until it is right; {instead}",
        todo="kvmkeep validate",
    )
    return (good[0] if good is not None else NO_SPEC), (mistakes,)


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
    from kvmkeep.observe.notebook import Notebook

    vitals, notebook = ctx.vitals(spec), Notebook(ctx.door())
    last = notebook.ask("the journal", last_run, None)
    problems = (*vitals.problems, *notebook.problems)
    vitals = replace(vitals, last_run=last, problems=problems)
    return replace(vitals, inside=_inside(ctx, spec, facts)) if answers else vitals


def last_run(door: Door) -> LastRun | None:
    """Return the newest run that was stopped, else the newest; raises OSError.

    Of all but the newest, those that were killed: what failed has told so, and others came since.
    """
    from kvmkeep.apply import journal
    from kvmkeep.host.clock import utc_now

    runs = (_last_run(door, run) for run in journal.last_runs(door, utc_now()))
    newest = next(runs, None)
    if newest is None or not (newest.alive or newest.outcome == DONE):
        return newest
    return next((run for run in runs if not (run.alive or run.outcome)), newest)


def _last_run(door: Door, run: Run) -> LastRun:
    # After a power cut, its number may be another program's; its lock is nobody's.
    alive = (
        not run.outcome
        and any(_held(door, path) for path in _LOCKS)
        and run.pid > 0
        and door.look(f"/proc/{run.pid}") is not None
    )
    return LastRun(name=run.name, command_line=run.command_line, outcome=run.outcome, alive=alive)


def _held(door: Door, path: str) -> bool:
    """Whether a run holds a lock; not where that can't be seen."""
    try:
        return door.locked(path)
    except OSError:
        return False


def _holder(door: Door) -> LockHolder | None:
    """Return who holds the host's lock and has begun no step; nobody where that can't be told."""
    from msgspec.json import decode

    from kvmkeep.apply.journal import has_begun

    try:
        if not door.locked(LOCK_FILE):
            return None
        holder = decode(door.read(LOCK_FILE) or b"", type=LockHolder)
        there = door.look(f"/proc/{holder.pid}") is not None
        idle = there and not has_begun(door, holder.pid, holder.since)
    except (OSError, ValueError):
        return None
    return holder if idle else None


def _inside(ctx: Context, spec: Spec, facts: Facts) -> tuple[GuestAnswer, ...]:
    from kvmkeep.cli.signs import Readiness, look_inside, readiness, up_for
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.console import has_said

    guests: dict[str, Guest] = {guest.name: guest for guest in spec.guests}
    up = [
        domain
        for domain in facts.domains
        if domain.state is DomainState.RUNNING and domain.ours and domain.name in guests
    ]
    running = {domain.name: domain.uuid for domain in up}
    said = {domain.name for domain in up if has_said(guests[domain.name], domain)}
    now = utc_now()
    signs = look_inside(ctx.door(), ctx.connect, running, guests, now, said=said) if running else {}
    told = {Readiness.YES: True, Readiness.NO: False, Readiness.UNKNOWN: None}
    return tuple(
        GuestAnswer(
            guest=name,
            ready=told[readiness(guests[name], sign)],
            silent=sign.agent.problem if sign.agent is not None else "",
            up=up_for(ctx.door(), name, now),
        )
        for name, sign in signs.items()
    )
