"""The files of a fake host, as its daemons see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FakeFiles:
    """What a daemon does with files; `names` are those in a folder."""

    read: Callable[[str], bytes | None]
    put: Callable[[str, bytes, int], None]
    drop: Callable[[str], None]
    names: Callable[[str], tuple[str, ...]]
