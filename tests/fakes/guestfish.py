"""A guest's files in memory, and guestfish's commands that change and show them; strict."""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatch

from fakes.words import UnknownCommandError

SILENT = " | cat >/dev/null"
_MODES = {"file": 0o100000, "directory": 0o040000, "link": 0o120000}


@dataclass
class FakeInode:
    kind: str = "directory"
    content: bytes = b""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    time: int = 0
    label: str = ""


@dataclass
class FakeTree:
    """A guest's tree. `ran` are the lines that were run in it; `programs` what a look finds."""

    inodes: dict[str, FakeInode] = field(default_factory=lambda: {"/": FakeInode()})
    ran: list[str] = field(default_factory=list)
    relabels: bool = True

    def put(self, path: str, text: str = "", mode: int = 0o644, owner: int = 0) -> None:
        content = text.encode()
        self.inodes[path] = FakeInode("file", content, mode, owner, owner)
        self._parents(path)

    def make(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        self.inodes.setdefault(path, FakeInode("directory", b"", mode, owner, owner))
        self._parents(path)

    def text(self, path: str) -> str:
        return self.inodes[path].content.decode()

    def below(self, path: str) -> list[str]:
        inside = f"{path.rstrip('/')}/"
        return [one for one in self.inodes if one == path or one.startswith(inside)]

    def _parents(self, path: str) -> None:
        while path != "/":
            path = posixpath.dirname(path)
            self.inodes.setdefault(path, FakeInode())

    # guestfish's commands

    def run(self, script: str, packs: Callable[[str], FakeTree | None]) -> str:
        """Run a script up to the first line that fails; return what that said."""
        for one in script.splitlines():
            name, *words = split(one.removeprefix("-").removesuffix(SILENT))
            command = getattr(self, "do_" + name.replace("-", "_"), None)
            if command is None:
                raise UnknownCommandError(one)
            first = (packs(words[0]),) if name == "tar-in" else tuple(words[:1])
            problem = command(*first, *words[1:])
            if problem and not one.startswith("-"):
                return f"{one}: {problem}"
        return ""

    def do_mkdir_p(self, path: str) -> str:
        self.make(path)
        return ""

    def do_mkdir(self, path: str) -> str:
        if path in self.inodes or posixpath.dirname(path) not in self.inodes:
            return "exists, or has no parent"
        self.make(path)
        return ""

    def do_write(self, path: str, content: str) -> str:
        if self._kind(posixpath.dirname(path)) != "directory":
            return "no such directory"
        self.inodes[path] = FakeInode("file", content.encode("latin-1"), 0o644)
        return ""

    def do_chmod(self, mode: str, path: str) -> str:
        self.inodes[path].mode = int(mode, 8)
        return ""

    def do_chown(self, uid: str, gid: str, path: str) -> str:
        self.inodes[path].uid, self.inodes[path].gid = int(uid), int(gid)
        return ""

    def do_mv(self, source: str, target: str) -> str:
        return self._move(source, target, keep=False)

    def do_cp_a(self, source: str, target: str) -> str:
        return self._move(source, target, keep=True)

    def do_rm_rf(self, path: str) -> str:
        assert path != "/"
        for one in self.below(path):
            del self.inodes[one]
        return ""

    def do_rm_f(self, path: str) -> str:
        self.inodes.pop(path, None)
        return ""

    def do_glob(self, command: str, pattern: str) -> str:
        # Where nothing matches, the command gets the pattern itself (libguestfs, fish/glob.c).
        assert command == "rm-f"
        for one in [one for one in self.inodes if fnmatch(one, pattern)] or [pattern]:
            self.do_rm_f(one)
        return ""

    def do_truncate(self, path: str) -> str:
        if self._kind(path) != "file":
            return "No such file or directory"
        self.inodes[path].content = b""
        return ""

    def do_pwrite(self, path: str, content: str, offset: str) -> str:
        if self._kind(path) != "file":
            return "No such file or directory"
        old, at = self.inodes[path].content, int(offset)
        new = content.encode("latin-1")
        self.inodes[path].content = old[:at] + new + old[at + len(new) :]
        return ""

    def do_ln_sf(self, to: str, path: str) -> str:
        self.inodes[path] = FakeInode("link", to.encode(), 0o777)
        return ""

    def do_touch(self, path: str) -> str:
        self.put(path)
        return ""

    def do_sh(self, command: str) -> str:
        self.ran.append(command)
        return ""

    def do_sync(self) -> str:
        return ""

    def do_lsetxattr(self, name: str, label: str, length: str, path: str) -> str:
        assert (name, int(length)) == ("security.selinux", len(label))
        self.inodes[path].label = label
        return ""

    def do_copy_attributes(self, source: str, target: str, what: str) -> str:
        assert what == "xattributes:true"
        if source not in self.inodes or target not in self.inodes:
            return "No such file or directory"
        self.inodes[target].label = self.inodes[source].label
        return ""

    def do_selinux_relabel(self, contexts: str, path: str) -> str:
        if not self.relabels or self._kind(contexts) != "file":
            return "setfiles failed"
        for one in self.below(path):
            self.inodes[one].label = "right"
        return ""

    def _kind(self, path: str) -> str:
        return self.inodes[path].kind if path in self.inodes else ""

    def _move(self, source: str, target: str, *, keep: bool) -> str:
        if source not in self.inodes or posixpath.dirname(target) not in self.inodes:
            return "No such file or directory"
        assert self._kind(target) in {"", "file", "link"}, f"mv would put it into {target}"
        moved = {one: self.inodes[one] for one in self.below(source)}
        for one, inode in moved.items():
            if not keep:
                del self.inodes[one]
            self.inodes[target + one[len(source) :]] = deepcopy(inode)
        return ""

    def do_tar_in(self, pack: FakeTree | None, path: str, xattrs: str) -> str:
        assert xattrs == "xattrs:true"
        if pack is None or self._kind(path) != "directory":
            return "no such file"
        for one, inode in pack.inodes.items():
            if one != "/":
                self.inodes[path + one] = deepcopy(inode)
        return ""

    # What prints only
    def do_echo(self, *_: str) -> str:
        return ""

    do_glob_expand = do_grep = do_echo

    # What a look shows

    def answer(self, script: str) -> str:
        """Return what guestfish prints of the tree."""
        said: list[str] = []
        for one in script.splitlines():
            command, _, pipe = one.removeprefix("-").partition(" | ")
            name, *words = split(command)
            if name not in {"glob", "ping-daemon"}:
                lines = getattr(self, "tell_" + name.replace("-", "_"))(*words)
                encoded = pipe.startswith("base64")
                said += (
                    [base64.b64encode(lines[0].encode("latin-1")).decode()] if encoded else lines
                )
        return "\n".join(one.rstrip("\n") for one in said) + "\n"

    def tell_echo(self, *words: str) -> list[str]:
        return [" ".join(words)]

    def tell_exists(self, path: str) -> list[str]:
        return ["true" if path in self.inodes else "false"]

    def tell_lstatns(self, path: str) -> list[str]:
        return self._stat(path)

    def tell_lgetxattr(self, path: str, name: str) -> list[str]:
        assert name == "security.selinux"
        label = self.inodes[path].label if path in self.inodes else ""
        return [f"{label}\0" if label else ""]

    def tell_glob_expand(self, pattern: str) -> list[str]:
        return [one for one in self.inodes if fnmatch(one, pattern)]

    def tell_pread(self, path: str, length: str, _: str) -> list[str]:
        return [self._content(path)[: int(length)].decode("latin-1")]

    def tell_head_n(self, _: str, path: str) -> list[str]:
        return [self._content(path).decode("utf-8", "replace")]

    def tell_grep(self, pattern: str, path: str) -> list[str]:
        lines = self._content(path).decode("utf-8", "replace").splitlines()
        return [one for one in lines if re.search(pattern, one)]

    def tell_ls(self, path: str) -> list[str]:
        below = (one for one in self.below(path) if one != path)
        return sorted({one[len(path) + 1 :].partition("/")[0] for one in below})

    def tell_feature_available(self, feature: str) -> list[str]:
        assert feature == "selinuxrelabel"
        return ["true" if self.relabels else "false"]

    def _content(self, path: str) -> bytes:
        return self.inodes[path].content if self._kind(path) == "file" else b""

    def _stat(self, path: str) -> list[str]:
        inode = self.inodes.get(path)
        if inode is None:
            return []
        return [
            f"st_mode: {_MODES[inode.kind] | inode.mode}", f"st_uid: {inode.uid}",
            f"st_gid: {inode.gid}", f"st_size: {len(inode.content)}",
            f"st_mtime_sec: {inode.time}", "st_mtime_nsec: 0",
        ]  # fmt: skip


def split(line: str) -> list[str]:
    r"""Take a line of guestfish apart: bare words and double quotes with \xHH."""
    words: list[str] = []
    while line := line.lstrip():
        if line[0] == '"':
            match = re.match(r'"((?:[^"\\]|\\x[0-9a-f]{2}|\\n)*)"(?= |$)', line)
            assert match is not None, f"not quoted well: {line}"
            text = match[1].replace("\\n", "\n")
            words.append(re.sub(r"\\x(..)", lambda found: chr(int(found[1], 16)), text))
        else:
            match = re.match(r"[^ \"'|;$`]+", line)
            assert match is not None, f"a word without quotes: {line}"
            words.append(match[0])
        line = line[match.end() :]
    return words


def debian() -> FakeTree:
    """Return a Debian guest with NetworkManager, GRUB and cloud-init."""
    tree = FakeTree()
    tree.put("/etc/os-release", 'PRETTY_NAME="Debian 12"\n')
    people = "root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/bash\n"
    tree.put("/etc/passwd", people + "bad\nhome:x:1001:1001::/../x:/bin/sh\nid:x:y:1::/:/bin/sh\n")
    tree.put("/etc/shadow", "root:*:20000:0:99999:7:::\nadmin:!:20000:0:99999:7:::\n", 0o640, 42)
    tree.make("/root", 0o700)
    tree.make("/home/admin", 0o700, 1000)
    tree.put("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n", 0o440)
    tree.make("/etc/sudoers.d", 0o750)
    tree.put("/etc/hostname", "old\n")
    tree.put("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\told.example.org old\n")
    tree.put("/usr/bin/cloud-init")
    tree.make("/etc/cloud/cloud.cfg.d")
    tree.put("/usr/sbin/NetworkManager")
    tree.put("/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection", "x", 0o600)
    tree.put("/boot/grub/grub.cfg", "linux /vmlinuz root=/dev/vda1 quiet console=tty0\n")
    tree.put("/usr/lib/systemd/system/serial-getty@.service")
    return tree
