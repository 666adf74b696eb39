"""What an engine can do with a repository: the same words for each engine, and no data of ours.

Each is a command that can be typed. Where data flows, the engine's command line is given to
`kvmkeep blocks`, which feeds it or reads from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from kvmkeep.model.backup import Part
from kvmkeep.model.backup_policy import Engine, Repository
from kvmkeep.model.command import Command
from kvmkeep.planning.repositories.borg import Borg
from kvmkeep.planning.repositories.restic import Restic


class Driver(Protocol):
    """What the words of an engine are, for one repository.

    `ends_by` is the signal on which it stores nothing of what it is fed. `waits` are the seconds
    that it may wait for others that use the repository. It can read the data `by_parts`, or else
    reads all of it.
    """

    ends_by: str
    waits: float
    by_parts: bool

    def init(self) -> Command:
        """Return what makes the repository; it fails where there is one."""

    def place(self, guest: str, disk: str) -> str:
        """Return the path that a disk's data has in its object."""

    def put(self, path: str, host: str, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return what stores its stdin as one object, with the data at `path`."""

    def put_files(self, directory: str, host: str, tags: tuple[str, ...], why: str) -> Command:
        """Return what stores a directory as one object."""

    def get(self, one: str, path: str) -> tuple[str, ...]:
        """Return what writes the data at `path` of an object to its stdout."""

    def fetch(self, one: str, path: str, to: str, most: int, why: str) -> Command:
        """Return what writes the data at `path` of an object to a file of at most `most` bytes.

        What a repository holds, others may have stored.
        """

    def mount(self, directory: str) -> tuple[str, ...]:
        """Return what shows all objects as files, until it is stopped."""

    def mounted(self, directory: str, one: str, path: str) -> str:
        """Return where the data at `path` of an object is then."""

    def forget(self, objects: tuple[str, ...], why: str) -> Command:
        """Return what takes objects out of the repository; their data stays until it is pruned."""

    def prune(self) -> Command:
        """Return what deletes data that no object has any more."""

    def check(self, part: Part | None = None) -> Command:
        """Return what proves the repository's structure, and reads that part of the data."""

    def unlock(self) -> tuple[Command, ...]:
        """Return what removes locks of runs that are dead; those of living ones stay.

        It is empty where the engine does that by itself.
        """


def driver(repository: Repository, program: str) -> Driver:
    """Return the words of a repository's engine; `program` is the path of kvmkeep."""
    return _DRIVERS[repository.engine](repository, program)


_DRIVERS: Mapping[Engine, Callable[[Repository, str], Driver]] = {
    Engine.RESTIC: Restic,
    Engine.BORG: Borg,
}
