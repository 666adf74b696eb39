"""What is mounted, as the kernel tells it (proc(5), /proc/pid/mountinfo)."""

from __future__ import annotations

PLACE = "/proc/self/mountinfo"
LIMIT = 1 << 22


def mount_points(content: bytes) -> frozenset[str]:
    r"""Return where something is mounted; the kernel writes a space as `\040`."""
    rows = (line.split() for line in content.decode("utf-8", "replace").splitlines())
    return frozenset(_unescaped(words[4]) for words in rows if len(words) > 4)


def mount_of(path: str, points: frozenset[str]) -> str:
    """Return the mount point that a path lies on; empty where that is the root's."""
    above = (one for one in points if one != "/" and path.startswith(f"{one}/"))
    return max(above, key=len, default="")


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
