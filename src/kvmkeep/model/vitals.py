"""What is looked at only to judge a host's health; what planning needs is in `model.facts`.

As there, everything is of foreign origin.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.facts import Problem
from kvmkeep.model.units import Size


class Mismatches(Struct, frozen=True, kw_only=True):
    """What the last check of an array counted: sectors that differed between its members.

    `action` is what ran last since the host was booted: `check`, `resync`, `recover`, `repair` or
    `none`. The kernel keeps neither over a boot (md(4), "mismatch_cnt").
    """

    array: str
    sectors: int
    action: str


class Schedule(Struct, frozen=True, kw_only=True):
    """Something that has arrays checked regularly: a unit's name, or a file of cron.

    `last` is when it was last begun, in seconds since 1970; None where nobody knows.
    """

    name: str
    last: int | None = None


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

    `saved` is -1 where there is no such file, or it holds something else.
    """

    vg: str
    seqno: int
    saved: int


class LastRun(Struct, frozen=True, kw_only=True):
    """The newest run of kvmkeep's; `outcome` is empty where it did not end. `alive`: it goes on."""

    name: str
    command_line: str
    outcome: str
    alive: bool


class Inside(Struct, frozen=True, kw_only=True):
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
    packet filters that bridged frames are taken through.
    """

    mismatches: tuple[Mismatches, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    spaces: tuple[Space, ...] = ()
    synchronized: bool | None = None
    backups: tuple[MetadataBackup, ...] = ()
    bridge_filters: tuple[str, ...] = ()
    last_run: LastRun | None = None
    inside: tuple[Inside, ...] = ()
    problems: tuple[Problem, ...] = ()
