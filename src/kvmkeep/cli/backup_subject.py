"""The backup that a verb is about: chosen on the command line, and read from its repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmkeep.cli.backup_choice import add_repositories, choose
from kvmkeep.cli.backup_show import read_manifest
from kvmkeep.cli.context import unready

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.backup import BackupEntry
    from kvmkeep.model.backup_policy import Repository
    from kvmkeep.model.plan import Note
    from kvmkeep.model.spec import Spec
    from kvmkeep.planning.backups.fetch import Subject


def add_backup(parser: ArgumentParser) -> None:
    """Add the words that choose one backup."""
    parser.add_argument(
        "backup", metavar="GUEST[@TIME]", help="the backup, as `list` names it; default: the last"
    )
    add_repositories(parser)


def subject_of(backup: str, repositories: tuple[str, ...], ctx: Context, spec: Spec) -> Subject:
    """Return the backup that is meant, with what stands in it; raises UsageError and Unready."""
    from kvmkeep.model.units import Label
    from kvmkeep.planning.backups.fetch import Subject

    chosen = choose(ctx, spec, backup, repositories)
    entry = chosen.entry
    repository = spec.repository(Label(entry.repository))
    manifest = read_manifest(ctx, repository, entry)
    xml = stored_file(repository, entry, manifest.xml, ctx).decode("utf-8", "replace")
    return Subject(
        repository=repository, entry=entry, manifest=manifest, xml=xml, notes=chosen.notes
    )


def notes_of(subject: Subject, spec: Spec) -> tuple[Note, ...]:
    """Return what is to be known of it before it is agreed to: of when it is, and from where."""
    from kvmkeep.cli.age import stamp_age, told
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.plan import Note
    from kvmkeep.planning.backups.owner import name_to_type

    entry = subject.entry
    name, old = name_to_type(spec, entry), told(stamp_age(entry.moment, utc_now()))
    text = f"{name}@{entry.moment} is what is taken: {old}, from repository {entry.repository}"
    return (*subject.notes, Note(subject=f"guest {name}", text=text))


def stored_file(repository: Repository, entry: BackupEntry, name: str, ctx: Context) -> bytes:
    """Return a file that is stored with a manifest; raises Unready."""
    from kvmkeep.host.repositories import read
    from kvmkeep.host.tools import Unanswered
    from kvmkeep.model.host_units import PROGRAM

    door = ctx.door()
    program = door.which(PROGRAM)
    try:
        return read(door, repository, program, one=entry.manifest, path=f"{entry.path}/{name}")
    except Unanswered as error:
        raise unready(error.problem) from error
