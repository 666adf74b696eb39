"""Whether runs can be written down: what the kernel says of the journal's directory (test(1))."""

from __future__ import annotations

from kvmkeep.host.door import Door
from kvmkeep.host.tools import answer, question
from kvmkeep.model.names import JOURNAL_DIR, STATE_DIR

PLACE = "where runs are kept"
_NO = 1


def trouble(door: Door) -> str:
    """Return why no run can be written down; empty if one can. Raises Unanswered or OSError.

    Where nothing was ever run, there is no directory yet. Root may write anywhere but on a
    filesystem that is read-only, and into a directory that is immutable (chattr(1)); others than
    its owner are not asked.
    """
    for place in (JOURNAL_DIR, STATE_DIR):
        found = door.look(place)
        if found is None:
            continue
        if found.kind not in {"directory", "symlink"}:
            return f"{place} is no directory but a {found.kind}"
        argv = ("test", "!", "-O", place, "-o", "-w", place)
        result = question(door, PLACE, argv)
        if result.code == _NO:
            return f"root can't write into {place}"
        answer(result, PLACE, argv)
        return ""
    return ""
