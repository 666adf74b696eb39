"""Questions about files, none of which is waited for long: a dead NFS server answers nobody."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable
from typing import TypeVar

from kvmkeep.host.files import read_file
from kvmkeep.host.mountinfo import LIMIT, PLACE, mount_of, mount_points
from kvmkeep.host.silent import Silent, answer_within

NO_DISK = ("/proc/", "/sys/", "/dev/", "/run/")
"""No disk is asked for these."""
_OWN = ("/etc/", "/usr/", "/var/lib/kvmkeep/")
"""Where these do not answer, nothing on this host does."""
_LIMIT = 10.0
_AGAIN = 1.0
"""Seconds for what lies on a mount that did not answer before."""

T = TypeVar("T")


class HungMounts:
    """Asks about files, and remembers which mounts did not answer."""

    def __init__(self, limit: float = _LIMIT, again: float = _AGAIN) -> None:
        self._limit = limit
        self._again = again
        self._hung: set[str] = set()

    def ask(self, path: str, question: Callable[[], T]) -> T:
        """Return the answer to a question about a file; raises TimeoutError where none comes.

        lstat(2) on a hard mount of NFS waits for its server for ever, and no signal but SIGKILL
        ends it (nfs(5), "soft / hard").
        """
        if path.startswith((*NO_DISK, *_OWN)):
            return question()
        known = any(path.startswith(f"{mount}/") for mount in self._hung)
        try:
            return answer_within(self._again if known else self._limit, question)
        except Silent:
            self._hung.add(_mount(path))
            raise timed_out(path) from None


def timed_out(path: str) -> TimeoutError:
    """Return the error of a file about which nothing was told in time."""
    return TimeoutError(errno.ETIMEDOUT, "it did not answer in time", path)


def _mount(path: str) -> str:
    """Return the mount point that a path lies on, or its directory where that is the root's."""
    points = mount_points(read_file(PLACE, LIMIT) or b"")
    return mount_of(path, points) or posixpath.dirname(path)
