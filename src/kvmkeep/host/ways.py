"""The way to a directory, part by part, as the kernel walks it (path_resolution(7))."""

from __future__ import annotations

import errno
import os
import posixpath
import stat

from kvmkeep.host.files import kind_of
from kvmkeep.model.units import Size
from kvmkeep.model.way import Part, Way

_LINKS = 40
"""So many the kernel follows (path_resolution(7))."""


def way_to(path: str) -> Way:
    """Return the way to a directory that need not be there; never raises."""
    parts = [_part("/", os.lstat("/"))]
    try:
        here = _walk(path, parts)
        if parts[-1].path != here:
            parts.append(_part(here, os.lstat(here)))
        free = _free(here)
    except OSError as error:
        return Way(path=path, parts=tuple(parts), error=error.strerror or str(error))
    return Way(path=path, parts=tuple(parts), free=free, error="")


def _walk(path: str, parts: list[Part]) -> str:
    """Note each part of a path; return the directory, without links, at which it ends."""
    here, links = "/", 0
    names = path.split("/")[::-1]
    while names:
        name = names.pop()
        if name == "..":
            here = posixpath.dirname(here)
        if name in {"", ".", ".."}:
            continue
        there = posixpath.join(here, name)
        try:
            found = os.lstat(there)
        except FileNotFoundError:
            break
        parts.append(_part(there, found))
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            to = os.readlink(there)
            names += to.split("/")[::-1]
            here = "/" if to.startswith("/") else here
        else:
            here = there
    return here


def _free(path: str) -> Size | None:
    """Return what is free there; None where the filesystem has no size, as some in memory."""
    found = os.statvfs(path)
    return Size(found.f_bavail * found.f_frsize) if found.f_blocks else None


def _part(path: str, found: os.stat_result) -> Part:
    return Part(
        path=path,
        kind=kind_of(found.st_mode),
        owner=found.st_uid,
        mode=stat.S_IMODE(found.st_mode),
    )
