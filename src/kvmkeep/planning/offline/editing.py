"""A change of a guest's files, built step by step as lines for guestfish.

What must be known first is asked for: `needs` and `lists` are paths that nobody has looked at yet.
As long as there are any, the lines are a draft. Everything can be done twice: what is already as
it is to be is left alone, so a change that was killed goes on where it was.

The appliance's kernel labels nothing. So whatever is written gets the SELinux label of what it
replaces, else that of its directory, as if a program in the guest had made it, and that before it
gets its name: a guest is bootable at every moment. What the policy says otherwise of a new path,
only the policy's own reader knows (setfiles(8)); it has the last word where libguestfs has it.
"""

from __future__ import annotations

import posixpath

from msgspec import Struct, field

from kvmkeep.model.fittings import Account, Fittings, Seen, contexts_of
from kvmkeep.model.guestfish import line
from kvmkeep.model.plan import Reason
from kvmkeep.model.tweak import OLD_DIR

NEW = ".kvmkeep-new"
"""A new file until it is complete: hidden, so that no program takes it for one of its own."""


class Editing(Struct, kw_only=True):
    """What has been collected. `stamp` names the change: kept files lie in a directory of it."""

    known: Fittings | None
    stamp: str
    lines: list[str] = field(default_factory=list)
    needs: dict[str, None] = field(default_factory=dict)
    lists: dict[str, None] = field(default_factory=dict)
    refused: dict[Reason, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    touched: dict[str, None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Any change may have to keep something: then one look is enough.
        self.label_of(OLD_DIR)

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

    def label_of(self, path: str) -> str:
        """Return the label of a path, else of the nearest directory above it that has one.

        All of these are asked for at once, so that one look is enough.
        """
        found = self.labels.get(path) or self.seen(path).label
        above = posixpath.dirname(path)
        return found if above == path else found or self.label_of(above)

    def label(self, path: str, label: str) -> None:
        """Label what has just been made at a path, where its system has labels."""
        self.labels[path] = label
        if label:
            self.do("lsetxattr security.selinux", label, str(len(label)), path)

    def kept_at(self, path: str) -> str:
        """Return where what is at a path is kept, beside all that this run has kept before."""
        place = f"{OLD_DIR}/{self.stamp}{path}"
        while self.seen(place).kind:
            place += "~"
        return place

    def keep(self, path: str, *, move: bool = False, place: str = "") -> None:
        """Keep what is at a path: a copy, or the thing itself, with its label: it may come back."""
        place = place or f"{OLD_DIR}/{self.stamp}{path}"
        if not self.kept:
            self.directory(OLD_DIR)
            self.do("chmod 0700", OLD_DIR)
            # By the policy it would label what is kept in it as well.
            self.touched.pop(OLD_DIR, None)
        self.kept.append(path)
        self._new_directories(posixpath.dirname(place))
        self.do("rm-rf", place)
        self.do("mv" if move else "cp-a", path, place)

    def _new_directories(self, path: str) -> None:
        """Have a directory that can't have been there, in `OLD_DIR`."""
        if path != OLD_DIR and path not in self.labels:
            self._new_directories(posixpath.dirname(path))
            self.do("mkdir-p", path)
            self.label(path, self.label_of(OLD_DIR))

    def directory(self, path: str, kind: str = "") -> None:
        """Have a directory; a new one is root's. `kind` is its SELinux type if it has its own."""
        label = self.label_of(path)
        if self.seen(path).kind or path in self.labels or path == "/":
            return
        self.directory(posixpath.dirname(path))
        self.do("mkdir-p", path)
        self.label(path, with_type(label, kind) if kind else label)
        self.touched[path] = None

    def put(
        self, path: str, content: bytes, mode: int = 0o644, owner: tuple[int, int] = (0, 0)
    ) -> None:
        """Have a file: written beside its place and renamed; an old one is kept."""
        old = self.seen(path)
        label = self.label_of(path)
        if old.kind not in {"", "file"}:
            what = "a directory" if old.kind == "directory" else "a link or something special"
            self.refuse(f"{path} in it is {what}", "look at it: kvmkeep shell")
            return
        same = old.content == content and (old.mode, old.uid, old.gid) == (mode, *owner)
        if old.kind == "file" and same and (old.label or not label):
            return
        directory = posixpath.dirname(path)
        if old.kind == "file":
            self.keep(path)
        else:
            self.directory(directory)
            label = self.label_of(path)
        new = f"{directory.rstrip('/')}/{NEW}"
        self.do("write", new, content)
        self.label(new, label)
        self.do(f"chmod 0{mode:o}", new)
        self.do(f"chown {owner[0]} {owner[1]}", new)
        self.do("mv", new, path)
        self.touched[path] = None

    def finish(self, *, everything: bool = False) -> None:
        """Have the policy's own reader label what was touched; or `everything`."""
        if self.known is None or not self.known.policy or not self.lines:
            return
        if self.known.labels:
            for path in ("/",) if everything else outermost(tuple(self.touched)):
                self.do("selinux-relabel", contexts_of(self.known.policy), path)
        elif everything:
            # selinux(8): at the next boot all files are labelled, and the guest boots once more.
            self.do("touch", "/.autorelabel")
            self.notes.append(
                "SELinux's labels of all files are set at its next boot, which takes longer and "
                "ends in another boot: what the command writes gets none, and libguestfs here has "
                "no setfiles"
            )
        else:
            self._tell_of_new()

    def _tell_of_new(self) -> None:
        new = [path for path in outermost(tuple(self.touched)) if not self.seen(path).kind]
        if new:
            self.notes.append(
                f"libguestfs here has no setfiles: new files get the SELinux labels of their "
                f"directories; what its policy says is set in it by: restorecon -R {' '.join(new)}"
            )


def outermost(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths that are in none of the others."""
    return tuple(path for path in paths if not any(path.startswith(f"{one}/") for one in paths))


def with_type(label: str, kind: str) -> str:
    """Return an SELinux label with another type; none where there is none."""
    parts = label.split(":", 3)
    return ":".join((*parts[:2], kind, *parts[3:])) if label else ""
