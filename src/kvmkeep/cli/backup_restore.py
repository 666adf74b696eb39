"""`kvmkeep backup restore`: a guest's disks come back from a backup; what is there is kept."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_subject import add_backup, notes_of, stored_file, subject_of
from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach, with_notes
from kvmkeep.errors import StepFailed, Unready, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Guest, Spec
    from kvmkeep.planning.backups.fetch import Subject
    from kvmkeep.planning.backups.restoring import BackupRestoreRequest

VERB = "backup restore"


class Args(Struct, frozen=True, kw_only=True):
    """Which backup, and which of its disks; `to` is a file for that one disk.

    `new_name` is that of a new guest, with addresses and a hostname of its own as of `clone`.
    """

    backup: str
    repository: tuple[str, ...]
    disk: str
    to: str
    new_name: str
    address: tuple[str, ...]
    hostname: str
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_backup(parser)
    parser.add_argument("--disk", metavar="NAME", default="", help="only this disk")
    parser.add_argument(
        "--to", metavar="FILE", default="",
        help="write the disk into this new file, and leave the guest as it is",
    )  # fmt: skip
    parser.add_argument(
        "--as", dest="new_name", metavar="NAME", default="",
        help="make a new guest of it, as `clone` does, and leave the guest as it is",
    )  # fmt: skip
    parser.add_argument(
        "--address", metavar="NETWORK=ADDRESS", action="append", default=[],
        help="of the new guest: its address in a network, or dhcp",
    )  # fmt: skip
    parser.add_argument("--hostname", default="", help="of the new guest (default: its name)")
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Show the plan, ask, and bring them back; the guest stays off."""
    from kvmkeep.host.clock import utc_now
    from kvmkeep.planning.backups.restore import plan_restore

    if args.to and not args.disk:
        raise UsageError("--to takes one disk", hint="name it: --disk root --to FILE")
    if args.new_name and args.disk:
        raise UsageError("a new guest gets all disks", hint="leave --disk out")
    if (args.address or args.hostname) and not args.new_name:
        raise UsageError("--address and --hostname are for a new guest", hint="name it: --as NAME")
    spec = ctx.spec()
    subject = subject_of(args.backup, args.repository, ctx, spec)
    if args.to:
        return _to_file(args, ctx, subject)
    if args.new_name:
        return _as_new(args, ctx, subject)
    restoring = restoring_of(subject, ctx, spec, utc_now().isoformat(), args.disk)
    goal = Goal(
        verb=VERB,
        planner=lambda spec, facts: plan_restore(spec, facts, restoring),
        reading=ctx.reading(),
    )
    with telling_of_others(subject):
        noted = with_notes(goal, notes_of(subject, spec))
        return reach(noted, ctx, yes=args.yes, dry_run=args.dry_run)


@contextmanager
def telling_of_others(subject: Subject) -> Iterator[None]:
    """Have an error of data that can't be had tell what else there is: it may stay so."""
    try:
        yield
    except StepFailed as error:
        if error.argv[1:3] != ("blocks", "receive"):
            raise
        name = subject.entry.guest
        hint = (
            "if the repository stays damaged, take an older backup: kvmkeep backup list "
            f"{name}, then: kvmkeep backup restore {name}@TIME; any disks that it had until now "
            "lie in the trash: kvmkeep trash list"
        )
        raise StepFailed(error.message, hint=hint, argv=error.argv) from error


def _as_new(args: Args, ctx: Context, subject: Subject) -> int:
    from kvmkeep.cli import clone
    from kvmkeep.planning.backups.owner import name_to_type

    cloning = clone.Args(
        guest=name_to_type(ctx.spec(), subject.entry),
        name=args.new_name,
        address=args.address,
        hostname=args.hostname,
        from_set="",
        consistency="auto",
        snapshot_size="",
        dry_run=args.dry_run,
        yes=args.yes,
    )
    return clone.make(cloning, ctx, VERB, subject)


def _to_file(args: Args, ctx: Context, subject: Subject) -> int:
    import posixpath

    from kvmkeep.cli.beside import Beside
    from kvmkeep.planning.backups.to_file import DiskToFile, plan_to_file

    path = posixpath.abspath(args.to)
    if ctx.door().look(path) is not None:
        raise UsageError(f"{path} is there already", hint="name a new file")

    def look(door: Door) -> tuple[DiskToFile, bool]:
        way = door.way(posixpath.dirname(path))
        wish = DiskToFile(subject=subject, disk=args.disk, path=path, way=way)
        return wish, door.look(path) is not None

    def planner(spec: Spec, facts: Facts) -> Plan:
        wish, there = beside.seen
        return plan_to_file(spec, facts, wish, there=there)

    beside = Beside(look)
    goal = Goal(verb=VERB, planner=planner, beside=beside, reading=ctx.reading())
    noted = with_notes(goal, notes_of(subject, ctx.spec()))
    return reach(noted, ctx, yes=True, dry_run=args.dry_run)


def restoring_of(
    subject: Subject, ctx: Context, spec: Spec, asked: str, only: str = ""
) -> BackupRestoreRequest:
    """Return what is asked for: of a guest of the spec, or of one with its file in the backup.

    A guest that it needs may be lost as well, for good perhaps: that is no reason to lose this one.
    """
    import posixpath

    from kvmkeep.planning.backups.owner import owner
    from kvmkeep.planning.backups.restoring import BackupRestoreRequest
    from kvmkeep.spec.without_needs import without_needs

    name, guest = subject.entry.guest, owner(spec, subject.entry)
    if guest is not None:
        return BackupRestoreRequest(subject=subject, guest=guest, asked=asked, only=only)
    if only:
        raise UsageError(f"the spec has no guest {name}", hint="restore it whole, or use --to")
    stored = stored_file(subject.repository, subject.entry, subject.manifest.guest_spec, ctx)
    here = {name, *(str(one.name) for one in spec.guests)}
    shortened = without_needs(stored, here)
    file = f"guests/{name}.yaml"
    return BackupRestoreRequest(
        subject=subject,
        guest=_as_it_will_be(ctx, file, shortened.content, name),
        asked=asked,
        file=posixpath.abspath(f"{ctx.spec_dir}/{file}"),
        content=shortened.content,
        missing=shortened.missing,
    )


def restore_first(name: str) -> str:
    """Return what comes next once a lost guest's file was written by hand."""
    return (
        "before any `kvmkeep apply`, which makes a guest without disks from its image: "
        f"kvmkeep backup restore {name}"
    )


def _as_it_will_be(ctx: Context, file: str, content: bytes, name: str) -> Guest:
    """Return what the spec will say of the guest; raises SpecError where it would have mistakes."""
    hint = (
        f"write {ctx.spec_dir}/{file} by hand, without what is wrong in it, and "
        f"{restore_first(name)}"
    )
    found = ctx.spec_with(file, content, hint).guest(name)
    if found is None:
        raise Unready(f"the guest's file in the backup is not that of {name}")
    return found
