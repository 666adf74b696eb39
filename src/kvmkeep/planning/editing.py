"""A change of a guest's files, built step by step as lines for guestfish.

What must be known first is asked for: `needs` and `lists` are paths that nobody has looked at yet.
As long as there are any, the lines are a draft. Everything can be done twice: what is already as
it is to be is left alone, so a change that was killed goes on where it was.
"""

from __future__ import annotations

import posixpath

from msgspec import Struct, field

from kvmkeep.model.fittings import Account, Fittings, Seen
from kvmkeep.model.guestfish import line
from kvmkeep.model.tweak import OLD_DIR

NEW = ".kvmkeep-new"
"""A new file until it is complete: hidden, so that no program takes it for one of its own."""

Refused = tuple[str, str]
"""A reason, and what to do about it."""


class Editing(Struct, kw_only=True):
    """What has been collected. `stamp` names the change: kept files lie in a directory of it."""

    known: Fittings | None
    stamp: str
    lines: list[str] = field(default_factory=list)
    needs: dict[str, None] = field(default_factory=dict)
    lists: dict[str, None] = field(default_factory=dict)
    refused: dict[Refused, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    touched: dict[str, None] = field(default_factory=dict)

    @property
    def draft(self) -> bool:
        """Whether more must be known before any of this may be done."""
        return self.known is None or bool(self.needs or self.lists)

    def seen(self, path: str) -> Seen:
        """Return what is at a path; nothing, and a need, where nobody has looked yet."""
        found = self.known.path(path) if self.known is not None else None
        if found is None:
            self.needs[path] = None
        return found or Seen(path=path)

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory."""
        if self.known is None or directory not in {path for path, _ in self.known.listings}:
            self.lists[directory] = None
            return ()
        return self.known.names(directory)

    def account(self, name: str) -> Account | None:
        """Return an account, or refuse where there is none."""
        if self.known is None:
            return None
        found = self.known.account(name)
        if found is None:
            people = [a.name for a in self.known.accounts if a.uid == 0 or 1000 <= a.uid < 65534]
            there = ", ".join(people[:20]) or "none"
            self.refuse(f"there is no user {name} in it", f"accounts there: {there}")
        return found

    def refuse(self, reason: str, hint: str) -> None:
        """Note why this can't be done."""
        self.refused[(reason, hint)] = None

    def do(self, command: str, *words: str | bytes) -> None:
        """Add a line."""
        self.lines.append(line(command, *words))

    def keep(self, path: str, *, move: bool = False) -> None:
        """Keep what is at a path: a copy, or the thing itself."""
        place = f"{OLD_DIR}/{self.stamp}{path}"
        if not self.kept:
            self.do("mkdir-p", OLD_DIR)
            self.do("chmod 0700", OLD_DIR)
            self.touched[OLD_DIR] = None
        self.kept.append(path)
        self.do("mkdir-p", posixpath.dirname(place))
        self.do("rm-rf", place)
        self.do("mv" if move else "cp-a", path, place)

    def directory(self, path: str) -> None:
        """Have a directory of root's."""
        if self.seen(path).kind == "":
            self.do("mkdir-p", path)
            self.touched[path] = None

    def put(
        self, path: str, content: bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)
    ) -> None:
        """Have a file: written beside its place and renamed; an old one is kept."""
        old = self.seen(path)
        if old.kind not in {"", "file"}:
            what = "a directory" if old.kind == "directory" else "a link or something special"
            self.refuse(f"{path} in it is {what}", "look at it: kvmkeep shell")
            return
        same = old.content == content and (old.mode, old.uid, old.gid) == (mode, *owner)
        if old.kind == "file" and same:
            return
        directory = posixpath.dirname(path)
        if old.kind == "file":
            self.keep(path)
        else:
            self.directory(directory)
        new = f"{directory.rstrip('/')}/{NEW}"
        self.do("write", new, content)
        self.do(f"chmod 0{mode:o}", new)
        self.do(f"chown {owner[0]} {owner[1]}", new)
        self.do("mv", new, path)
        self.touched[path] = None

    def finish(self, *, everything: bool = False) -> None:
        """Set SELinux's labels of what was touched; of `everything` where that is not known."""
        if self.known is None or not self.known.policy or not self.lines:
            return
        contexts = f"/etc/selinux/{self.known.policy}/contexts/files/file_contexts"
        if self.known.labels and not everything:
            for path in self.touched:
                self.do("selinux-relabel", contexts, path)
        else:
            # selinux(8): at the next boot all files are labelled, and the guest boots once more.
            self.do("touch", "/.autorelabel")
            self.notes.append(
                "SELinux's labels are set at its next boot, which takes longer and ends in another "
                "boot"
            )
