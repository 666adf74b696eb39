"""What a restore is asked for, and what it works with: the scene, and the disks that come back."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.backup_manifest import DiskRecord
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import (
    STATE_FILLING,
    TAG_RESTORE,
    TAG_TRASH,
    fetch_dir,
    second_stamp,
    utc_stamp,
)
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, LvDisk
from kvmkeep.planning.backups.fetch import Subject
from kvmkeep.planning.backups.restored import is_back, leaving, made
from kvmkeep.planning.backups.returned_domain import Returned
from kvmkeep.planning.scene import Scene


class BackupRestoreRequest(Struct, frozen=True, kw_only=True):
    """What comes back: a backup of `guest`, as the spec has it or will have it.

    `asked` is when it was asked for (ISO 8601). `only` names one disk; empty for all. `file` and
    `content` are those of the guest's file of the spec, where it has none now; `missing` were
    among its needs, and are not there. `stays_off` is the word about a guest that is defined
    again: nobody starts it by himself.
    """

    subject: Subject
    guest: Guest
    asked: str
    only: str = ""
    file: str = ""
    content: bytes = b""
    missing: tuple[str, ...] = ()
    stays_off: bool = True

    @property
    def mark(self) -> str:
        """The tag of the LVs that this run puts into service."""
        return f"{TAG_RESTORE}{self.subject.entry.moment}/{second_stamp(self.asked)}"


class RestoreWork(Struct, frozen=True, kw_only=True):
    """The scene, and which disk of the backup becomes which LV; the first is completed last.

    `definition` is what the guest is defined from where it is lost.
    """

    scene: Scene
    restoring: BackupRestoreRequest
    pairs: tuple[tuple[DiskRecord, LvDisk], ...]
    definition: Returned

    @property
    def guest(self) -> Guest:
        """The guest that comes back."""
        return self.restoring.guest

    @property
    def folder(self) -> str:
        """Where block lists and the definition lie meanwhile."""
        return fetch_dir(self.guest.name)

    @property
    def program(self) -> str:
        """The program, as other programs are to call it."""
        return self.scene.facts.units.command

    @property
    def disks(self) -> tuple[LvDisk, ...]:
        """The disks that come back."""
        return tuple(disk for _, disk in self.pairs)

    def made(self, disk: LvDisk) -> Volume | None:
        """Return the LV that a restore has made for a disk and not put into service yet."""
        return made(self.scene, self.guest, self.disks, disk)

    @property
    def done(self) -> bool:
        """Whether this very run has put all of them into service, or one that was stopped then."""
        moment = self.restoring.subject.entry.moment
        if not self.restoring.only and is_back(self.scene, self.guest, self.disks, moment):
            return True
        volumes = [self.scene.volumes.get(disk.lv) for _, disk in self.pairs]
        return all(
            one is not None and self.restoring.mark in one.tags and STATE_FILLING not in one.tags
            for one in volumes
        )

    @property
    def leaving(self) -> list[Volume]:
        """The LVs that go into the trash."""
        return leaving(self.scene, self.guest, self.disks)

    @property
    def stamp(self) -> str:
        """The stamp of the trash: that of a run that was stopped in the middle, if any."""
        begun = (tag_value(one, TAG_TRASH) for one in self.leaving)
        return next((stamp for stamp in begun if stamp), utc_stamp(self.restoring.asked))
