"""What the spec asks of backups: where they go, when they are made, and how many are kept."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from kvmkeep.model.units import Label


class Engine(StrEnum):
    """What stores the data."""

    RESTIC = "restic"
    BORG = "borg"


class Repository(Struct, frozen=True, kw_only=True):
    """A place for backups. `url` is what the engine takes: `/dir`, `sftp:user@host:/path` ...

    `environment_file` is empty where the engine needs no keys of its own. `rate` is in bytes for
    each second; 0 is no limit. From one that is `append_only`, this host can delete nothing.
    """

    name: Label
    engine: Engine
    url: str
    password_file: str
    environment_file: str = ""
    rate: int = 0
    append_only: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """The paths of the files that it is opened with."""
        return tuple(path for path in (self.password_file, self.environment_file) if path)


class Keep(Struct, frozen=True, kw_only=True):
    """How many backups are kept: the last ones, and one for each of so many days and so on."""

    last: int
    daily: int
    weekly: int
    monthly: int


class BackupPolicy(Struct, frozen=True, kw_only=True):
    """How a guest is backed up. `schedule` and `prove` are times as of systemd.time(7).

    `check` is the command that is run in the guest when a backup is proven; empty for none.
    """

    repository: Label
    schedule: str
    keep: Keep
    prove: str
    check: tuple[str, ...]
