"""`kvmkeep backup rebuild`: a host that was lost comes back: its spec, its networks, its guests."""

from __future__ import annotations

import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.cli.backup_lost import (
    Found,
    Place,
    demand_host,
    demand_repositories,
    find_lost,
)
from kvmkeep.cli.backup_restore import restoring_of, telling_of_others
from kvmkeep.cli.backup_subject import subject_of
from kvmkeep.cli.consent import add_consent, agrees, demand_terminal
from kvmkeep.cli.ended import Ended, tell, together
from kvmkeep.cli.explain import explain
from kvmkeep.cli.goal import (
    Goal,
    demand_own_libvirt,
    noting,
    reach_without_asking,
    tell_notes,
    with_notes,
)
from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.errors import (
    NEEDS_ATTENTION,
    UNTOUCHED,
    Declined,
    Interrupted,
    KvmkeepError,
    StepFailed,
)
from kvmkeep.model.backup_manifest import HOST_SPEC

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator, Mapping

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.backup import BackupEntry
    from kvmkeep.model.backup_policy import Repository
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Note, Plan, Refusal
    from kvmkeep.model.spec import FileDisk, Spec
    from kvmkeep.model.units import GuestName

VERB = "backup rebuild"
_QUESTION = "Bring them back? [y/N] "


class Args(Struct, frozen=True, kw_only=True):
    """Which guests; without a spec, which host, and where its backups are."""

    guests: tuple[str, ...]
    url: str
    engine: str
    password_file: str
    environment_file: str
    host: str
    no_start: bool
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only these; default: all that the spec lacks")
    parser.add_argument(
        "--url", default="",
        help="where the backups are, as the spec said it; for a host without a spec",
    )  # fmt: skip
    parser.add_argument(
        "--engine", choices=("restic", "borg"), default="restic",
        help="what stored them (default: restic)",
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
    place = Place(
        url=args.url,
        engine=args.engine,
        password_file=args.password_file,
        environment_file=args.environment_file,
        host=args.host,
    )
    found = find_lost(place, ctx, names)
    if not found.entries:
        ctx.streams.talk("Nothing to do: the spec has every guest that was backed up.")
        _tell_who_is_off(ctx)
        if ctx.json:
            nothing: dict[str, object] = {"backups": [], "trash": [], "files": [], "networks": []}
            ctx.print_json(nothing if args.dry_run else {"guests": []})
        return 0
    if found.hidden:
        ctx.streams.talk(
            f"What repository {found.hidden} has is not known: guests of which only that one has "
            "a backup, or the last one, come back without it, or not at all. Look at: kvmkeep "
            "backup list"
        )
    facts = ctx.observe(found.spec)
    demand_host(found, facts, ctx)
    _show(found, facts, ctx, dry_run=args.dry_run)
    if args.dry_run:
        return 0
    if not args.yes and not agrees(_QUESTION, ctx.streams):
        raise Declined("not confirmed")
    demand_repositories(found, ctx)
    if found.host is not None:
        _write_host_file(found.host.content, ctx)
    with _not_as_before("the spec is there again, but no guest yet"):
        _make_networks(ctx)
    ended = [_one(entry, ctx, stays_off=args.no_start) for entry in found.entries]
    code = tell([one for one, _ in ended], ctx, "BACK")
    back = {one.guest for one, missing in ended if one.error is None and not missing}
    if not args.no_start:
        with _not_as_before("they are back, but were not started"):
            started = _start(back, ctx)
        code = together([code, started]) if started else code
    return NEEDS_ATTENTION if found.hidden and code == 0 else code


@contextmanager
def _not_as_before(state: str) -> Iterator[None]:
    """Have an error that promises that nothing was touched tell what was done before instead."""
    try:
        yield
    except UNTOUCHED as error:
        raise StepFailed(f"{state}: {error.message}", hint=error.hint) from error
    except Interrupted as stopped:
        raise Interrupted(stopped.message, hint=stopped.hint) from stopped


def _tell_who_is_off(ctx: Context) -> None:
    """Tell what is left to do, for each by itself: one that does not start keeps no other off."""
    from kvmkeep.planning.scene import active

    spec = ctx.spec()
    on = {one.name for one in ctx.observe(spec).domains if active(one)}
    off = [one.name for one in spec.guests if one.run.autostart and one.name not in on]
    for name in off:
        ctx.streams.talk(f"{name} starts with the host, and is off: kvmkeep start {name}")


def _show(found: Found, facts: Facts, ctx: Context, *, dry_run: bool) -> None:
    """Print what comes back: the result of a dry run, and else what is asked about."""
    from kvmkeep.cli.backup_list import Row, text, value
    from kvmkeep.host.clock import utc_now
    from kvmkeep.planning.backups.rebuild import bound_for_trash

    leaving = bound_for_trash(found.spec, facts, found.entries)
    if ctx.json and dry_run:
        backups = [value(one) for one in found.entries]
        trash = [one.full_name for one in leaving]
        files = [{"guest": name, "file": disk.path} for name, disk in _files(found)]
        ctx.print_json(
            {"backups": backups, "trash": trash, "files": files, "networks": _networks(found)}
        )
        return
    if found.host is not None:
        ctx.streams.talk(
            f"{ctx.spec_dir}/{HOST_SPEC} is written as it was at the last backup. "
            "From then on, these repositories are asked:"
        )
        for one in found.spec.repositories:
            ctx.streams.talk(_place(one, found.host.repository))
        uplink = found.spec.uplink
        ctx.streams.talk(f"Its networks are made on this host's {uplink}, in place of what it has:")
        for network in found.spec.networks:
            ctx.streams.talk(
                f"  {network.name}: VLAN {network.vlan} of {uplink}, on bridge {network.bridge}"
            )
    for name, disk in _files(found):
        ctx.streams.talk(
            f"The file of guest {name} has {disk.path} as its disk {disk.name}: if that is there, "
            "the next apply gives it to the guest as it is."
        )
    if leaving:
        names = "".join(f"\n  {one.full_name} ({one.size})" for one in leaving)
        ctx.streams.talk(
            f"These disks are here, perhaps newer than any backup, and go into the trash:{names}\n"
            "To keep those of a guest in service, name only the other guests here; write its file "
            "of the spec by hand, then: kvmkeep apply"
        )
    _tell_unmet(found.unmet, ctx)
    host = found.entries[0].host if found.entries else ""
    rows = [Row(entry=one, name=one.guest, proof=None) for one in found.entries]
    shown = text(rows, host, utc_now(), ctx.streams.width)
    (ctx.streams.talk if ctx.json else ctx.streams.result)(shown)


def _networks(found: Found) -> list[dict[str, object]]:
    """Return for JSON the networks that the host file brings; none where there is one already."""
    spec = found.spec
    return [
        {"network": one.name, "uplink": spec.uplink, "vlan": one.vlan, "bridge": one.bridge}
        for one in (spec.networks if found.host is not None else ())
    ]


def _files(found: Found) -> list[tuple[GuestName, FileDisk]]:
    """Return the disks that are files, of guests that come back: a backup holds none of them."""
    back = {one.identity for one in found.entries}
    guests = (one for one in found.spec.guests if one.identity in back)
    return [(guest.name, disk) for guest in guests for disk in guest.files]


def _place(one: Repository, named: Repository) -> str:
    """Return a line about a repository of the host file: what it is opened with, and where."""
    keys = f", and the keys in {one.environment_file}" if one.environment_file else ""
    known = (one.url, one.environment_file) == (named.url, named.environment_file)
    other = "" if known else " - not as you named it"
    return f"  {one.name} at {one.url}, with the password in {one.password_file}{keys}{other}"


def _write_host_file(content: bytes, ctx: Context) -> None:
    from kvmkeep.cli.progress import make_ui
    from kvmkeep.flow import Look
    from kvmkeep.planning.backups.rebuild import plan_host_file

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
    from kvmkeep.planning.backups.rebuild import plan_networks

    reach_without_asking(Goal(verb=VERB, planner=plan_networks), ctx)


def _one(entry: BackupEntry, ctx: Context, *, stays_off: bool) -> tuple[Ended, tuple[str, ...]]:
    """Bring one guest back, and return which of its needs are not there.

    One that fails keeps no other from coming back.
    """
    clock = ctx.door().clock
    began = clock()
    error: KvmkeepError | None = None
    missing: tuple[str, ...] = ()
    try:
        missing = _restore(entry, ctx, stays_off=stays_off)
    except Interrupted as stopped:
        raise Interrupted(stopped.message, hint=stopped.hint) from stopped
    except KvmkeepError as failed:
        error = failed
        explain(failed, ctx.streams, begin=f"kvmkeep: guest {entry.guest} did not come back: ")
    return Ended(guest=entry.guest, seconds=clock() - began, error=error), missing


def _tell_unmet(unmet: Mapping[str, tuple[str, ...]], ctx: Context) -> None:
    from kvmkeep.planning.backups.restore import unmet as text

    for name, missing in unmet.items():
        ctx.streams.talk(f"guest {name}: {text(missing)}")


def _restore(entry: BackupEntry, ctx: Context, *, stays_off: bool) -> tuple[str, ...]:
    """Bring one guest back; return which of its needs are not there."""
    from kvmkeep.host.clock import utc_now
    from kvmkeep.planning.backups.restore import plan_restore

    spec = ctx.spec()
    subject = subject_of(f"{entry.guest}@{entry.moment}", (), ctx, spec)
    asked = restoring_of(subject, ctx, spec, utc_now().isoformat())
    restoring = replace(asked, stays_off=stays_off or bool(asked.missing))
    goal = Goal(
        verb=VERB,
        planner=lambda spec, facts: plan_restore(spec, facts, restoring),
        reading=ctx.reading(),
    )
    notes: list[Note] = []
    with telling_of_others(subject):
        noted = with_notes(goal, subject.notes)
        reach_without_asking(noting(noted, notes, kept=True), ctx)
    tell_notes(notes, ctx)
    return asked.missing


def _start(back: set[str], ctx: Context) -> int:
    """Start those that start with the host, each by itself; return the exit code."""
    from kvmkeep.planning.backups.rebuild import rising_again

    held: list[Refusal] = []

    def planner(spec: Spec, facts: Facts) -> Plan:
        found = rising_again(spec, facts, back)
        held[:] = found.held_back
        return found.plan

    try:
        reach_without_asking(Goal(verb=VERB, planner=planner), ctx)
    finally:
        for one in held:
            ctx.streams.talk(f"not started: {one.subject}: {one.text}")
        _tell_who_is_off(ctx)
    return NEEDS_ATTENTION if held else 0
