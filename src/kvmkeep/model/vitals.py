"""What is looked at only to judge a host's health; what planning needs is in `model.facts`.

As there, everything is of foreign origin.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from kvmkeep.model.facts import Problem
from kvmkeep.model.units import Size

UNITS_SEEN = "units of systemd"
"""What can't be seen where systemd does not tell of the timers and services that are asked for."""


class Mismatches(Struct, frozen=True, kw_only=True):
    """What the last check of an array counted: sectors that differed between its members.

    `action` is what ran last since the host was booted: `check`, `resync`, `recover`, `repair` or
    `none`. The kernel keeps neither over a boot (md(4), "mismatch_cnt"). `running` while something
    goes on: the count is not the whole one yet. `start` is the sector where that began, or where an
    interrupted check is to go on (md(4), "sync_min").
    """

    array: str
    sectors: int
    action: str
    running: bool = False
    start: int = 0


class Count(Struct, frozen=True, kw_only=True):
    """What a check counted, and when that was first seen (ISO 8601)."""

    time: str
    sectors: int


class Trend(Struct, frozen=True, kw_only=True):
    """The counts of an array's whole checks, the oldest first.

    `pieces` while its check goes on in pieces, night by night: the kernel counts each by itself.
    `open` while one goes on as a whole.
    """

    array: str
    counts: tuple[Count, ...]
    pieces: bool = False
    open: bool = False


class Schedule(Struct, frozen=True, kw_only=True):
    """Something that has arrays checked regularly: a unit's name, or a file of cron.

    `last` is when it was last begun, in seconds since 1970; None where nobody knows.
    """

    name: str
    last: int | None = None


class Service(Struct, frozen=True, kw_only=True):
    """A unit that is there, and whether it begins with the host, in words of systemctl(1)."""

    name: str
    state: str


class SpecFileStat(Struct, frozen=True, kw_only=True):
    """A file or directory of the spec: `owner` is a user's number, `mode` its permissions.

    `kind` is a word: `file`, `directory` and so on. `above` where it only lies on the way to one.
    """

    path: str
    owner: int
    mode: int
    kind: str = "file"
    above: bool = False


class Space(Struct, frozen=True, kw_only=True):
    """A mounted filesystem. `inodes` is 0 where it makes them as they are needed."""

    mount: str
    size: Size
    free: Size
    inodes: int
    inodes_free: int
    read_only: bool = False

    @property
    def free_percent(self) -> float:
        """What is left, of bytes or of inodes, whichever is less."""
        parts = [(self.free.bytes, self.size.bytes), (self.inodes_free, self.inodes)]
        return min((100.0 * free / whole for free, whole in parts if whole), default=100.0)


class MetadataBackup(Struct, frozen=True, kw_only=True):
    """A volume group's state, and the one in its file below /etc/lvm/backup, by their numbers.

    `saved` is -1 where there is no such file, or it holds something else. `archived` is how many
    older ones lie below /etc/lvm/archive, and `index` the highest number in their names.
    """

    vg: str
    seqno: int
    saved: int
    archived: int = 0
    index: int = 0


class PhysicalDisk(Struct, frozen=True, kw_only=True):
    """A disk as the kernel names it (`sda`), and what it tells of itself (SMART).

    The name may be another one after a boot; `serial` is printed on the disk.

    `passed` is its own word on whether it is well; None where it has none. `warnings` say what is
    not, where it tells that. `hot` where it calls itself too hot, or too cold, which alone does not
    mean that it fails. `reallocated` sectors
    were replaced by spare ones, `pending` ones can't be read and wait to be written anew, and
    `uncorrectable` counts data that was lost for good, over its whole life. `worn_percent` is the
    part of a flash disk's life that is over; it may pass 100. None is what it does not count.

    `silent` says why it told nothing at all; empty if it did. `hangs` where that is since it did
    not answer in time. Not `asked` where others took all the time. `gone` is the kernel's word for
    one that it has given up, such as `offline`; else empty.
    """

    name: str
    model: str = ""
    serial: str = ""
    passed: bool | None = None
    warnings: tuple[str, ...] = ()
    hot: bool = False
    reallocated: int | None = None
    pending: int | None = None
    uncorrectable: int | None = None
    worn_percent: int | None = None
    celsius: int | None = None
    silent: str = ""
    hangs: bool = False
    gone: str = ""
    asked: bool = True


class LastRun(Struct, frozen=True, kw_only=True):
    """The newest run of kvmkeep's; `outcome` is empty where it did not end. `alive`: it goes on."""

    name: str
    command_line: str
    outcome: str
    alive: bool


class LockHolder(Struct, frozen=True, kw_only=True):
    """Who has signed the host's lock, and `since` when, in seconds since 1970."""

    verb: str
    pid: int
    since: Annotated[int, Meta(ge=0, lt=1 << 32)]
    user: str


class GuestAnswer(Struct, frozen=True, kw_only=True):
    """What a running guest answered. `silent` says why its agent did not; empty if it did.

    `ready` as its spec defines it, None where that could not be told. `up` is for how many
    seconds it has been running, None where that is not known.
    """

    guest: str
    ready: bool | None
    silent: str
    up: float | None


class Vitals(Struct, frozen=True, kw_only=True):
    """The signs of a host's health. `problems` is what could not be seen.

    `synchronized` is None where the clock could not be asked. `bridge_filters` are the kernel's
    packet filters that bridged frames are taken through. `disks` is None where there are some and
    no program that could ask them. `services` are those that guests can't do without.
    `journal` says why no run could be written down; empty if one can. `working` while a run holds
    the host's lock: the marks that it sets on the way are no leftovers. `holder` is that run, as
    long as it has begun no step.
    `image_files` are the names in the directory of the images. `spec_ways` are what the spec leads
    to, and all that lies on the way to that and to the spec.
    """

    mismatches: tuple[Mismatches, ...] = ()
    trends: tuple[Trend, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    spaces: tuple[Space, ...] = ()
    synchronized: bool | None = None
    backups: tuple[MetadataBackup, ...] = ()
    bridge_filters: tuple[str, ...] = ()
    disks: tuple[PhysicalDisk, ...] | None = ()
    services: tuple[Service, ...] = ()
    spec_files: tuple[SpecFileStat, ...] = ()
    spec_ways: tuple[SpecFileStat, ...] = ()
    image_files: tuple[str, ...] = ()
    journal: str = ""
    last_run: LastRun | None = None
    working: bool = False
    holder: LockHolder | None = None
    inside: tuple[GuestAnswer, ...] = ()
    problems: tuple[Problem, ...] = ()
