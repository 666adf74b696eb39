"""Backups: what repositories hold, what lies ready to be sent, and what is remembered.

A backup is one object of the engine for each disk, and last of all an object with the manifest:
the commit mark. A set without it is no backup.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from kvmkeep.model.names import BACKUP_MEMO_DIR
from kvmkeep.model.proof import Proof
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.units import Size

MOST_PARTS = 100
"""One for each percent."""
_PART = re.compile(r"([0-9]{1,3})/([0-9]{1,3})")
MOMENT = re.compile(r"[0-9]{8}T[0-9]{4}([0-9]{2})?Z")


class StoredDisk(Struct, frozen=True, kw_only=True):
    """A disk in a repository: the engine's object, and the path of the data in it."""

    disk: str
    object: str
    path: str
    size: Size


class BackupEntry(Struct, frozen=True, kw_only=True):
    """A backup as a listing tells it, without opening anything.

    `moment` is the name of the set: a UTC time to the minute, or to the second. `level` is a word
    of `model.snapshot.Level`. `manifest` is the engine's object, `path` the directory in it. `time`
    is when it was complete, UTC in ISO 8601. `size` is that of the disks, `added` what the
    repository grew by. `host` is where it was made. `whole` is false where the object of a disk is
    gone from the repository: somebody else's rules may have forgotten it there.
    """

    repository: str
    guest: str
    identity: str
    moment: str
    level: str
    manifest: str
    path: str
    time: str
    host: str
    size: Size
    added: Size
    disks: tuple[StoredDisk, ...]
    whole: bool = True


class Fragment(Struct, frozen=True, kw_only=True):
    """What a run that did not end well left in a repository: objects of a set without manifest.

    Or what a run of `host` is storing just now. Older ones tell no `identity`.
    """

    repository: str
    host: str
    guest: str
    moment: str
    disks: tuple[StoredDisk, ...]
    identity: str = ""


class RepositoryState(StrEnum):
    """How a look into a repository ended."""

    READY = "ready"
    ABSENT = "absent"
    """There is nothing yet: it can be made."""
    HALF = "half made"
    """A run that made it was stopped, or it is damaged; `said` tells what there is."""
    UNASKED = "not asked"
    """Its password or keys are not to be used as they lie there; `said` tells."""
    WRONG_PASSWORD = "wrong password"  # noqa: S105 - a word of ours
    UNFIT = "engine unfit"
    """The engine on this host is none that is used; `said` tells."""
    UNSEEN = "unseen"
    """It could not be reached, or did not answer as it should; `said` tells."""


class RepositoryFacts(Struct, frozen=True, kw_only=True):
    """A repository as it was seen. `said` are the engine's last words where it is not ready.

    `version` is what the engine calls itself.
    """

    name: str
    state: RepositoryState
    said: str = ""
    version: str = ""
    entries: tuple[BackupEntry, ...] = ()
    fragments: tuple[Fragment, ...] = ()


class SentDisk(Struct, frozen=True, kw_only=True):
    """What `kvmkeep blocks send` wrote when a disk was sent: `DISK.blocks.done`.

    `object` is as the engine told it, perhaps short. `sha256` is that of the block list. `read`
    counts the bytes that were not zero, `added` what the repository grew by. Both times are UTC
    in ISO 8601.
    """

    disk: str
    object: str
    size: Size
    sha256: str
    read: Size
    added: Size
    started: str
    ended: str


class StagedSet(Struct, frozen=True, kw_only=True):
    """The directory of a backup that is on its way: `names` are all its files."""

    guest: str
    moment: str
    names: tuple[str, ...]
    sent: tuple[SentDisk, ...]


class GuestMemo(Struct, frozen=True, kw_only=True):
    """What is remembered of a guest's backups, in a file that is called by its identity.

    The identity stays when the guest is renamed.
    """

    ENDING: ClassVar[str]

    identity: str

    @classmethod
    def path(cls, identity: str) -> str:
        """Return the file of the guest of that identity."""
        return f"{BACKUP_MEMO_DIR}/{identity}{cls.ENDING}"


class LastBackup(GuestMemo, frozen=True, kw_only=True):
    """What is remembered of a guest's last backup, so that nobody has to ask the repository.

    `since` is the moment from which on its backups went to that repository; empty where an older
    kvmkeep wrote it.
    """

    ENDING = ".json"

    repository: str
    moment: str
    level: str
    since: str = ""

    @property
    def first(self) -> str:
        """The first moment that is known of."""
        return self.since or self.moment


class VanishedBackup(GuestMemo, frozen=True, kw_only=True):
    """A backup that this host made, and its repository did not list any more at some time.

    `noticed` is that time, UTC in ISO 8601. It stays noticed until it is listed again, or somebody
    says that it was meant to go: a newer backup does not hide it.
    """

    ENDING = ".vanished"

    repository: str
    moment: str
    noticed: str


class AwaitedBackup(GuestMemo, frozen=True, kw_only=True):
    """A guest that is to be backed up and never was; `moment` is when that was first seen."""

    ENDING = ".awaited"

    moment: str


class Part(Struct, frozen=True, kw_only=True):
    """A part of a repository's data, as an engine divides it: the `number`th of `of`, from 1 on."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class Upkeep(Struct, frozen=True, kw_only=True):
    """When a repository was last found sound, and when room was last freed in it.

    `begun` is when the last check of it was begun, be it that this did not end well. All are UTC in
    ISO 8601; empty for never. `parts` are those of the data that were last read:
    one for each number of parts that it was divided into.
    """

    repository: str
    begun: str = ""
    verified: str = ""
    pruned: str = ""
    parts: tuple[Part, ...] = ()


class BackupFacts(Struct, frozen=True, kw_only=True):
    """Repositories, as far as they were asked for, and what lies ready on this host.

    `secrets` are the files that the spec's repositories are opened with. `shown` are the guests for
    which a repository is seen as files to copy something out, `fetched` the guests and files that
    disks are brought back to: who holds the host's lock knows that these runs are dead. `running`
    when another run is sending backups just now, `proving` when one proves a backup. `last`,
    `vanished`, `awaited`, `proofs` and `upkeep` are what is remembered here; of the proofs, all
    where a repository was asked for, and else the one of each guest's last backup that was tried.
    `caches` are what checks have left that were killed: restic has each begin with a cache of its
    own.
    """

    repositories: tuple[RepositoryFacts, ...] = ()
    secrets: tuple[SecretFile, ...] = ()
    staged: tuple[StagedSet, ...] = ()
    shown: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    running: bool = False
    proving: bool = False
    last: tuple[LastBackup, ...] = ()
    vanished: tuple[VanishedBackup, ...] = ()
    awaited: tuple[AwaitedBackup, ...] = ()
    proofs: tuple[Proof, ...] = ()
    upkeep: tuple[Upkeep, ...] = ()
    caches: tuple[str, ...] = ()

    def repository(self, name: str) -> RepositoryFacts | None:
        """Return a repository that was asked for."""
        return next((one for one in self.repositories if one.name == name), None)

    def last_of(self, identity: str) -> LastBackup | None:
        """Return what is remembered of the last backup of the guest of that identity."""
        return next((one for one in self.last if one.identity == identity), None)

    def vanished_of(self, identity: str) -> VanishedBackup | None:
        """Return the backup of the guest of that identity that was noticed to be gone."""
        return next((one for one in self.vanished if one.identity == identity), None)

    def awaited_of(self, identity: str) -> AwaitedBackup | None:
        """Return since when the first backup of the guest of that identity is waited for."""
        return next((one for one in self.awaited if one.identity == identity), None)

    def proof_of(self, identity: str, now: datetime) -> Proof | None:
        """Return the proof of the last backup that was tried, of the guest of that identity.

        It counts where the last backup is: what one in another repository did says nothing of it.
        """
        last = self.last_of(identity)
        place = None if last is None else last.repository
        mine = (
            one for one in self.proofs if one.whose == identity and place in {None, one.repository}
        )
        return max(mine, key=lambda one: recency(one.moment, now), default=None)

    def upkeep_of(self, repository: str) -> Upkeep:
        """Return what is remembered of the upkeep of a repository."""
        found = (one for one in self.upkeep if one.repository == repository)
        return next(found, Upkeep(repository=repository))


NO_BACKUPS = BackupFacts()


class Stored(Struct, frozen=True, kw_only=True):
    """What an engine says when it has stored an object: its id, and what the repository grew by."""

    object: str
    added: Size


def parse_moment(text: str) -> str:
    """Accept the name of a set: `20261127T1240Z`, or with seconds."""
    if MOMENT.fullmatch(text) is None:
        raise ValueError("not a time of a backup (such as 20261127T1240Z)")
    return text


def parse_part(text: str) -> Part:
    """Accept a part of the data: `7/20`."""
    found = _PART.fullmatch(text)
    if found is not None:
        number, of = (int(one) for one in found.groups())
        if 1 <= number <= of <= MOST_PARTS:
            return Part(number=number, of=of)
    raise ValueError("not a part of the data (such as 7/20)")


def moment_order(moment: str) -> str:
    """Return what sorts moments: one to the minute stands before those of its seconds."""
    return moment.removesuffix("Z")


def recency(moment: str, now: datetime) -> tuple[bool, str]:
    """Return a sort key: the newest backup has the largest.

    One of a time that is still to come is the last only where there is no other: a clock was wrong.
    """
    order = moment_order(moment)
    return order <= now.astimezone(UTC).strftime("%Y%m%dT%H%M%S"), order


def blocks_name(disk: str) -> str:
    """Return the name of a disk's block list among the files of a backup."""
    return f"{disk}.blocks"


def done_name(disk: str) -> str:
    """Return the name of the file that tells that a disk was sent."""
    return f"{disk}.blocks.done"


def nested_path(guest: str, disk: str) -> str:
    """Return the path of a disk's data in an object of borg's, and of an older one of restic's."""
    return f"/{guest}/{disk}.raw"


def flat_path(guest: str, disk: str) -> str:
    """Return the path of a disk's data in an object of restic's.

    restic 0.18.0 stores nothing from its stdin under a name with a directory (restic's issue 5324).
    """
    return f"/{guest}-{disk}.raw"
