"""The door to the real machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence

from kvmkeep.host import files, lock
from kvmkeep.host.crowd import run_all
from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.hung import HungMounts
from kvmkeep.host.run import Setting, run
from kvmkeep.host.ways import way_to
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.way import Way


class MachineDoor:
    """Implements `Door` on this machine; a request to stop in `setting` ends waits as well.

    What hangs with its mount is a TimeoutError after some seconds (`HungMounts`).
    """

    def __init__(self, setting: Setting | None = None, hung: HungMounts | None = None) -> None:
        self._setting = setting or Setting()
        self._hung = hung or HungMounts()

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        """Run a command to its end; never raises because of how it ended."""
        return run(command, self._setting, watch)

    def run_all(
        self, commands: Sequence[Command], *, limit: float, at_once: int
    ) -> tuple[Result, ...]:
        """Run harmless commands side by side; never raises because of how they ended."""
        return run_all(commands, self._setting, limit=limit, at_once=at_once)

    def write(self, file: WriteFile) -> None:
        """Write a file whole and durably; raises OSError."""
        files.write_file(file)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """Return the first `limit` bytes of a regular file, or None where there is none.

        Raises OSError where there is one that can't be read.
        """
        return self._hung.ask(path, lambda: files.read_file(path, limit))

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory; none where it does not exist."""
        return self._hung.ask(directory, lambda: files.list_names(directory))

    def look(self, path: str) -> ImageFile | None:
        """Return what kind of file this is and its fingerprint (lstat), or None."""
        return self._hung.ask(path, lambda: files.look_at(path))

    def secret(self, path: str) -> SecretFile:
        """Return how a file of secrets is seen from outside; never raises."""
        try:
            return self._hung.ask(path, lambda: files.look_at_secret(path))
        except TimeoutError as error:
            return SecretFile(path=path, error=str(error.strerror))

    def way(self, directory: str) -> Way:
        """Return the way to a directory, which need not be there; never raises."""
        try:
            return self._hung.ask(directory, lambda: way_to(directory))
        except TimeoutError as error:
            return Way(path=directory, error=str(error.strerror))

    def device(self, path: str) -> str:
        """Return the `major:minor` of a block device, through links; empty if it is none."""
        try:
            return self._hung.ask(path, lambda: files.block_device(path))
        except TimeoutError:
            return ""

    def locked(self, path: str) -> bool:
        """Whether a run holds the lock of that file."""
        return lock.locked(path)

    def which(self, program: str) -> str:
        """Return the absolute path of a program, or nothing."""
        return shutil.which(program, path=self._setting.environment["PATH"]) or ""

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than until somebody asks to stop."""
        until = time.monotonic() + seconds
        stop = self._setting.stop
        while (left := until - time.monotonic()) > 0 and not stop.requested:
            time.sleep(min(left, self._setting.tick))
        stop.tick()

    def clock(self) -> float:
        """Return seconds of a monotonic clock."""
        return time.monotonic()


def host_name() -> str:
    """Return the host's name, as the kernel knows it."""
    return os.uname().nodename
