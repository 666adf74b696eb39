"""What is mounted, as the kernel tells it (proc(5), /proc/pid/mountinfo)."""

from __future__ import annotations

PLACE = "/proc/self/mountinfo"
LIMIT = 1 << 22
_READ_ONLY = frozenset({"ro", "emergency_ro"})


def mount_points(content: bytes) -> frozenset[str]:
    r"""Return where something is mounted; the kernel writes a space as `\040`."""
    rows = (line.split() for line in content.decode("utf-8", "replace").splitlines())
    return frozenset(_unescaped(words[4]) for words in rows if len(words) > 4)


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


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
