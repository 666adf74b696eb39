"""A door for a look that has to end: each question gets a part of the time that is left.

A disk that died holds up LVM and df(1) for minutes, and a dead NFS server a mere lstat(2) for
ever. So one thing that hangs must not use up the time of the others, nor be waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from kvmkeep.host.door import Door, ProgressWatcher, Result
from kvmkeep.host.hung import NO_DISK, timed_out
from kvmkeep.host.run import Setting, not_run
from kvmkeep.host.silent import Silent, answer_within
from kvmkeep.model.command import NOT_STARTED, Command, WriteFile
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.way import Way

HASTY = Setting(grace=0.3, patience=0.3, linger=0.1)
"""How commands end that have no time: these read only, so nothing is lost where they are killed."""

_PART = 3
"""A question gets one of so many parts of what is left."""
_LEAST = 1.0
"""Seconds that it gets in any case, as long as there are any."""
_FAMILIES = {"lvs": "lvm", "vgs": "lvm", "pvs": "lvm"}
"""Programs that wait for the same locks and disks."""

T = TypeVar("T")


class HurriedDoor:
    """Implements `Door`: what is asked through it ends within `limit` seconds in all.

    A command that ran into that counts as timed out, and the read of a file is a TimeoutError.
    What hangs in the kernel is left to it. What hung once is not waited for that long again.
    """

    def __init__(self, door: Door, limit: float) -> None:
        self._door = door
        self._deadline = door.clock() + limit
        self._hung: set[str] = set()

    def _left(self) -> float:
        return self._deadline - self._door.clock()

    def _part(self) -> float:
        left = self._left()
        return max(left / _PART, min(left, _LEAST))

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        """Run a command to its end, or to that of its time."""
        program = command.argv[0]
        family = _FAMILIES.get(program, program)
        part = min(self._part(), _LEAST) if family in self._hung else self._part()
        if part <= 0:
            text = f"{program}: no time was left to begin it"
            return not_run(NOT_STARTED, text, timed_out=True)
        result = self._door.run(replace(command, timeout=min(command.timeout, part)), watch)
        if result.timed_out:
            self._hung.add(family)
        return result

    def run_all(
        self, commands: Sequence[Command], *, limit: float, at_once: int
    ) -> tuple[Result, ...]:
        """Run harmless commands side by side."""
        within = max(0.0, min(limit, self._left()))
        return self._door.run_all(commands, limit=within, at_once=at_once)

    def write(self, file: WriteFile) -> None:
        """Write a file; this may take longer."""
        self._door.write(file)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """Return the first bytes of a regular file, or None; raises OSError."""
        return self._in_time(path, lambda: self._door.read(path, limit))

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory; raises OSError."""
        return self._in_time(directory, lambda: self._door.names(directory))

    def look(self, path: str) -> ImageFile | None:
        """Return what kind of file this is, or None; raises OSError."""
        return self._in_time(path, lambda: self._door.look(path))

    def secret(self, path: str) -> SecretFile:
        """Return how a file of secrets is seen from outside; never raises."""
        try:
            return self._in_time(path, lambda: self._door.secret(path))
        except TimeoutError as error:
            return SecretFile(path=path, error=str(error.strerror))

    def way(self, directory: str) -> Way:
        """Return the way to a directory; never raises."""
        try:
            return self._in_time(directory, lambda: self._door.way(directory))
        except TimeoutError as error:
            return Way(path=directory, error=str(error.strerror))

    def device(self, path: str) -> str:
        """Return the `major:minor` of a block device; empty if it is none, or can't be seen."""
        try:
            return self._in_time(path, lambda: self._door.device(path))
        except TimeoutError:
            return ""

    def locked(self, path: str) -> bool:
        """Whether a run holds the lock of that file."""
        return self._door.locked(path)

    def which(self, program: str) -> str:
        """Return the absolute path of a program, or nothing."""
        return self._door.which(program)

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than there is time."""
        self._door.sleep(max(0.0, min(seconds, self._left())))

    def clock(self) -> float:
        """Return seconds of a monotonic clock."""
        return self._door.clock()

    def _in_time(self, path: str, question: Callable[[], T]) -> T:
        if path.startswith(NO_DISK):
            return question()
        part = self._part()
        if part > 0:
            try:
                return answer_within(part, question)
            except Silent:
                pass
        raise timed_out(path)
