"""`kvmkeep clone`: a new guest with copies of another one's disks."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach, with_notes
from kvmkeep.cli.guests import checked
from kvmkeep.cli.level import CHOICES, at_level, chosen_level, chosen_size
from kvmkeep.cli.plan import demand_guests
from kvmkeep.errors import Refused, SpecError, UsageError
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Planner
    from kvmkeep.model.snapshot import Level
    from kvmkeep.model.spec import Guest, Spec
    from kvmkeep.model.units import GuestName
    from kvmkeep.planning.backups.fetch import Subject


class Args(Struct, frozen=True, kw_only=True):
    """Who is cloned, and what the clone has of its own."""

    guest: str
    name: str
    address: tuple[str, ...]
    hostname: str
    from_set: str
    consistency: str
    snapshot_size: str
    dry_run: bool
    yes: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest to clone; it may run")
    parser.add_argument("name", metavar="NAME", help="the name of the new guest")
    parser.add_argument(
        "--address", metavar="NETWORK=ADDRESS", action="append", default=[],
        help="its address in a network, such as internal=10.5.68.14/24, or internal=dhcp; "
        "wanted for each NIC of the guest that does not use DHCP",
    )  # fmt: skip
    parser.add_argument("--hostname", default="", help="what it calls itself (default: its name)")
    parser.add_argument(
        "--from", dest="from_set", metavar="SET", default="",
        help="copy this set of snapshots, not the guest as it is now",
    )  # fmt: skip
    parser.add_argument(
        "--consistency", choices=CHOICES, default="auto",
        help="of a guest that runs, as for `snapshot create`",
    )  # fmt: skip
    parser.add_argument(
        "--snapshot-size", metavar="SIZE", default="",
        help="size of each snapshot that a guest is copied through while it runs (default: full); "
        "one that gets full makes the copying fail",
    )  # fmt: skip
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Copy the disks, make the copy a machine of its own, and start it as a new guest."""
    return make(args, ctx, "clone")


def make(args: Args, ctx: Context, verb: str, backup: Subject | None = None) -> int:
    """Make a clone, of the disks as they are or as they were at a backup."""
    from kvmkeep.cli.backup_subject import notes_of
    from kvmkeep.model.units import GuestName, parse_guest_name
    from kvmkeep.planning.clones.clone import Cloning, plan_clone, uncloneable
    from kvmkeep.planning.clones.origin import Wanted

    try:
        name = parse_guest_name(args.name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    source = GuestName(checked(args.guest))
    spec = ctx.spec()
    demand_guests(spec, (source,))
    for refusal in uncloneable(next(guest for guest in spec.guests if guest.name == source)):
        raise Refused(f"{refusal.subject}: {refusal.reason}", hint=refusal.hint)
    clone, content = _clone(args, spec, source, name, ctx)
    moment, size = utc_now().isoformat(), chosen_size(args.snapshot_size, "--snapshot-size")

    def planner(level: Level | None) -> Planner:
        wanted = Wanted(
            moment=moment, level=level, size=size, from_set=args.from_set, backup=backup
        )
        cloning = Cloning(
            source=source,
            clone=clone,
            file=f"{posixpath.abspath(ctx.spec_dir)}/guests/{name}.yaml",
            content=content,
            wanted=wanted,
        )
        return lambda spec, facts: plan_clone(spec, facts, cloning)

    level = chosen_level(args.consistency)

    def run_at(planner: Planner) -> int:
        reading = None if backup is None else ctx.reading()
        goal = Goal(verb=verb, planner=planner, guests=(source,), reading=reading)
        noted = with_notes(goal, () if backup is None else notes_of(backup, spec))
        return reach(noted, ctx, yes=args.yes, dry_run=args.dry_run)

    return at_level(planner, level, run_at, ctx)


def _content(args: Args, spec: Spec, source: GuestName, name: GuestName, ctx: Context) -> bytes:
    """Return what the clone's file will hold."""
    from kvmkeep.observe.backup_care import observe_made
    from kvmkeep.spec.copied import Differences, copied_file
    from kvmkeep.spec.identity import free_identity

    given: dict[str, list[str]] = {}
    for text in args.address:
        network, equals, address = text.partition("=")
        if not (network and equals and address):
            raise UsageError(
                "--address is a network and an address", hint="such as internal=10.5.68.14/24"
            )
        given.setdefault(network, []).append(address)
    addresses = {network: tuple(texts) for network, texts in given.items()}
    file = next(guest.place.file for guest in spec.guests if guest.name == source)
    others = [guest for guest in spec.guests if guest.name != name]
    # Those with backups as well, though their guest is no more: they are not the clone's.
    remembered = (one.identity for one in observe_made(ctx.door()).last)
    born = {*(str(guest.identity) for guest in others), *remembered}
    own = free_identity(name, {*born, *(guest.name for guest in others)}) if name in born else ""
    try:
        return copied_file(
            ctx.door().read(file) or b"",
            Differences(addresses=addresses, hostname=args.hostname, identity=own),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _clone(
    args: Args, spec: Spec, source: GuestName, name: GuestName, ctx: Context
) -> tuple[Guest, bytes]:
    """Return the clone as its file describes it, or will; and what that file is to hold."""
    from kvmkeep.spec.load import load

    file = f"guests/{name}.yaml"
    there = spec.guest(name)
    if there is not None and not (args.address or args.hostname):
        return there, b""
    if there is None and f"{name}.yaml" in ctx.door().names(f"{ctx.spec_dir}/guests"):
        raise UsageError(f"{ctx.spec_dir}/{file} is the file of another guest")
    content = _content(args, spec, source, name, ctx)
    try:
        changed = load(ctx.spec_dir, ctx.door(), {file: content})
    except SpecError as error:
        raise UsageError(f"the new guest's file would be wrong:\n{error.message}") from error
    clone = next(guest for guest in changed.guests if guest.name == name)
    if there is not None and (there.nics, there.hostname) != (clone.nics, clone.hostname):
        raise UsageError(
            f"{ctx.spec_dir}/{file} is there already, with other addresses or another hostname",
            hint="that file counts: correct it, or leave the options out",
        )
    return there or clone, content
