"""The storing of a set in a repository: what it is made of, and how far it has come."""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct

from kvmkeep.model.backup import RepositoryFacts, SentDisk, StagedSet, StoredDisk, blocks_name
from kvmkeep.model.backup_manifest import (
    DOMAIN_XML,
    GUEST_SPEC,
    HOST_SPEC,
    MANIFEST,
    NVRAM,
    TEMPLATE,
)
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import staging_dir
from kvmkeep.model.snapshot import SnapshotSet, disk_of
from kvmkeep.model.spec import Guest
from kvmkeep.planning.repositories.engine import Driver, driver
from kvmkeep.planning.scene import Scene


class BackupWork(Struct, frozen=True, kw_only=True):
    """What the steps are made of. `asked` is the time of the run, in ISO 8601."""

    scene: Scene
    guest: Guest
    domain: Domain | None
    repository: Repository
    seen: RepositoryFacts
    taken: SnapshotSet
    staged: StagedSet
    spec_dir: str
    asked: str

    @property
    def program(self) -> str:
        """What kvmkeep itself is called by."""
        return self.scene.facts.units.command

    @property
    def words(self) -> Driver:
        """What the repository's engine can do."""
        return driver(self.repository, self.program)

    @property
    def subject(self) -> str:
        """What its steps are about."""
        return f"guest {self.guest.name}"

    @property
    def folder(self) -> str:
        """Where is kept what goes into the repository with the disks."""
        return staging_dir(self.guest.name, self.taken.name)

    @property
    def host(self) -> str:
        """The host whose backup it is."""
        return self.scene.spec.host.name

    @property
    def prepared(self) -> bool:
        """Whether all of the guest that is not a disk was kept; its variables are not the last."""
        return {DOMAIN_XML, GUEST_SPEC, HOST_SPEC} <= {*self.staged.names}

    @property
    def nvram(self) -> str:
        """The file of its firmware's variables; empty where there is none.

        libvirt makes it at the first start.
        """
        path = "" if self.domain is None else self.domain.variables
        there = self.scene.facts.variables_at(path)
        return path if there.file is not None or there.problem else ""

    @property
    def keeps_nvram(self) -> bool:
        """Whether the variables are in the backup: one that was prepared stays as it is."""
        return NVRAM in self.staged.names or (not self.prepared and bool(self.nvram))

    @property
    def keeps_template(self) -> bool:
        """Whether the site's own template is in the backup: as with the variables."""
        own = bool(self.scene.spec.template)
        return TEMPLATE in self.staged.names or (not self.prepared and own)


class Reached(Enum):
    """How far the storing of a set has come."""

    FOREIGN = auto()
    """The repository has a backup of that name which this run did not make."""
    COMMITTED = auto()
    """It is a backup; what is left is to remember it."""
    SENDING = auto()
    """Disks are still to be sent."""
    UNLISTED = auto()
    """All disks were sent, and the repository does not list one of them."""
    SENT = auto()
    """All disks were sent; only the manifest is missing."""


def reached(work: BackupWork) -> Reached:
    """Return how far the storing of the set has come."""
    mine = (work.guest.name, work.taken.name, work.host)
    if any((one.guest, one.moment, one.host) == mine for one in work.seen.entries):
        return Reached.COMMITTED if MANIFEST in work.staged.names else Reached.FOREIGN
    if to_send(work):
        return Reached.SENDING
    return Reached.UNLISTED if unlisted(work) else Reached.SENT


def to_send(work: BackupWork) -> tuple[Volume, ...]:
    """Return the snapshots that are still to be sent."""
    return tuple(member for member in work.taken.members if sent(work, member) is None)


def unlisted(work: BackupWork) -> tuple[str, ...]:
    """Return the disks that the engine said that it stored, and the repository does not list."""
    disks = ((disk_of(member), known(work, member)) for member in work.taken.members)
    return tuple(disk for disk, told in disks if not object_of(work, disk, told))


def sent(work: BackupWork, member: Volume) -> SentDisk | None:
    """Return what the sending of a disk left, if that is whole."""
    disk = disk_of(member)
    found = next((one for one in work.staged.sent if one.disk == disk), None)
    return found if blocks_name(disk) in work.staged.names else None


def known(work: BackupWork, member: Volume) -> SentDisk:
    """Return what the sending of a disk left that was sent."""
    found = sent(work, member)
    if found is None:
        raise AssertionError(f"{member.name} was not sent")
    return found


def own_objects(work: BackupWork) -> tuple[StoredDisk, ...]:
    """Return what the repository lists of the set."""
    mine = (work.guest.name, work.taken.name, work.host)
    seen = work.seen.fragments
    own = (one for one in seen if (one.guest, one.moment, one.host) == mine)
    return tuple(disk for one in own for disk in one.disks)


def object_of(work: BackupWork, disk: str, told: SentDisk) -> str:
    """Return the engine's full name of a disk's object; the engine may have told a short one."""
    objects = (each.object for each in own_objects(work) if each.disk == disk)
    found = (one for one in objects if told.object and one.startswith(told.object))
    return next(found, "")
