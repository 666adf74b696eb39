"""`kvmkeep backup forget`: drop backups that the spec does not keep, or one that is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import (
    add_repositories,
    backup_lock,
    chosen_repositories,
    look_into,
    parse_choice,
)
from kvmkeep.cli.backup_upkeep import keep_up
from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach, tell_notes
from kvmkeep.errors import Busy, UsageError
from kvmkeep.host.clock import utc_now
from kvmkeep.model.plan import Note, Report

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.backup import BackupFacts, RepositoryFacts
    from kvmkeep.planning.backups.forget import Forgetting


class Args(Struct, frozen=True, kw_only=True):
    """Of which guests, or which one; `all`: of all guests that the spec backs up."""

    backups: tuple[str, ...]
    all: bool
    repository: tuple[str, ...]
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "backups", metavar="GUEST[@TIME]", nargs="*",
        help="guests whose backups are kept as the spec says, and no longer; with a time, just "
        "that backup",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help="instead of names: all guests that the spec backs up"
    )
    add_repositories(parser)
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Forget them; what was forgotten keeps its room until `backup prune`."""
    from kvmkeep.planning.backups.forget import plan_forget, unusable

    wish = _wish(args, ctx)
    repositories = _repositories(args, wish, ctx)
    guests = () if wish.moment else wish.guests
    reading = ctx.reading(exclusive=True)
    goal = Goal(
        verb="backup forget",
        planner=lambda spec, facts: plan_forget(spec, facts, wish),
        guests=guests,
        repositories=repositories,
        lock=backup_lock(ctx),
        reading=reading,
    )
    try:
        if args.all:
            return keep_up(goal, ctx, unusable, dry_run=args.dry_run, yes=args.yes)
        return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run, tells=True)
    except Busy as busy:
        if not args.all or busy.lock != reading.path:
            raise
        text = f"what the spec does not keep stays until the next time: {busy.message}"
    note = Note(subject="repositories", text=text)
    tell_notes([note], ctx)
    if ctx.json:
        from kvmkeep.report.json import report_json

        ctx.streams.json(report_json(Report(steps=(), total=0, journal=""), [note]))
    return 0


def _wish(args: Args, ctx: Context) -> Forgetting:
    from kvmkeep.model.units import GuestName
    from kvmkeep.planning.backups.forget import Forgetting

    if args.all == bool(args.backups):
        raise UsageError("name guests, or use --all")
    chosen = [parse_choice(one) for one in args.backups]
    moments = [moment for _, moment in chosen if moment]
    if moments and len(chosen) > 1:
        raise UsageError("a backup with its time is forgotten alone", hint="name just that one")
    names = [name for name, _ in chosen]
    if args.all:
        names = [one.name for one in ctx.spec().guests if one.backup is not None]
    return Forgetting(
        guests=tuple(GuestName(name) for name in names),
        now=utc_now().isoformat(),
        moment=moments[0] if moments else "",
        several=args.all,
        named=args.repository,
    )


def _repositories(args: Args, wish: Forgetting, ctx: Context) -> tuple[str, ...]:
    """Return where to forget; refuse a backup that there is not.

    To a planner, that would be forgotten already. What is missed in a repository that left the
    spec, or can't be used, is to be missed no more: there is nothing to look for.
    """
    from msgspec.structs import replace

    from kvmkeep.observe.backup_care import observe_made
    from kvmkeep.planning.backups.owner import identity_of
    from kvmkeep.planning.backups.vanished import lost_sight_of

    spec = ctx.spec()
    if not wish.moment:
        return chosen_repositories(args.repository, spec)
    made = observe_made(ctx.door())
    identity = identity_of(spec, wish.guests[0])
    noted = lost_sight_of(made, identity, wish.moment)
    if (
        noted
        and not args.repository
        and noted.repository not in {one.name for one in spec.repositories}
    ):
        return ()
    repositories = chosen_repositories(args.repository, spec)
    found = look_into(ctx, spec, repositories)
    dark = lost_sight_of(replace(made, repositories=found), identity, wish.moment)
    if dark and dark.repository in repositories:
        return tuple(one for one in repositories if one != dark.repository)
    _demand(wish, made, found, ctx)
    return repositories


def _demand(
    wish: Forgetting, made: BackupFacts, found: tuple[RepositoryFacts, ...], ctx: Context
) -> None:
    from kvmkeep.planning.backups.owner import identity_of, is_meant, stored_in
    from kvmkeep.planning.backups.vanished import vanished

    spec, (guest,) = ctx.spec(), wish.guests
    gone = {(one.identity, one.moment) for one in vanished(made, found)}
    if (identity_of(spec, guest), wish.moment) in gone:
        return  # it is not to be missed any more
    # A run of this line that was killed has left its disks.
    stored = (each for one in found for each in stored_in(one))
    known = {(each.moment, each.host) for each in stored if is_meant(spec, each, guest)}
    if (wish.moment, spec.host.name) not in known:
        raise UsageError(
            f"there is no backup {guest}@{wish.moment} that was made on this host",
            hint=f"kvmkeep backup list {guest}",
        )
