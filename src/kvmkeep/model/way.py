"""The way to a directory: each directory and link on it, and who may change what lies there.

Root writes where a path leads. Who may write to a directory on it can put a link in the place of
what root has just made, and have root write, or change, any file of the host.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.units import Size

_OTHERS_WRITE = 0o022
"""Group and others (inode(7)); an access list shows in the group's (acl(5))."""
_STICKY = 0o1000
"""In such a directory, what is root's is renamed and removed by nobody else (inode(7))."""
_THEN = "who may change what lies there could have root write anywhere"


class Part(Struct, frozen=True, kw_only=True):
    """A directory or a link on the way: `owner` is a user's number, `mode` its permissions."""

    path: str
    kind: str = "directory"
    owner: int = 0
    mode: int = 0o755


class Way(Struct, frozen=True, kw_only=True):
    """The parts of the way to `path`, from `/` to the last one that is there.

    The last part is a directory, or what lies in its place. `error` tells why no more can be
    seen. A way without parts was not looked at. `free` is what the filesystem at its end has free.
    """

    path: str
    parts: tuple[Part, ...] = ()
    free: Size | None = None
    error: str = "nobody has looked at it"

    @property
    def trouble(self) -> str:
        """Why root must not write there; empty where only root can change where it leads."""
        if self.error:
            return f"{self.path} can't be seen: {self.error}"
        for number, part in enumerate(self.parts, start=1):
            if part.owner != 0:
                return f"{part.path} belongs to the user {part.owner}, not to root: {_THEN}"
            if part.kind == "symlink":
                continue
            if part.kind != "directory":
                return f"{part.path} is no directory, but: {part.kind}"
            last = number == len(self.parts)
            if part.mode & _OTHERS_WRITE and (last or not part.mode & _STICKY):
                return f"others than root may write to {part.path}: {_THEN}"
        return ""
