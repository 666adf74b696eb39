"""Backups on the command line: `GUEST@TIME`, and which repositories there are to look into."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.guests import checked
from kvmkeep.errors import Unready, UsageError
from kvmkeep.model.backup import BackupEntry
from kvmkeep.model.plan import Note
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from kvmkeep.cli.context import Context
    from kvmkeep.host.lock import Lock
    from kvmkeep.model.backup import BackupFacts, RepositoryFacts
    from kvmkeep.model.spec import Spec
    from kvmkeep.model.units import GuestName


def add_repositories(parser: ArgumentParser) -> None:
    """Add `--repository`."""
    parser.add_argument(
        "--repository", metavar="NAME", action="append", default=[],
        help="only in this repository; may be given several times",
    )  # fmt: skip


def parse_choice(text: str) -> tuple[str, str]:
    """Return guest and moment of `GUEST@TIME`; without a time, an empty moment: the last one."""
    from kvmkeep.model.backup import parse_moment

    guest, at, moment = text.partition("@")
    if at:
        try:
            parse_moment(moment)
        except ValueError as error:
            raise UsageError(f"{printable(moment)} is {error}", hint=f"{_LIST} {guest}") from error
    return checked(guest), moment


class Chosen(Struct, frozen=True, kw_only=True):
    """A backup, and what is to be told of a newer one that is gone, or that there may be."""

    entry: BackupEntry
    notes: tuple[Note, ...] = ()


def choose(ctx: Context, spec: Spec, text: str, names: Iterable[str] = ()) -> Chosen:
    """Return the backup that `GUEST[@TIME]` means: of that moment, or the last one.

    Hosts may share a repository, and have guests of the same name: one of another host is meant
    only where this host has none, such as after it got another name. So is one that lacks a disk.
    Raises UsageError where there is none, and Unready where that can't be known, or where the last
    one can't be seen: an older one is taken only by its time.
    """
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.backup import moment_order, recency
    from kvmkeep.observe.backup_care import observe_made
    from kvmkeep.planning.backups.owner import is_meant
    from kvmkeep.planning.backups.vanished import vanished, vanished_note

    guest, moment = parse_choice(text)
    made = observe_made(ctx.door())
    seen = look_into(ctx, spec, names)
    entries = [e for one in seen for e in one.entries if moment in {"", e.moment}]
    found = [one for one in entries if is_meant(spec, one, guest)]
    if not found:
        hidden = out_of_sight(seen)
        what = f"no backup of {moment}" if moment else "no backup"
        if hidden:
            raise Unready(f"guest {guest} has {what} that can be seen: repository {hidden} can't")
        others = next((one for one in entries if one.guest == guest), None)
        if others is not None:
            raise _of_another(spec, f"guest {guest} has {what}", others)
        raise UsageError(f"guest {guest} has {what}", hint=_look_at(spec, guest, made, seen))
    now = utc_now()
    entry = max(
        found, key=lambda one: (one.host == spec.host.name, one.whole, *recency(one.moment, now))
    )
    newer = [
        one
        for one in vanished(made, seen)
        if one.identity == entry.identity and moment_order(one.moment) > moment_order(entry.moment)
    ]
    gone = tuple(vanished_note(guest, one, seen) for one in newer)
    unseen = () if moment else _unseen(spec, guest, entry, made, seen)
    return Chosen(entry=entry, notes=(*gone, *unseen))


def _unseen(
    spec: Spec, guest: str, entry: BackupEntry, made: BackupFacts, seen: tuple[RepositoryFacts, ...]
) -> tuple[Note, ...]:
    """Tell of a newer backup that there may be in a repository that was not to be looked into.

    Raises Unready where it is known, and nobody chose the repositories to look into.
    """
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.backup import RepositoryState
    from kvmkeep.planning.backups.out_of_sight import newer_unlisted

    listed = [one.name for one in seen if one.state is RepositoryState.READY]
    last = newer_unlisted(made, listed, entry, spec.host.name, utc_now())
    hidden = out_of_sight(seen)
    if last is None:
        known = made.last_of(entry.identity) is not None
        text = f"what repository {hidden} has of it can't be seen: perhaps a newer backup"
        return () if known or not hidden else (Note(subject=f"guest {guest}", text=text),)
    where = f"the last backup of guest {guest}, {guest}@{last.moment}, is in {last.repository}"
    spec_has = [one.name for one in spec.repositories]
    if last.repository in spec_has and last.repository not in {one.name for one in seen}:
        text = f"{where}, which was not to be looked into"
        return (Note(subject=f"guest {guest}", text=text),)
    why = "can't be seen" if last.repository in spec_has else "the spec does not name any more"
    raise Unready(
        f"{where}, which {why}", hint=f"to take an older one, name it: {guest}@{entry.moment}"
    )


def _look_at(spec: Spec, guest: str, made: BackupFacts, seen: Iterable[RepositoryFacts]) -> str:
    """Return what to do where a guest has no such backup: perhaps it had one."""
    from kvmkeep.planning.backups.owner import identity_of
    from kvmkeep.planning.backups.vanished import vanished, vanished_note

    identity = identity_of(spec, guest)
    gone = next((one for one in vanished(made, seen) if one.identity == identity), None)
    return f"look at: {_LIST} {guest}" if gone is None else vanished_note(guest, gone, seen).text


def _of_another(spec: Spec, what: str, entry: BackupEntry) -> UsageError:
    """Return why a guest does not get the backups of one that had its name before."""
    from kvmkeep.planning.backups.owner import owner

    guest = owner(spec, entry)
    what = f"{what}; those that are stored under that name are of"
    if guest is not None:
        return UsageError(f"{what} {guest.name}", hint=f"look at: {_LIST} {guest.name}")
    hint = f"a guest of the spec that has `identity: {entry.identity}` can have them"
    return UsageError(f"{what} another guest", hint=hint)


def out_of_sight(seen: Iterable[RepositoryFacts]) -> str:
    """Return the names of repositories of which nobody knows what they hold; empty for none.

    Where a mount is missing, its directory is there and empty.
    """
    from kvmkeep.model.backup import RepositoryState

    return ", ".join(one.name for one in seen if one.state is not RepositoryState.READY)


def look_into(ctx: Context, spec: Spec, names: Iterable[str] = ()) -> tuple[RepositoryFacts, ...]:
    """Return what repositories hold: those of that name, or all; says which can't be seen."""
    from kvmkeep.model.backup import RepositoryState
    from kvmkeep.model.units import Label
    from kvmkeep.planning.backups.init import absent_hint

    found = ctx.repositories(spec, chosen_repositories(names, spec))
    for one in found:
        if one.state is RepositoryState.ABSENT:
            url = spec.repository(Label(one.name)).url
            ctx.streams.talk(
                f"repository {one.name}: there is nothing at {url}; {absent_hint(one.name)}"
            )
        elif one.state is not RepositoryState.READY:
            ctx.streams.talk(f"repository {one.name} can't be seen: {one.state}: {one.said}")
    return found


def backup_lock(ctx: Context) -> Lock:
    """Return the lock that a run holds which changes what repositories hold."""
    from kvmkeep.model.names import BACKUP_LOCK

    return ctx.stages.lock(BACKUP_LOCK)


def due(
    ctx: Context, whose: Callable[[Spec, BackupFacts, datetime], tuple[GuestName, ...]]
) -> tuple[GuestName, ...]:
    """Return the guests whose time has come, as one of the rules of `backup_due` tells."""
    from kvmkeep.host.clock import utc_now
    from kvmkeep.observe.backup_care import observe_memos

    # The spec's times are local ones.
    now = utc_now().astimezone()
    return whose(ctx.spec(), observe_memos(ctx.door(), now), now)


def chosen_repositories(names: Iterable[str], spec: Spec) -> tuple[str, ...]:
    """Return the names of repositories: those that were named, or all; raises UsageError."""
    known = [one.name for one in spec.repositories]
    wanted = tuple(names) or tuple(known)
    for name in wanted:
        if name not in known:
            shown = ", ".join(known) or "none"
            raise UsageError(f"there is no repository {printable(name)} (known: {shown})")
    if not wanted:
        raise UsageError(
            "the spec has no repository for backups", hint="write `repositories` into host.yaml"
        )
    return wanted


_LIST = "kvmkeep backup list"
