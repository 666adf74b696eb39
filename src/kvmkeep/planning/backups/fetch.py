"""A disk brought out of a repository: by its block list, and read back before it counts."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.backup import BackupEntry
from kvmkeep.model.backup_manifest import DiskRecord, Manifest
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.blocks import longest_list
from kvmkeep.model.command import Command, Progress
from kvmkeep.model.plan import Note
from kvmkeep.planning.commands import long_enough, remove_tree
from kvmkeep.planning.repositories.engine import driver

SLOW = 10**6
"""Bytes for each second that a repository gives at the least, before it is given up."""


class Subject(Struct, frozen=True, kw_only=True):
    """A backup as its repository has it, and where that is.

    `xml` is the guest's definition, as it is stored with the manifest. `notes` tell of newer
    backups that are gone.
    """

    repository: Repository
    entry: BackupEntry
    manifest: Manifest
    xml: str
    notes: tuple[Note, ...] = ()


def gone(subject: Subject) -> tuple[str, ...]:
    """Return the disks of a backup that its repository does not list any more."""
    if subject.entry.whole:
        return ()
    there = {one.disk for one in subject.entry.disks}
    return tuple(one.disk for one in subject.manifest.disks if one.disk not in there)


def fetched(
    subject: Subject,
    disk: DiskRecord,
    target: str,
    folder: str,
    program: str,
    *,
    spares: str = "",
) -> tuple[Command, ...]:
    """Return what writes a disk to `target`, checking each block, and then reads it back.

    Its block list lies in `folder` meanwhile. A target that is a file leaves room at `spares`.
    """
    engine = driver(subject.repository, program)
    entry = subject.entry
    blocks = f"{folder}/{disk.blocks}"
    size = f"--size={disk.size.bytes}"
    checked = (f"--blocks={blocks}", f"--sum={disk.blocks_sha256}", size)
    limit = engine.waits + long_enough(disk.size, SLOW)
    return (
        engine.fetch(
            entry.manifest, f"{entry.path}/{disk.blocks}", blocks, longest_list(disk.size),
            f"fetch the checksums of the blocks of disk {disk.disk}",
        ),
        Command(
            argv=(
                program, "blocks", "receive", target, *checked, "--",
                *engine.get(disk.object, disk.path),
            ),
            why=f"write disk {disk.disk}, each block only once it is known to be right",
            timeout=limit,
            progress=Progress.BLOCKS,
            total_bytes=disk.size.bytes,
            spares=spares,
        ),
        Command(
            argv=(program, "blocks", "verify", target, *checked),
            why=f"read disk {disk.disk} back and compare it",
            timeout=limit,
            progress=Progress.BLOCKS,
            total_bytes=disk.size.bytes,
        ),
    )  # fmt: skip


def tidy(folder: str) -> Command:
    """Return what removes the directory of block lists."""
    return remove_tree(folder, "leave nothing of it behind")
