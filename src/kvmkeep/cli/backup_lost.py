"""What a repository has of a host that was lost: found and looked at before anything is done."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.cli.backup_choice import look_into, out_of_sight
from kvmkeep.cli.backup_restore import restore_first
from kvmkeep.cli.backup_show import read_manifest
from kvmkeep.cli.backup_subject import stored_file
from kvmkeep.errors import Refused, SpecError, Unready, UsageError
from kvmkeep.host.clock import utc_now
from kvmkeep.model.backup import recency
from kvmkeep.model.backup_manifest import GUEST_SPEC, HOST_SPEC
from kvmkeep.model.host_units import PROGRAM
from kvmkeep.model.text import printable
from kvmkeep.model.units import Label

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from kvmkeep.cli.context import Context
    from kvmkeep.model.backup import BackupEntry
    from kvmkeep.model.backup_policy import Repository
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.spec import Spec


class Place(Struct, frozen=True, kw_only=True):
    """Where the backups of a host without a spec are, and of which host; empty: not said."""

    url: str
    engine: str
    password_file: str
    environment_file: str
    host: str


class StoredHost(Struct, frozen=True, kw_only=True):
    """The host file as it was at a backup, for a host without one, and the place that was named."""

    content: bytes
    entry: BackupEntry
    repository: Repository


class Found(Struct, frozen=True, kw_only=True):
    """What comes back: guests, what they need first, by their last backups.

    `spec` is what the whole spec will be. `unmet` are needs of theirs which are not there, and do
    not come back now: of each guest that has some. `host` is its host file, where there is none.
    `hidden` are repositories of which nobody knows what they hold.
    """

    entries: tuple[BackupEntry, ...]
    spec: Spec
    unmet: dict[str, tuple[str, ...]]
    host: StoredHost | None = None
    hidden: str = ""


def find_lost(place: Place, ctx: Context, names: frozenset[str]) -> Found:
    """Return what comes back, looked at as a whole before anything is done; raises KvmkeepError."""
    if not ctx.has_spec():
        return _of_url(place, ctx, names)
    if place.url or place.host:
        ctx.streams.talk(
            f"{ctx.spec_dir}/{HOST_SPEC} is there: "
            "the host and the repositories are those it names."
        )
    return _of_spec(ctx, names)


def _of_spec(ctx: Context, names: frozenset[str]) -> Found:
    """Return what the host's own repositories have and its spec has not."""
    spec = ctx.spec()
    seen = look_into(ctx, spec)
    hidden = out_of_sight(seen)
    entries = [one for each in seen for one in each.entries]
    mine = [one for one in entries if one.host == spec.host.name]
    if hidden and (not mine or names - {one.guest for one in mine}):
        raise _unknown(hidden)
    if not mine:
        raise _of_other_hosts(spec.host.name, {one.host for one in entries})
    there = {str(guest.name) for guest in spec.guests}
    known = {str(guest.identity) for guest in spec.guests}
    wanted = _wanted(entries, spec.host.name, names, utc_now())
    _tell_outdone([one for one in mine if one.identity not in known], names, ctx)
    lacking = {
        name: one for name, one in wanted.items() if name not in there and one.identity not in known
    }
    if hidden and not lacking:
        raise _unknown(hidden)
    repositories = {one.name: one for one in spec.repositories}
    files = {
        f"guests/{name}.yaml": _file(ctx, repositories[Label(one.repository)], one, GUEST_SPEC)
        for name, one in lacking.items()
    }
    return replace(_in_order(ctx, lacking, files), hidden=hidden)


def _unknown(hidden: str) -> Unready:
    return Unready(
        f"repository {hidden} can't be seen, so nobody knows what there is to bring back",
        hint="look at: kvmkeep backup list",
    )


def _of_other_hosts(host: str, others: set[str]) -> UsageError:
    """Return why nothing is this host's: it is not the same as that nothing was lost."""
    if not others:
        return UsageError("no backup is stored", hint="look at: kvmkeep backup list")
    known = " and ".join(sorted(map(printable, others)))
    wanted = printable(min(others)).strip("'") if len(others) == 1 else "ONE OF THEM"
    return UsageError(
        f"the backups are of {known}, and host.name is {printable(host)}",
        hint=f"if they are of this host, write `host.name: {wanted}` into {HOST_SPEC}: UUIDs and "
        "MAC addresses are derived from it",
    )


def _of_url(place: Place, ctx: Context, names: frozenset[str]) -> Found:
    """Return what a repository has, for a host that has no spec yet."""
    from kvmkeep.host.repositories import look
    from kvmkeep.model.backup import RepositoryState

    repository = _repository(place)
    door = ctx.door()
    seen = look(door, repository, door.which(PROGRAM))
    if seen.state is not RepositoryState.READY:
        said = f": {seen.said}" if seen.said else ""
        raise Unready(
            f"the repository at {repository.url} can't be read ({seen.state}){said}",
            hint="look at --url and --password-file",
        )
    host = _host(place.host, {one.host for one in seen.entries}, repository.url)
    now = utc_now()
    wanted = _wanted(seen.entries, host, names, now)
    _tell_outdone([one for one in seen.entries if one.host == host], names, ctx)
    newest = max(wanted.values(), key=lambda one: recency(one.moment, now))
    host_file = _file(ctx, repository, newest, HOST_SPEC)
    files = {
        f"guests/{name}.yaml": _file(ctx, repository, one, GUEST_SPEC)
        for name, one in wanted.items()
    }
    try:
        found = _in_order(ctx, wanted, {HOST_SPEC: host_file, **files})
    except SpecError as error:
        hint = f"{_of_template(ctx, repository, newest)}{error.hint}"
        raise SpecError(error.message, hint=hint) from error
    stored = StoredHost(content=host_file, entry=newest, repository=repository)
    return replace(found, host=stored)


def _of_template(ctx: Context, repository: Repository, entry: BackupEntry) -> str:
    """Return how to have the site's own template, without which the host file can't be read.

    It is not written where the host file says: others may have written both.
    """
    template = read_manifest(ctx, repository, entry).template
    if not template:
        return ""
    line = _fetching(repository, ctx.door().which(PROGRAM), entry, template)
    return (
        f"if there is no template where {HOST_SPEC} names it, fetch it: {line} > THAT FILE - look "
        "through it (`apply` makes guests of it), and type the same line again. Else "
    )


def _fetching(repository: Repository, program: str, entry: BackupEntry, name: str) -> str:
    """Return the line that writes a file of a backup to its stdout."""
    from kvmkeep.planning.repositories.engine import driver

    words = driver(repository, program).get(entry.manifest, f"{entry.path}/{name}")
    return shlex.join(words)


def demand_repositories(found: Found, ctx: Context) -> None:
    """Refuse where the host file, once it is back, would not lead to the backups; raises Unready.

    It names its own URLs, and its own password files, which have to lie there. Others may have
    written it: so these are asked, with the keys that it names, only by who has seen them.
    """
    if found.host is None:
        return
    seen = ctx.repositories(found.spec, (one.name for one in found.spec.repositories))
    there = {(one.guest, one.moment) for each in seen for one in each.entries}
    if all((one.guest, one.moment) in there for one in found.entries):
        return
    said = {one.name: f"{one.state}{one.said and ': '}{one.said}" for one in seen}
    lines = [
        f"  {one.name} at {one.url}, with the password in {one.password_file}: {said[one.name]}"
        for one in found.spec.repositories
    ]
    raise Unready(
        "\n".join(("with the host file of the backup, the backups can't be seen:", *lines)),
        hint="put the password where the host file wants it; or write "
        f"{ctx.spec_dir}/{HOST_SPEC} by hand, and leave --url out",
    )


def demand_host(found: Found, facts: Facts, ctx: Context) -> None:
    """Refuse before anything is written what this host can't take; raises Refused, Unready.

    That is where no network could be made, or the disks have no room, or no array to lie on.
    """
    from kvmkeep.planning.backups.rebuild import plan_networks, shortages
    from kvmkeep.report.outcome import refusal_text

    networks = plan_networks(found.spec, facts)
    short = shortages(found.spec, facts, found.entries)
    plan = replace(networks, refusals=(*networks.refusals, *short))
    if plan.refusals:
        hint = _by_hand(found, facts, ctx) if networks.refusals else ""
        raise (Unready if plan.unready else Refused)(refusal_text(plan), hint=hint)


def _by_hand(found: Found, facts: Facts, ctx: Context) -> str:
    """Return how to have a host file that is not there yet, to correct it."""
    if found.host is None:
        return ""
    host = found.host
    line = _fetching(host.repository, facts.units.command, host.entry, HOST_SPEC)
    folder = shlex.quote(ctx.spec_dir)
    return (
        f"where this host has other names, fetch that file: mkdir -p {folder}; {line} > "
        f"{folder}/{HOST_SPEC} - correct it, keep its `host.name`, and type: kvmkeep backup rebuild"
    )


def _repository(place: Place) -> Repository:
    from kvmkeep.model.backup_policy import Engine, Repository
    from kvmkeep.spec.backups import parse_file, parse_place

    if not place.url or not place.password_file:
        raise UsageError(
            "there is no spec that would say where the backups are",
            hint="kvmkeep backup rebuild --url URL --password-file FILE",
        )
    engine = Engine(place.engine)
    try:
        return Repository(
            name=Label("rebuild"),
            engine=engine,
            url=parse_place(place.url, engine, keys=bool(place.environment_file)),
            password_file=parse_file(place.password_file),
            environment_file=parse_file(place.environment_file) if place.environment_file else "",
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _host(asked: str, hosts: set[str], url: str) -> str:
    """Return whose backups are meant; raises UsageError where that is not clear."""
    if not hosts:
        raise UsageError(f"there is no backup at {url}")
    known = ", ".join(sorted(map(printable, hosts)))
    if asked and asked not in hosts:
        raise UsageError(f"there is no backup of the host {printable(asked)} (known: {known})")
    if not asked and len(hosts) > 1:
        raise UsageError(f"there are backups of several hosts: {known}", hint="name one: --host")
    return asked or next(iter(hosts))


def _wanted(
    entries: Iterable[BackupEntry], host: str, names: frozenset[str], now: datetime
) -> dict[str, BackupEntry]:
    """Return the last backup of each guest that is meant; raises UsageError where there is none."""
    from kvmkeep.planning.backups.rebuild import last_backups

    mine = [one for one in entries if one.host == host]
    guests = {one.guest for one in mine}
    missing = sorted(names - guests)
    if missing:
        known = ", ".join(map(printable, sorted(guests)))
        raise UsageError(
            f"there is no backup of {', '.join(missing)} on {printable(host)} (known: {known})"
        )
    asked = (one for one in mine if not names or one.guest in names)
    return last_backups(asked, host, now)


def _tell_outdone(mine: Iterable[BackupEntry], names: frozenset[str], ctx: Context) -> None:
    from kvmkeep.planning.backups.rebuild import outdone

    for one in outdone(mine, utc_now()):
        if names and one.guest not in names:
            continue
        backup = f"{one.guest}@{one.moment}"
        ctx.streams.talk(
            f"{backup} is the last backup of an older guest that had this name, of the identity "
            f"{printable(one.identity)}: it does not come back. Its disks can be had: kvmkeep "
            f"backup restore {backup} --disk {one.disks[0].disk} --to FILE"
        )


def _file(ctx: Context, repository: Repository, entry: BackupEntry, name: str) -> bytes:
    """Return a file of the spec as it was at a backup; raises Unready."""
    manifest = read_manifest(ctx, repository, entry)
    if name not in {manifest.host_spec, manifest.guest_spec}:
        raise Unready(
            f"the backup {entry.guest}@{entry.moment} has no {name}",
            hint="write the spec by hand, then bring the guests back one by one: "
            "kvmkeep backup restore",
        )
    return stored_file(repository, entry, name, ctx)


def _in_order(ctx: Context, wanted: dict[str, BackupEntry], files: dict[str, bytes]) -> Found:
    """Return the backups in the order of their guests' needs, and the spec; raises SpecError.

    The whole spec is read as it will be, so that a mistake is told before anything is done.
    """
    from kvmkeep.model.units import GuestName
    from kvmkeep.planning.running.order import in_order
    from kvmkeep.spec.load import load
    from kvmkeep.spec.without_needs import without_needs

    if not wanted:
        return Found(entries=(), spec=ctx.spec(), unmet={})
    here = {*wanted, *ctx.guest_names()}
    found = {file: without_needs(content, here) for file, content in files.items()}
    unmet = {name: found[f"guests/{name}.yaml"].missing for name in wanted}
    try:
        also = {file: one.content for file, one in found.items()}
        spec = load(ctx.spec_dir, ctx.door(), also=also)
    except SpecError as error:
        names = " ".join(sorted(wanted))
        raise SpecError(
            f"with the files of the backups, the spec would have mistakes:\n{error.message}",
            hint=f"name others (guests: {names}); or write the file of one by hand, without what "
            f"is wrong in it, and {restore_first('GUEST')}",
        ) from error
    order = in_order(spec, (GuestName(name) for name in wanted))
    for refusal in order.refusals:
        raise Unready(f"{refusal.subject}: {refusal.reason}", hint=refusal.hint)
    return Found(
        entries=tuple(wanted[guest.name] for guest in order.guests),
        spec=spec,
        unmet={name: missing for name, missing in unmet.items() if missing},
    )
