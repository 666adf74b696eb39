"""The files of a fake host, as its daemons see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvmkeep.model.way import Part, Way


@dataclass(frozen=True)
class FakeFiles:
    """What a daemon does with files; `names` are those in a folder."""

    read: Callable[[str], bytes | None]
    put: Callable[[str, bytes, int], None]
    drop: Callable[[str], None]
    names: Callable[[str], tuple[str, ...]]


def roots_own(directory: str) -> Way:
    """Return the way to a directory where only root may write, and on the way to it."""
    names = directory.strip("/").split("/")
    above = ("/" + "/".join(names[:count]) for count in range(len(names) + 1))
    parts = tuple(Part(path=path) for path in dict.fromkeys(above))
    return Way(path=directory, parts=parts, error="")


def anybodys(directory: str) -> Way:
    """Return the way to a directory as /tmp is one."""
    parts = (Part(path="/"), Part(path=directory, mode=0o1777))
    return Way(path=directory, parts=parts, error="")
