"""What the host said on its console, as far as it tells why it does not come up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SHOWN = 40
_ANIMATION = re.compile(r"^(\x1bM)?\s*$|Job .* running \(.* / ")
"""While systemd waits for units, it goes a line up (ESC M) and writes anew for which, all the time."""


def last_words(log: Path) -> str:
    """Return the last lines of a console's log, without those that systemd writes while it waits."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([line for line in lines if not _ANIMATION.search(line)][-_SHOWN:])
