"""How full the filesystems are that a host can't do without (df(1), proc(5): mountinfo)."""

from __future__ import annotations

from kvmkeep.host.door import Door
from kvmkeep.host.mountinfo import LIMIT, PLACE, read_only
from kvmkeep.host.tools import Unanswered, ask
from kvmkeep.model.facts import Problem
from kvmkeep.model.names import STATE_DIR
from kvmkeep.model.text import masked_lines
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import Space

PLACES = (
    "/", "/run", "/var", "/var/cache", "/var/log", "/var/lib", "/var/lib/libvirt", STATE_DIR,
    "/etc", "/boot",
)  # fmt: skip
"""What is asked for, as far as it is there: a stale NFS mount elsewhere would hang df for ever."""

DF = ("df", "--block-size=1", "--output=target,size,avail,itotal,iavail", "--")

_COLUMNS = 5


def spaces(door: Door) -> tuple[Space, ...]:
    """Return the filesystems below `PLACES`, each once; raises Unanswered or OSError."""
    what = "filesystems"
    places = tuple(place for place in PLACES if door.look(place) is not None)
    lines = ask(door, what, (*DF, *places)).splitlines()[1:]
    rows = dict.fromkeys(tuple(line.rsplit(None, _COLUMNS - 1)) for line in lines)
    locked = read_only(door.read(PLACE, LIMIT) or b"")
    try:
        return tuple(_space(row, locked) for row in rows)
    except ValueError as error:
        reason = f"df answered with something else than the columns expected: {error}"
        raise Unanswered(
            Problem(what=what, reason=masked_lines(reason)[:400], hint="try: df -h; df -i")
        ) from error


def _space(row: tuple[str, ...], locked: frozenset[str]) -> Space:
    mount, size, free, inodes, inodes_free = row
    return Space(
        mount=mount,
        size=Size(_number(size)),
        free=Size(_number(free)),
        inodes=_number(inodes),
        inodes_free=_number(inodes_free),
        read_only=mount in locked,
    )


def _number(text: str) -> int:
    """Return a number; df writes a dash for what a filesystem does not count."""
    number = 0 if text == "-" else int(text)
    if not 0 <= number < 1 << 63:
        raise ValueError(f"{number} is no count")
    return number
