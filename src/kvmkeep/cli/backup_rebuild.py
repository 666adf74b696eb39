"""`kvmkeep backup rebuild`: a host that was lost comes back: its spec, its networks, its guests."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import look_into, out_of_sight
from kvmkeep.cli.backup_restore import restoring_of
from kvmkeep.cli.backup_show import read_manifest
from kvmkeep.cli.backup_subject import stored_file, subject_of
from kvmkeep.cli.consent import add_consent, agrees, demand_terminal
from kvmkeep.cli.ended import Ended, tell
from kvmkeep.cli.goal import demand_own_libvirt, reach_alone
from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.errors import Declined, Interrupted, KvmkeepError, SpecError, Unready, UsageError
from kvmkeep.model.backup import GUEST_SPEC, HOST_SPEC
from kvmkeep.model.units import Label, printable

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.backup import BackupEntry, Repository
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec

VERB = "backup rebuild"
_QUESTION = "Bring them back? [y/N] "


class Args(Struct, frozen=True, kw_only=True):
    """Which guests; without a spec, which host, and where its backups are."""

    guests: tuple[str, ...]
    url: str
    password_file: str
    environment_file: str
    host: str
    no_start: bool
    yes: bool
    dry_run: bool


class Found(Struct, frozen=True, kw_only=True):
    """What comes back: guests, what they need first, by their last backups.

    `host_file` is the content of the host file; empty where there is one.
    """

    entries: tuple[BackupEntry, ...]
    host_file: bytes


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only these; default: all that the spec lacks")
    parser.add_argument(
        "--url", default="",
        help="where the backups are, as the spec said it; for a host without a spec",
    )  # fmt: skip
    parser.add_argument(
        "--password-file", metavar="FILE", default="", help="file with that repository's password"
    )
    parser.add_argument(
        "--environment-file", metavar="FILE", default="", help="file with the engine's keys"
    )
    parser.add_argument(
        "--host", metavar="NAME", default="",
        help="whose backups, where a repository has those of several hosts",
    )  # fmt: skip
    parser.add_argument(
        "--no-start", action="store_true", help="leave the guests off when they are back"
    )
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Show what comes back, ask once, bring it back guest after guest, and start it."""
    names = frozenset(checked(name) for name in args.guests)
    if not args.yes and not args.dry_run:
        demand_terminal(VERB, ctx.argv)
    demand_own_libvirt(VERB, ctx)
    found = _found(args, ctx, names)
    if not found.entries:
        ctx.streams.talk("Nothing to do: the spec has every guest that was backed up.")
        _tell_who_is_off(ctx)
        return 0
    _show(found, ctx)
    if args.dry_run:
        return 0
    if not args.yes and not agrees(_QUESTION, ctx.streams):
        raise Declined("not confirmed")
    if found.host_file:
        _write_host_file(found.host_file, ctx)
    _make_networks(ctx)
    ended = [_one(entry, ctx) for entry in found.entries]
    code = tell(ended, ctx, "BACK")
    back = {one.guest for one in ended if one.error is None}
    if not args.no_start:
        _start(back, ctx)
    return code


def _found(args: Args, ctx: Context, names: frozenset[str]) -> Found:
    if not ctx.has_spec():
        return _of_url(args, ctx, names)
    if args.url:
        ctx.streams.talk(
            f"{ctx.spec_dir}/{HOST_SPEC} is there: the repositories are those it names."
        )
    return _of_spec(ctx, names)


def _tell_who_is_off(ctx: Context) -> None:
    """Tell what a run that was killed before its last step has left to do."""
    from kvmkeep.planning.scene import active  # noqa: PLC0415

    spec = ctx.spec()
    on = {one.name for one in ctx.observe(spec).domains if active(one)}
    off = [one.name for one in spec.guests if one.run.autostart and one.name not in on]
    if off:
        names = " ".join(off)
        ctx.streams.talk(f"They start with the host, and are off: kvmkeep start {names}")


def _of_spec(ctx: Context, names: frozenset[str]) -> Found:
    """Return what the host's own repositories have and its spec has not."""
    spec = ctx.spec()
    seen = look_into(ctx, spec)
    hidden = out_of_sight(seen)
    if hidden:
        raise Unready(
            f"repository {hidden} can't be seen, so nobody knows what there is to bring back",
            hint="look at: kvmkeep backup list",
        )
    entries = [one for each in seen for one in each.entries]
    there = {str(guest.name) for guest in spec.guests}
    wanted = _wanted(entries, spec.host.name, names)
    lacking = {name: one for name, one in wanted.items() if name not in there}
    repositories = {one.name: one for one in spec.repositories}
    files = {
        f"guests/{name}.yaml": _file(ctx, repositories[Label(one.repository)], one, GUEST_SPEC)
        for name, one in lacking.items()
    }
    return Found(entries=_in_order(ctx, lacking, files), host_file=b"")


def _of_url(args: Args, ctx: Context, names: frozenset[str]) -> Found:
    """Return what a repository has, for a host that has no spec yet."""
    from kvmkeep.host.repositories import look  # noqa: PLC0415
    from kvmkeep.model.backup import RepositoryState  # noqa: PLC0415

    repository = _repository(args)
    door = ctx.door()
    seen = look(door, repository, door.which("kvmkeep"))
    if seen.state is not RepositoryState.READY:
        said = f": {seen.said}" if seen.said else ""
        raise Unready(
            f"the repository at {repository.url} can't be read ({seen.state}){said}",
            hint="look at --url and --password-file",
        )
    host = _host(args.host, {one.host for one in seen.entries}, repository.url)
    wanted = _wanted(seen.entries, host, names)
    newest = max(wanted.values(), key=lambda one: one.moment)
    host_file = _file(ctx, repository, newest, HOST_SPEC)
    files = {
        f"guests/{name}.yaml": _file(ctx, repository, one, GUEST_SPEC)
        for name, one in wanted.items()
    }
    return Found(
        entries=_in_order(ctx, wanted, {HOST_SPEC: host_file, **files}), host_file=host_file
    )


def _repository(args: Args) -> Repository:
    from kvmkeep.model.backup import Engine, Repository  # noqa: PLC0415
    from kvmkeep.spec.backups import parse_file, parse_place  # noqa: PLC0415

    if not args.url or not args.password_file:
        raise UsageError(
            "there is no spec that would say where the backups are",
            hint=f"kvmkeep {VERB} --url URL --password-file FILE",
        )
    try:
        return Repository(
            name=Label("rebuild"),
            engine=Engine.RESTIC,
            url=parse_place(args.url, Engine.RESTIC),
            password_file=parse_file(args.password_file),
            environment_file=parse_file(args.environment_file) if args.environment_file else "",
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
    entries: Iterable[BackupEntry], host: str, names: frozenset[str]
) -> dict[str, BackupEntry]:
    """Return the last backup of each guest that is meant; raises UsageError where there is none."""
    from kvmkeep.planning.rebuild import last_backups  # noqa: PLC0415

    last = last_backups(entries, host)
    missing = sorted(names - last.keys())
    if missing:
        raise UsageError(
            f"there is no backup of {', '.join(missing)} on {printable(host)}",
            hint="look at: kvmkeep backup list",
        )
    return {name: one for name, one in last.items() if not names or name in names}


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


def _in_order(
    ctx: Context, wanted: dict[str, BackupEntry], files: dict[str, bytes]
) -> tuple[BackupEntry, ...]:
    """Return the backups in the order of their guests' needs; raises SpecError.

    The whole spec is read as it will be, so that a mistake is told before anything is done.
    """
    from kvmkeep.model.units import GuestName  # noqa: PLC0415
    from kvmkeep.planning.order import in_order  # noqa: PLC0415
    from kvmkeep.spec.load import load  # noqa: PLC0415

    if not wanted:
        return ()
    try:
        spec = load(ctx.spec_dir, ctx.door(), also=files)
    except SpecError as error:
        names = " ".join(sorted(wanted))
        raise SpecError(
            f"with the files of the backups, the spec would have mistakes:\n{error.message}",
            hint=f"name only some of the guests, or write the files by hand (guests: {names})",
        ) from error
    order = in_order(spec, (GuestName(name) for name in wanted))
    for refusal in order.refusals:
        raise Unready(f"{refusal.subject}: {refusal.reason}", hint=refusal.hint)
    return tuple(wanted[guest.name] for guest in order.guests)


def _show(found: Found, ctx: Context) -> None:
    """Print what comes back."""
    from kvmkeep.cli.backup_list import text  # noqa: PLC0415
    from kvmkeep.cli.moment import utc_now  # noqa: PLC0415

    if ctx.json:
        return
    if found.host_file:
        ctx.streams.talk(f"{ctx.spec_dir}/{HOST_SPEC} is written as it was at the last backup.")
    ctx.streams.result(text(list(found.entries), utc_now(), ctx.streams.width))


def _write_host_file(content: bytes, ctx: Context) -> None:
    from kvmkeep.cli.progress import make_ui  # noqa: PLC0415
    from kvmkeep.flow import Look  # noqa: PLC0415
    from kvmkeep.planning.rebuild import plan_host_file  # noqa: PLC0415

    path = posixpath.abspath(f"{ctx.spec_dir}/{HOST_SPEC}")

    def look(door: Door) -> Look:
        plan = plan_host_file(path, content, there=door.look(path) is not None)
        return Look(spec=b"{}", facts=b"{}", plan=plan)

    ui = make_ui(ctx.streams)
    try:
        ctx.reach(ui, VERB, look, lambda _: True)
    finally:
        ui.close()


def _make_networks(ctx: Context) -> None:
    from kvmkeep.planning.rebuild import plan_networks  # noqa: PLC0415

    reach_alone(VERB, plan_networks, ctx)


def _one(entry: BackupEntry, ctx: Context) -> Ended:
    """Bring one guest back; one that fails keeps no other waiting."""
    clock = ctx.door().clock
    began = clock()
    error: KvmkeepError | None = None
    try:
        _restore(entry, ctx)
    except Interrupted:
        raise
    except KvmkeepError as failed:
        error = failed
        ctx.streams.talk(f"kvmkeep: guest {entry.guest} did not come back: {failed.message}")
        if failed.hint:
            ctx.streams.talk(f"  {failed.hint}")
    return Ended(guest=entry.guest, seconds=clock() - began, error=error)


def _restore(entry: BackupEntry, ctx: Context) -> None:
    from kvmkeep.cli.moment import utc_now  # noqa: PLC0415
    from kvmkeep.planning.backup_restore import plan_restore  # noqa: PLC0415

    spec = ctx.spec()
    subject = subject_of(f"{entry.guest}@{entry.moment}", (), ctx, spec)
    restoring = restoring_of(subject, ctx, spec, utc_now().isoformat())

    def planner(spec: Spec, facts: Facts) -> Plan:
        return plan_restore(spec, facts, restoring)

    reach_alone(VERB, planner, ctx)


def _start(back: set[str], ctx: Context) -> None:
    """Start those that start with the host, in the order of their needs."""
    from kvmkeep.planning.start import plan_start  # noqa: PLC0415

    guests = ctx.spec().guests if back else ()
    names = tuple(one.name for one in guests if one.name in back and one.run.autostart)
    if names:
        reach_alone(VERB, lambda spec, facts: plan_start(spec, facts, names), ctx)
