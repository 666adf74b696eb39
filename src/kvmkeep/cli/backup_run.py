"""`kvmkeep backup run`: back guests up, one after the other; they go on running."""

from __future__ import annotations

from contextlib import closing
from functools import cache, partial
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import backup_lock, due
from kvmkeep.cli.bug import report_bug
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.ended import Ended, one_by_one, tell
from kvmkeep.cli.explain import explain
from kvmkeep.cli.gathering import one_document
from kvmkeep.cli.goal import (
    Goal,
    demand_own_libvirt,
    noting,
    reach_without_asking,
    show,
    tell_notes,
)
from kvmkeep.cli.guests import add_choice, chosen
from kvmkeep.cli.level import add_consistency, at_level, chosen_level, chosen_size
from kvmkeep.cli.plan import demand_guests
from kvmkeep.cli.progress import make_ui
from kvmkeep.errors import UNTOUCHED, Declined, Interrupted, KvmkeepError, NotStored, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Planner
    from kvmkeep.host.lock import Lock
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Note, Plan
    from kvmkeep.model.snapshot import Level
    from kvmkeep.model.spec import Spec
    from kvmkeep.model.units import Size

    Moment = Callable[[], str]

VERB = "backup run"
DUE_PATIENCE = 12 * 3600.0
"""Seconds that a run by timer waits for others in all: what it drops is done a day later."""


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, and how."""

    guests: tuple[str, ...]
    label: tuple[str, ...]
    all: bool
    due: bool
    consistency: str
    size: str
    forget: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_choice(parser, "back up")
    parser.add_argument(
        "--all", action="store_true", help="instead of names: all guests that the spec backs up"
    )
    parser.add_argument(
        "--due", action="store_true",
        help="instead of names: all whose time has come since their last backup",
    )  # fmt: skip
    parser.add_argument(
        "--forget", action="store_true",
        help="then, whatever became of it, do as `forget --all --yes`",
    )  # fmt: skip
    add_consistency(parser)
    parser.add_argument(
        "--size", default="",
        help="size of each snapshot that is read, such as 2GiB; default: full size, or what there "
        "is room for. One that gets full meanwhile is lost, and the backup fails",
    )  # fmt: skip
    add_dry_run(parser)


class Job(Struct, frozen=True, kw_only=True):
    """How each guest is backed up; `lock` is that of backups, which this run holds.

    Other runs are waited for until the door's clock shows `until`, or a little while.
    """

    level: Level | None
    size: Size | None
    lock: Lock
    until: float


def run(args: Args, ctx: Context) -> int:
    """Back them up; one that fails keeps no other from being backed up."""
    if not args.forget:
        return _run(args, ctx)
    forget = partial(_forget, dry_run=args.dry_run)
    runs = (
        ("not backed up, or not all", partial(_run, args)),
        ("nothing was forgotten, or not everywhere", forget),
    )
    return one_by_one(runs, ctx)


def _forget(ctx: Context, *, dry_run: bool) -> int:
    from kvmkeep.cli import backup_forget

    wish = backup_forget.Args(backups=(), all=True, repository=(), yes=True, dry_run=dry_run)
    return backup_forget.run(wish, ctx)


def _run(args: Args, ctx: Context) -> int:
    names = guests_of(args, ctx)
    if not names:
        return _none_is_due(ctx, "runs" if args.dry_run else "guests")
    level, size = chosen_level(args.consistency), chosen_size(args.size, "--size")
    if args.dry_run:
        with one_document(ctx) as each:
            for name in names:
                planner = taking(name, _now, size)(level)
                show(_goal(name, planner, each), each)
        return 0
    demand_own_libvirt(VERB, ctx)
    demand_guests(ctx.spec(), names)
    patience = DUE_PATIENCE if args.due else 0.0
    return back_up(partial(guests_of, args, ctx), ctx, level, size, patience)


def guests_of(args: Args, ctx: Context) -> tuple[str, ...]:
    """Return the guests that are meant; raises UsageError where none was chosen."""
    if not args.all and not args.due:
        return chosen(args.guests, args.label, ctx)
    if args.guests or args.label or (args.all and args.due):
        raise UsageError("names, --label, --all and --due are four ways to choose: use one of them")
    if args.due:
        from kvmkeep.planning.backups.due import due_backups

        return due(ctx, due_backups)
    names = tuple(one.name for one in ctx.spec().guests if one.backup is not None)
    if not names:
        raise UsageError("the spec backs no guest up", hint="write `backup` into host.yaml")
    return names


def back_up(
    choose: Callable[[], tuple[str, ...]],
    ctx: Context,
    level: Level | None,
    size: Size | None,
    patience: float,
) -> int:
    """Back guests up under the lock of backups, and tell how it went.

    Once others are waited for, some may be due no more, so they are chosen then.
    """
    from kvmkeep.apply.ui import SteadyUi
    from kvmkeep.host.lock import HeldLock

    until = ctx.door().clock() + patience
    argv = ("kvmkeep", *ctx.argv)
    with (
        closing(make_ui(ctx.streams)) as ui,
        backup_lock(ctx).hold(VERB, argv, patience=patience, waits=SteadyUi(ui).waiting),
    ):
        ui.close()
        names = choose()
        if not names:
            return _none_is_due(ctx, "guests")
        job = Job(level=level, size=size, lock=HeldLock(), until=until)
        ended: list[Ended] = []
        for name in names:
            try:
                ended.append(_one(name, ctx, job))
            except Declined as stopped:
                if not ended:
                    raise
                # Nothing was touched of this one, but others were backed up before.
                raise Interrupted(stopped.message, hint=stopped.hint) from stopped
    return tell(ended, ctx, "BACKUP")


def _none_is_due(ctx: Context, key: str) -> int:
    ctx.streams.talk("No backup is due.")
    if ctx.json:
        ctx.print_json({key: []})
    return 0


def _one(name: str, ctx: Context, job: Job) -> Ended:
    """Back one guest up; what was taken for it goes in any case. A refusal has taken nothing."""
    clock = ctx.door().clock
    began = clock()
    # It is that of the first look, once others have been waited for.
    moment = cache(_now)
    error: KvmkeepError | None = None
    taken = False
    try:
        _take(name, moment, ctx, job)
        taken = True
        reach_without_asking(_goal(name, storing(name, moment, ctx), ctx, job.lock), ctx)
    except Interrupted:
        _drop(ctx)
        raise
    except KvmkeepError as failed:
        error = failed
        if taken and isinstance(failed, UNTOUCHED):
            # Its own exit code would promise that nothing was touched.
            error = NotStored(failed.message, hint=failed.hint)
        taken = taken or not isinstance(failed, UNTOUCHED)
        explain(error, ctx.streams, begin=f"kvmkeep: guest {name} was not backed up: ")
    except Exception as bug:  # noqa: BLE001 - one guest's bug must not cost the others theirs
        report_bug(bug, ctx.streams, debug=ctx.debug)
        error, taken = KvmkeepError(f"a bug in kvmkeep: {type(bug).__name__}: {bug}"), True
    dropped = _drop(ctx, job.until - clock()) if taken else None
    return Ended(guest=name, seconds=clock() - began, error=error or dropped)


def _take(name: str, moment: Moment, ctx: Context, job: Job) -> None:
    def take(planner: Planner) -> int:
        left = job.until - ctx.door().clock()
        goal = noting(_goal(name, planner, ctx), notes, kept=True)
        reach_without_asking(goal, ctx, patience=left)
        return 0

    notes: list[Note] = []
    at_level(taking(name, moment, job.size), job.level, take, ctx)
    # What is known then stays true: such as a disk that is in no backup.
    tell_notes(notes, ctx)


def _drop(ctx: Context, patience: float = 0.0) -> KvmkeepError | None:
    """Delete what was taken; where that fails, the next run does it."""
    from kvmkeep.planning.backups.take import plan_drop

    try:
        reach_without_asking(Goal(verb=VERB, planner=plan_drop), ctx, patience=patience)
    except KvmkeepError as error:
        ctx.streams.talk(f"kvmkeep: what was taken for the backup is still there: {error.message}")
        ctx.streams.talk("  The next `kvmkeep backup run` deletes it.")
        if isinstance(error, Interrupted):
            # This guest was touched, whatever this part of its run did.
            raise Interrupted(error.message, hint=error.hint) from error
        return error
    return None


def taking(name: str, moment: Moment, size: Size | None) -> Callable[[Level | None], Planner]:
    """Return the goal of a set to read from, by its level."""
    from kvmkeep.model.units import GuestName
    from kvmkeep.planning.backups.take import Beginning, plan_take

    def planner(level: Level | None) -> Planner:
        def plan(spec: Spec, facts: Facts) -> Plan:
            named = GuestName(name)
            wish = Beginning(guest=named, moment=moment(), level=level, size=size)
            return plan_take(spec, facts, wish)

        return plan

    return planner


def storing(name: str, moment: Moment, ctx: Context) -> Planner:
    """Return the goal of a backup in the repository."""
    import posixpath

    from kvmkeep.model.units import GuestName
    from kvmkeep.planning.backups.send import Storing, plan_send

    spec_dir = posixpath.abspath(ctx.spec_dir)
    wish = Storing(guest=GuestName(name), moment=moment(), spec_dir=spec_dir)
    return lambda spec, facts: plan_send(spec, facts, wish)


def _goal(name: str, planner: Planner, ctx: Context, lock: Lock | None = None) -> Goal:
    """Return a goal for one guest, which looks into the repository of its backups."""
    guest = ctx.spec().guest(name)
    known = () if guest is None or guest.backup is None else (guest.backup.repository,)
    verb = f"{VERB} {name}"
    return Goal(verb=verb, planner=planner, guests=(name,), repositories=known, lock=lock)


def _now() -> str:
    from kvmkeep.host.clock import utc_now

    return utc_now().isoformat()
