"""What is mounted, as the kernel tells it (proc(5), /proc/pid/mountinfo)."""

from __future__ import annotations

from collections.abc import Iterable

PLACE = "/proc/self/mountinfo"
LIMIT = 1 << 22
_AUTOFS = "autofs"
_READ_ONLY = frozenset({"ro", "emergency_ro"})


def mount_points(content: bytes) -> frozenset[str]:
    r"""Return where something is mounted; the kernel writes a space as `\040`.

    A row of autofs only says that something is to be mounted when somebody goes there; what is
    mounted then has a row of its own (autofs(5)).
    """
    return frozenset(place for place, kind in _rows(content) if kind != _AUTOFS)


def asleep(content: bytes, places: Iterable[str]) -> tuple[str, ...]:
    """Return those of these directories that an automount may bring, and has not brought by now."""
    rows = _rows(content)
    points = frozenset(place for place, _ in rows)
    waiting = points - mount_points(content)
    return tuple(one for one in places if mount_of(f"{one}/", points) in waiting)


def read_only(content: bytes) -> frozenset[str]:
    """Return the mount points where nothing can be written.

    After an error, ext4 makes its superblock read-only (ext4(5), `errors=`), and the options of its
    mounts stay as they were: so either tells. Newer kernels write `emergency_ro` there.
    """
    last: dict[str, bool] = {}
    for line in content.decode("utf-8", "replace").splitlines():
        mount, _, filesystem = line.partition(" - ")
        words, kind = mount.split(), filesystem.split(" ")
        if len(words) > 5:
            options = {*words[5].split(","), *",".join(kind[2:]).split(",")}
            # The last mount on a mount point is the one that is seen.
            last[_unescaped(words[4])] = not options.isdisjoint(_READ_ONLY)
    return frozenset(place for place, one in last.items() if one)


def mount_of(path: str, points: frozenset[str]) -> str:
    """Return the mount point that a path lies on; empty where that is the root's."""
    above = (one for one in points if one != "/" and path.startswith(f"{one}/"))
    return max(above, key=len, default="")


def _rows(content: bytes) -> tuple[tuple[str, str], ...]:
    """Return each mount point with the type of what is mounted there."""
    pairs = (line.partition(" - ") for line in content.decode("utf-8", "replace").splitlines())
    rows = ((mount.split(), filesystem.split()) for mount, _, filesystem in pairs)
    return tuple((_unescaped(row[4]), kind[0]) for row, kind in rows if len(row) > 4 and kind)


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
