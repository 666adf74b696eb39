"""What a command must not do while it runs: write without end, and take the host's last room."""

from __future__ import annotations

import os

from kvmkeep.host.silent import Silent, answer_within
from kvmkeep.model.command import SPARE, Command
from kvmkeep.model.store import part_path

_LIMIT = 1.0
"""Seconds that a filesystem gets to tell how full it is."""


class Excess:
    """Watches what one command writes; where nothing can be seen, nothing is wrong."""

    def __init__(self, command: Command) -> None:
        self._target = command.stdout_to if command.most else ""
        self._most = command.most
        self._spares = command.spares

    def seen(self) -> str:
        """Return why the command is not to go on; empty if it may."""
        return self.of_file() or self._of_room()

    def of_file(self) -> str:
        """Return the same of its output file alone, which counts in the end as well."""
        if not self._target or _size(part_path(self._target)) <= self._most:
            return ""
        return f"ended: it gives more for {self._target} than {self._most} bytes, the most expected"

    def _of_room(self) -> str:
        path = self._spares
        if not path:
            return ""
        try:
            free = answer_within(_LIMIT, lambda: _free(path))
        except Silent:  # a dead server, which hangs the command as well: its own time limit ends it
            self._spares = ""
            return ""
        return "" if free >= SPARE.bytes else f"ended: less than {SPARE} would stay free at {path}"


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _free(path: str) -> int:
    try:
        found = os.statvfs(path)
    except OSError:
        return SPARE.bytes
    # Some that are not on disks tell no size at all.
    return found.f_bavail * found.f_frsize if found.f_blocks else SPARE.bytes
