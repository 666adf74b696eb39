"""The proof of a backup: what a guest is called that is started from one, and how we know it.

Such a guest is never one of the spec: its domain, its LVs and its bridge wear marks of their own,
and no other verb sees them.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable

from msgspec import Struct

from kvmkeep.model.agent import Answer
from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.names import CONSOLE_DIR, RUN_DIR
from kvmkeep.model.units import PROOF_PREFIX, Size


class Rung(Struct, frozen=True, kw_only=True, rename={"passed": "held"}):
    """A rung of the ladder of a proof: whether it passed, after how many seconds, and why not.

    Files of proofs and what is printed of them call that `held`.
    """

    name: str
    passed: bool
    seconds: float
    detail: str = ""

    @property
    def unanswered(self) -> str:
        """Why it fell without an answer: that may be the fault of the line, or of this host.

        What the guest itself does not do in its time is an answer.
        """
        if self.passed:
            return ""
        if self.detail.startswith(NOT_TRIED):
            return "which was not tried"
        if self.detail == LATE and self.name not in {AGENT, LOGIN, MOUNTS, CHECK}:
            return "at its time limit"
        if self.denied:
            return "which this host does not let QEMU read"
        old = self.name == FILESYSTEMS and _TOO_NEW in self.detail
        return "whose checker on this host is too old for them" if old else ""

    @property
    def denied(self) -> bool:
        """Whether the host kept QEMU from the files, as SELinux does; root has read them before."""
        return not self.passed and self.name == START and "Permission denied" in self.detail


class Proof(Struct, frozen=True, kw_only=True):
    """How the proof of a backup ended. `screen` is the file of the console's last screen.

    `guest` is the name that the backup is stored under. Older ones tell no `identity`.
    `proven_before` is when this backup was last proven, where it is not any more. `little` tells
    with how much of its memory it was started (`300 MiB of 2 GiB`); empty where that was all.
    """

    repository: str
    guest: str
    moment: str
    time: str
    proven: bool
    rungs: tuple[Rung, ...]
    screen: str = ""
    identity: str = ""
    proven_before: str = ""
    little: str = ""

    @property
    def last_proven(self) -> str:
        """When it was last proven; empty where it never was."""
        return self.time if self.proven else self.proven_before

    @property
    def untried(self) -> bool:
        """Whether it tells nothing of the backup: all that fell came to no answer."""
        fell = [one for one in self.rungs if not one.passed]
        return not self.proven and bool(fell) and all(one.unanswered for one in fell)

    @property
    def mend(self) -> str:
        """What lets QEMU read backups where SELinux denies them; empty where it was not denied.

        They lie on FUSE, which guests may read with that boolean only (virt_selinux(8)).
        """
        denied = any(one.denied for one in self.rungs)
        return "with SELinux: setsebool -P virt_use_fusefs on" if denied else ""

    @property
    def whose(self) -> str:
        """The identity of the guest; where it is not told, the name that most have for one."""
        return self.identity or self.guest


PROOF_URI = "urn:kvmkeep:proof:1"
"""Namespace of the element in the `<metadata>` of a domain that was started from a backup."""
PROOF_KEY = "kvmkeep-proof"
"""Prefix of that namespace."""
TAG_PROOF = "kvmkeep.proof="
"""On an LV that takes what such a guest writes: of which guest's backup it is the proof.

It is made before anything else of a proof, and removed last: while there is one, a proof goes on
or was killed.
"""

_BRIDGE = "kkproof-"
_NAMESPACE = uuid.UUID("0d3f3bfe-5f0c-5b0a-8c5e-6b766d6b6570")


def proof_domain(guest: str) -> str:
    """Return the name of the domain that is started from a guest's backup."""
    return f"{PROOF_PREFIX}{guest}"


def is_proof_domain(name: str) -> bool:
    """Whether a domain's name is that of a proof."""
    return name.startswith(PROOF_PREFIX)


def proof_uuid(host: str, guest: str) -> str:
    """Return that domain's UUID: name-based, and never the guest's own."""
    return str(uuid.uuid5(_NAMESPACE, f"proof/{host}/{guest}"))


def proof_bridge(guest: str) -> str:
    """Return the name of its bridge; an interface's name has at most 15 characters."""
    return _BRIDGE + hashlib.sha256(guest.encode()).hexdigest()[:6]


def proof_lv(guest: str, disk: str) -> str:
    """Return the LV that takes what is written to a disk during the proof."""
    return f"{PROOF_PREFIX}{guest}-{disk}"


def proof_unit(guest: str) -> str:
    """Return the transient unit that shows the repository as files during the proof."""
    return f"{PROOF_PREFIX}{guest}.service"


def proof_run_dir(guest: str) -> str:
    """Return what holds the repository's files and the domain's XML during the proof."""
    return f"{RUN_DIR}/proof/{guest}"


def proof_console(guest: str) -> str:
    """Return the file that virtlogd writes the console of the proof to."""
    return f"{CONSOLE_DIR}/{PROOF_PREFIX}{guest}-console.log"


REPOSITORY, PARTITIONS, FILESYSTEMS = "repository", "partitions", "filesystems"
START, AGENT, LOGIN, MOUNTS, CHECK = "start", "agent", "login", "mounts", "check"
_TOO_NEW = "unsupported feature"
"""What e2fsck(8) says of a filesystem that a newer one has made; it looks no further then."""
NOT_TRIED = "not tried: "
"""With the rung behind it that it needs."""
LATE = "it did not end within its time limit"
"""Why a rung fell that came to no answer."""
DISKS = "disks"
"""That all disks of the guest are in the backup: nothing is tried for that, its XML tells."""
BLOCKS = "blocks-"
"""With a disk's name behind it."""
OVERLAY = "overlay-"
"""With a disk's name behind it: that it can be opened for the guest."""
VARIABLES = "variables"
"""That those of its firmware are there. Both are told only where they fell."""
MEMORY = "memory"
"""Nothing is tried for it: it keeps how much of its memory the guest is started with."""
SCREEN = "screen"
"""What the console shows in the end: the last that is done, and nothing that could fall."""

SCREEN_LIMIT = 16384
"""Bytes of the console's log that are kept."""
_SCREEN_LINES = 50
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
"""ECMA-48's control sequences, operating system commands, and other escapes."""

_LISTED = re.compile(r"(/dev/[A-Za-z0-9_+./-]{1,120}): ([a-z0-9_]{1,20})")
_MOST = 64
_CHECKED = frozenset({"ext2", "ext3", "ext4"})
_MOUNTED = _CHECKED | {"xfs", "btrfs", "vfat"}
"""Filesystems that Linux has on every host; others say nothing about the backup."""
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "virtiofs"})


class RunningProof(Struct, frozen=True, kw_only=True):
    """A domain that was started from a backup of a guest, and the memory that it has."""

    guest: str
    memory: Size


class Ladder(Struct, frozen=True, kw_only=True):
    """What a proof has found out so far: the rungs, and what was printed on some of them."""

    rungs: tuple[Rung, ...]
    said: dict[str, str]

    def rung(self, name: str) -> Rung | None:
        """Return a rung that was tried."""
        return next((one for one in self.rungs if one.name == name), None)

    def passed(self, name: str) -> bool:
        """Whether a rung was tried and passed."""
        rung = self.rung(name)
        return rung is not None and rung.passed


def parse_rung(content: bytes) -> Rung | None:
    """Return what was kept of a rung, or None where it is not whole."""
    return decoded_or_none(content, Rung)


def filesystems(text: str) -> tuple[tuple[str, str], ...]:
    """Return devices and types as libguestfs lists them; what it can't be sure of is left out."""
    found = (_LISTED.fullmatch(line) for line in text.splitlines())
    return tuple((one[1], one[2]) for one in found if one is not None)[:_MOST]


def filesystem_script(found: Iterable[tuple[str, str]]) -> bytes:
    """Return what has guestfish check filesystems, and print the fstab that is in one of them.

    It ends badly at the first that is broken. Nothing of it is written to the disks. Those that
    libguestfs has a checker for on every host are checked; others that Linux knows have to be
    mounted, which replays their journals.
    """
    lines = ["run"]
    for device, kind in found:
        if kind in _CHECKED:
            lines.append(f"e2fsck {device} correct:true")
        if kind in _MOUNTED:
            lines += [
                f"mount {device} /",
                f"echo {_FSTAB}",
                "-head-n 500 /etc/fstab | head -c 65536",
                "umount /",
            ]
    return "\n".join([*lines, "ping-daemon", ""]).encode()


_FSTAB = "@kvmkeep-fstab"


_NOT_AT_BOOT = frozenset({"noauto", "nofail", "_netdev", "x-systemd.automount"})
"""Options of what need not be there once it is up, or comes at its first use (systemd.mount(5))."""


def wanted_mounts(text: str) -> tuple[str, ...]:
    """Return the mount points of an fstab that a guest on its own is to have mounted (fstab(5))."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or words[0].startswith(("#", "@")) or not words[1].startswith("/"):
            continue
        _, place, kind, options = words[:4]
        some = {*options.split(",")}
        by_device = words[0].startswith(("/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="))
        if by_device and kind not in _NETWORK and not some & _NOT_AT_BOOT:
            found.append(_plain(place).rstrip("/") or "/")
    return tuple(dict.fromkeys(found))[:_MOST]


def _plain(word: str) -> str:
    """Return a word of an fstab as it is meant: it has blanks as octal numbers (fstab(5))."""
    data = re.sub(rb"\\([0-3][0-7]{2})", lambda one: bytes([int(one[1], 8)]), word.encode())
    return data.decode("utf-8", "replace")


class _Mounted(Struct, frozen=True):
    mountpoint: str


def missing_mounts(fstab: str, answer: str) -> str:
    """Return what is wrong with what a guest says that it has mounted; empty if nothing is.

    `answer` is that of its agent to guest-get-fsinfo (qemu-ga-ref(7)).
    """
    said = decoded_or_none(answer, Answer[list[_Mounted]])
    if said is None:
        return "its agent does not tell what is mounted"
    there = {one.mountpoint for one in said.returned}
    if not there:
        return "its agent says that nothing is mounted"
    # An old system on another disk, or a second one, has an fstab of its own.
    wanted = filter(None, map(wanted_mounts, fstab.split(_FSTAB)))
    lacking = [[place for place in one if place not in there] for one in wanted]
    missing = min(lacking, key=len, default=[])
    return f"not mounted: {', '.join(missing)}" if missing else ""


def last_screen(log: bytes) -> str:
    """Return the last lines of a console's log as harmless text."""
    text = _ESCAPE.sub("", log[-SCREEN_LIMIT:].decode("utf-8", "replace"))
    lines = (line.rstrip() for line in text.replace("\r", "\n").split("\n"))
    clean = ("".join(sign for sign in line if sign.isprintable()) for line in lines if line)
    return "".join(f"{line}\n" for line in list(clean)[-_SCREEN_LINES:])
