"""How a guest's system is fitted: what has to be known before its disk is changed from outside.

Like a look (`model.look`), but with the guest's filesystems mounted where its fstab says, and with
questions about single files. Contents come as base64, so no file can pass for another's answer.
"""

from __future__ import annotations

import base64
import binascii
import re
import stat

from msgspec import Struct

from kvmkeep.model.guestfish import line, script
from kvmkeep.model.inside import FILES, PATHS, Renderer, network_of, selinux_of
from kvmkeep.model.look import (
    FIRST_FILES,
    FIRST_PATHS,
    MARK,
    Filesystem,
    head_of,
    last_of,
    parse_filesystems,
)
from kvmkeep.model.spec import Format

LARGEST = 262144
"""Bytes of the largest file that can be changed in its middle."""

_SYSTEM = "the system"
_NAME = re.compile(r"[A-Za-z0-9_.@:+~-]{1,255}")
_HOME = re.compile(r"/[A-Za-z0-9_.@/+-]{0,255}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?")
# user:role:type, and the range of MLS policies: s0-s15:c0.c1023 (selinux(8); kernel, mls.c).
_LABEL = re.compile(r"[A-Za-z0-9_.]+(?::[A-Za-z0-9_.]+){2}(?::[a-z0-9:,.-]+)?")
_LABEL_LIMIT = 256
# inode(7), "The file type and mode"; what is beyond, the guest's own files have put there.
_MODES = 0o177777


class Account(Struct, frozen=True, kw_only=True):
    """A line of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str


class Seen(Struct, frozen=True, kw_only=True):
    """A path as it was seen. `kind` is `file`, `directory`, `other`, or nothing: not there.

    `time` is the mtime in seconds. `content` is None of what is no file or larger than `LARGEST`.
    `label` is SELinux's, in full; empty where it has none.
    """

    path: str
    kind: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    time: int = 0
    content: bytes | None = None
    label: str = ""

    @property
    def text(self) -> str:
        """The content as text, of which `bytes_of` makes the same bytes, UTF-8 or not."""
        return (self.content or b"").decode(errors="surrogateescape")


def bytes_of(text: str) -> bytes:
    """Return the bytes of a text that may be a file's, `Seen.text`."""
    return text.encode(errors="surrogateescape")


class Fittings(Struct, frozen=True, kw_only=True):
    """The answer to the question `asked`.

    `policy` names SELinux's policy where there is one by which files can be labelled, and `labels`
    tells whether libguestfs on this host can do that. `listings` are the names in the directories
    that were asked about.
    """

    asked: str
    cloud_init: bool
    network: Renderer | None
    accounts: tuple[Account, ...]
    policy: str
    labels: bool
    seen: tuple[Seen, ...]
    listings: tuple[tuple[str, tuple[str, ...]], ...]

    def path(self, path: str) -> Seen | None:
        """Return what was seen at a path; None where nobody asked."""
        return next((one for one in self.seen if one.path == path), None)

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the names in a directory; none where it is not there, or nobody asked."""
        return next((names for path, names in self.listings if path == directory), ())

    def account(self, name: str) -> Account | None:
        """Return the account of that name."""
        return next((one for one in self.accounts if one.name == name), None)


def contexts_of(policy: str) -> str:
    """Return the file that says which label each path has in a policy (file_contexts(5))."""
    return f"/etc/selinux/{policy}/contexts/files/file_contexts"


def fittings_argv(path: str, form: Format) -> tuple[str, ...]:
    """Return the command that asks; the script is its stdin, the answer its stdout."""
    return ("guestfish", "--ro", f"--format={form}", "-a", path, "-i")


def fittings_script(
    form: Format, asked: str, paths: tuple[str, ...], directories: tuple[str, ...]
) -> bytes:
    """Return what guestfish is asked of the system, and of `paths` and `directories` in it."""
    lines = [head_of(form), f'echo "{MARK}filesystem {_SYSTEM}"', f'echo "{MARK}asked"']
    lines.append(line("echo", asked))
    for kind, command in (*FIRST_FILES, *FILES):
        lines += [f'echo "{MARK}{kind}"', command.format(root=""), "echo"]
    for kind, path in (*FIRST_PATHS, *PATHS):
        lines += [f'echo "{MARK}{kind}"', f"-exists {path}"]
    lines += [f'echo "{MARK}labels"', "-feature-available selinuxrelabel"]
    lines += [
        f'echo "{MARK}policy"',
        "-grep ^SELINUXTYPE= /etc/selinux/config | head -c 256",
        f'echo "{MARK}contexts"',
        f"-glob-expand {contexts_of('*')} | head -c 4096",
    ]
    for number, path in enumerate(paths):
        lines += [f'echo "{MARK}path-{number}"', line("echo", path), line("-lstatns", path)]
        read = f"-pread {line('', path).strip()} {LARGEST + 1} 0 | base64 --wrap=0"
        lines += [f'echo "{MARK}content-{number}"', read, "echo"]
        label = f"-lgetxattr {line('', path).strip()} security.selinux | base64 --wrap=0"
        lines += [f'echo "{MARK}label-{number}"', label, "echo"]
    for number, path in enumerate(directories):
        names = f"-ls {line('', path).strip()} | head -c 50000"
        lines += [f'echo "{MARK}list-{number}"', line("echo", path), names, "echo"]
    return script((*lines, *last_of()))


def parse_fittings(text: str) -> Fittings:
    """Read the answer; raise ValueError where it is not a whole one."""
    systems = parse_filesystems(text)
    system = next((one for one in systems if one.name == _SYSTEM), None)
    if system is None or not system.answers.get("asked"):
        raise ValueError("it is not an answer about a system")
    answers = system.answers
    policy = next(iter(answers.get("policy", [])), "").removeprefix("SELINUXTYPE=").strip()
    policy = policy if _NAME.fullmatch(policy) else "targeted"
    needed = selinux_of(system) not in {"", "disabled"}
    # Without the file there is nothing to label by: Debian has the programs without a policy.
    needed = needed and contexts_of(policy) in answers.get("contexts", [])
    numbers = range(len(answers))
    return Fittings(
        asked=answers["asked"][0],
        cloud_init="cloud-init" in system.programs,
        network=network_of(system),
        accounts=_accounts(answers.get("passwd", [])),
        policy=policy if needed else "",
        labels="labels" in system.programs,
        seen=tuple(_seen(system, n) for n in numbers if f"path-{n}" in answers),
        listings=tuple(_listing(answers[f"list-{n}"]) for n in numbers if f"list-{n}" in answers),
    )


def _named(lines: list[str]) -> tuple[str, list[str]]:
    """Return the path that an answer begins with, and what is told of it."""
    if not lines:
        raise ValueError("it is not an answer about a path")
    return lines[0], lines[1:]


def _listing(lines: list[str]) -> tuple[str, tuple[str, ...]]:
    path, names = _named(lines)
    return path, tuple(one for one in names if _NAME.fullmatch(one) and one not in {".", ".."})


def _accounts(lines: list[str]) -> tuple[Account, ...]:
    found: list[Account] = []
    for fields in (one.split(":") for one in lines):
        if len(fields) != 7 or _USER.fullmatch(fields[0]) is None:
            continue
        numbers = [re.fullmatch(r"[0-9]{1,9}", field) for field in fields[2:4]]
        home = fields[5] if _HOME.fullmatch(fields[5]) and ".." not in fields[5] else ""
        if all(numbers):
            uid, gid = (int(field) for field in fields[2:4])
            found.append(Account(name=fields[0], uid=uid, gid=gid, home=home))
    return tuple(found)


def _seen(system: Filesystem, number: int) -> Seen:
    path, told = _named(system.answers[f"path-{number}"])
    values = {
        key: int(value)
        for key, value in re.findall(
            r"^st_([a-z_]+): (-?[0-9]{1,19})$", "\n".join(told), re.MULTILINE
        )
    }
    if "mode" not in values:
        return Seen(path=path)
    mode = values["mode"]
    if not 0 <= mode <= _MODES:
        raise ValueError("it is not an answer about a mode")
    kind = "file" if stat.S_ISREG(mode) else "directory" if stat.S_ISDIR(mode) else "other"
    return Seen(
        path=path,
        kind=kind,
        mode=stat.S_IMODE(mode),
        uid=values.get("uid", 0),
        gid=values.get("gid", 0),
        size=values.get("size", 0),
        time=values.get("mtime_sec", 0),
        content=_content(system.answers.get(f"content-{number}", [])) if kind == "file" else None,
        label=_label(system.answers.get(f"label-{number}", [])),
    )


def _content(lines: list[str]) -> bytes | None:
    try:
        content = base64.b64decode("".join(lines), validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if len(content) <= LARGEST else None


def _label(lines: list[str]) -> str:
    """Return a label; libselinux ends it with a NUL (setfilecon(3))."""
    text = (_content(lines) or b"").rstrip(b"\0").decode("ascii", "replace")
    return text if len(text) <= _LABEL_LIMIT and _LABEL.fullmatch(text) else ""
