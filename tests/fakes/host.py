"""A whole host in memory: a Door whose commands have their effects on what `facts` then shows.

It is strict: a command line, option or file that it does not expect raises, since the real tool
might do anything. What it can't know (what an image holds) is told to it with `add_image`.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fakes.borg import FakeBorg, without_environment
from fakes.facts import facts_of
from fakes.files import FakeFiles, roots_own
from fakes.guestfish import FakeTree, debian
from fakes.lvm import FakeLvm, FakeVolume
from fakes.nm import FakeLink, FakeNm
from fakes.proof import FakeProof
from fakes.restic import FakeRestic
from fakes.systemd import FakeSystemd
from fakes.virsh import FakeDomain, FakeVirsh
from fakes.words import UnknownCommandError, among_others, standing_ahead, take_apart
from msgspec.json import encode

from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.repositories import stored
from kvmkeep.model.backup import SentDisk
from kvmkeep.model.blocks import block_text
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.image_facts import Contents, Fingerprint, ImageFile
from kvmkeep.model.names import BACKUP_LOCK, FIRST_BOOT_DONE, LOCK_FILE, PROOF_LOCK, console_log
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.model.way import Way
from kvmkeep.observe.firmware import firmware_variables


@dataclass
class FakeFile:
    """A file; `stamp` counts changes and stands for both times."""

    content: bytes
    inode: int
    stamp: int
    mode: int = 0o644
    kind: str = "file"
    size: int = 0
    """Of a disk's file: how large it is, since `content` holds none of it."""
    used: int = 0
    """Of a disk's file: how much of it the guest's filesystem has."""


@dataclass(frozen=True)
class FakeImage:
    """What lies behind the bytes of an image file."""

    format: str
    virtual_size: int
    contents: Contents
    refused: str = ""


THERE = """
/etc /etc/libvirt /etc/logrotate.d /etc/systemd /etc/systemd/system /home /root /run /run/kvmkeep
/run/libvirt /srv /srv/out /tmp /var /var/cache /var/lib /var/lib/libvirt /var/lib/libvirt/images
/var/log
"""
"""What a plain server with libvirt has, the directory of a run's own lock, and an own one."""

CLOUD = Contents(
    os="Debian 12", cloud_init=True, datasources=(), agent=True, bakes_disks=False, detail=""
)


class FakeHost:
    """One server: `run` and `write` change it, `facts` shows it."""

    def __init__(self, vg: str = "rl_build", size: int = 1 << 40) -> None:
        self.lvm = FakeLvm(vg, size)
        self.lvm.is_open = lambda name: name in self.opened
        self.files: dict[str, FakeFile] = {}
        self._count = 0
        files = FakeFiles(self.read, self.put, lambda path: self.files.pop(path, None), self.names)
        self.nm = FakeNm(files)
        self.nm.links["uplink0"] = FakeLink("uplink0", mac="02:00:00:00:00:02")
        self.nm.links["mgmt0"] = FakeLink("mgmt0", addresses=("192.0.2.10/24",))
        self.libvirt = FakeVirsh(self._boots, lambda path: self.read(path, 1 << 30))
        self._wire()
        self.systemd = FakeSystemd(self.libvirt.virsh, files, self._runs)
        self.systemd.files, self.systemd.put = self.files, self.put
        self.restic = FakeRestic(self._below)
        self.borg = FakeBorg(self._below)
        self.backup_running = self.working = False
        self.secrets: dict[str, SecretFile] = {}
        """Files of secrets that are not as they should be, by their paths."""
        self.ways: dict[str, Way] = {}
        """The ways to directories that are not root's own, by their paths."""
        self.directories: dict[str, int] = dict.fromkeys(THERE.split(), 0o755)
        """Those that something was put in or that were made, and what a host has from the start."""
        self.images: dict[bytes, FakeImage] = {}
        self.trees: dict[str, FakeTree] = {}
        """What lies in images and packs, by their paths."""
        self.web: dict[str, bytes] = {}
        self.lists: dict[bytes, str] = {}
        self.tools: dict[str, str] = {}
        self.calls: list[Command] = []
        self.memory = 64 << 30
        self.images_free: Size | None = Size(100 << 30)
        self.management = ("mgmt0", "192.0.2.1", True)
        self.filtered = False
        """Whether that gateway, which answers no ping, is on its link all the same."""
        self.peers: dict[str, bool] = {}
        """Who is logged in by SSH, and whether that machine answers."""
        self.mounts: set[str] = set()
        self.free_on_mounts = 1 << 50
        self.held: set[str] = set()
        """LVs that something else than a domain has open: a mount, a mapping."""
        self.links: dict[str, str] = {}
        """Symbolic links, and where they lead in the end."""
        self.devices: set[str] = set()
        """Files that are no plain ones, besides LVs."""
        self.now = 0.0
        self.events: dict[int, Callable[[], None]] = {}
        """What others do just before the n-th command."""
        self.proof = FakeProof(self)
        self.systemd.services = self.proof
        self._tools = {
            "lvcreate": self.lvm.lvcreate,
            "lvchange": self.lvm.lvchange,
            "lvconvert": self.lvm.lvconvert,
            "lvextend": self.lvm.lvextend,
            "lvrename": self.lvm.lvrename,
            "lvs": self.lvm.lvs,
            "blkdiscard": self.lvm.blkdiscard,
            "nmcli": self.nm.nmcli,
            "ip": lambda argv: self.proof.bridge(argv) or self.nm.ip(argv),
            "systemctl": self.systemd.systemctl,
            "env": lambda argv: self.borg.run(without_environment(argv)),
            "borg": self.borg.run,
            "restic": lambda argv: (
                self._of_proof["restic"](argv, b"")
                if {"check", "dump"} & {*argv} and not self.restic.repositories
                else self.restic.run(argv)
            ),
            "busctl": lambda argv: self.nm.busctl(argv, self.now),
            "timedatectl": lambda _: (0, "NTPSynchronized=yes\n"),
        }
        self._of_proof = self.proof.commands()

    def _wire(self) -> None:
        self.libvirt.disk = self._disk_of
        self.libvirt.bridged = self._bridged
        self.libvirt.drops = lambda path: self.files.pop(path, None)

    # What a test puts there

    def add_image(self, path: str, image: FakeImage) -> bytes:
        """Put an image file there; returns its bytes, which stand for it wherever they go."""
        content = f"{path} {image.format} {image.virtual_size}".encode()
        self.images[content] = image
        self.put(path, content)
        return content

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._count += 1
        old = self.files.get(path)
        inode = old.inode if old is not None else self._count
        self.files[path] = FakeFile(content, inode, self._count, mode)
        self._makes(path.rpartition("/")[0])

    def _makes(self, directory: str, mode: int = 0o755) -> None:
        """Make a directory where it is none yet, and those above it."""
        while directory and directory not in self.directories:
            self.directories[directory] = mode
            directory, mode = directory.rpartition("/")[0], 0o755

    def lands(self, path: str, content: bytes, mode: int = 0o644) -> tuple[int, str]:
        """Write a file as a command does: nothing makes its directory."""
        if not self._has_place(path):
            return 1, f"{path}: No such file or directory"
        self.put(path, content, mode)
        return 0, ""

    def _has_place(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        return folder in self.directories or folder in self.mounts

    def power_cycle(self) -> None:
        """Cut the power and boot: guests are off, and units that are enabled are started."""
        self.systemd.timers = {}
        self.empties_run()
        for domain in self.libvirt.domains.values():
            if domain.name != "legacy":
                domain.live = None
        self.nm.boot()
        self.systemd.boot()

    def empties_run(self) -> None:
        """Lose what lies in memory alone."""
        for path in self._at_or_below("/run", self.files):
            del self.files[path]
        for path in self._at_or_below("/run/kvmkeep", self.directories)[1:]:
            del self.directories[path]

    def _bridged(self, port: str, bridge: str) -> None:
        if port in self.nm.links:
            self.nm.links[port].master = bridge

    def facts(self, spec: Spec | None) -> Facts:
        return facts_of(self, spec)

    # The door

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        del watch
        self.now += 0.01
        self.nm.flush()
        self.nm.tick(self.now)
        self.systemd.tick(self.now)
        self.events.pop(len(self.calls), lambda: None)()
        self.calls.append(command)
        code, text = self._dispatch(command)
        stdout = text.encode() if code == 0 else b""
        good = code in command.ok and (not command.expect or text.strip() == command.expect)
        if good and command.stdout_to:
            self._makes(command.stdout_to.rpartition("/")[0], 0o700)
            self.put(command.stdout_to, stdout, 0o600)
        return Result(
            code=code, stdout=stdout, stderr=b"" if code == 0 else text.encode(), seconds=0.01,
            timed_out=False, ok=good,
        )  # fmt: skip

    def run_all(
        self, commands: Sequence[Command], *, limit: float, at_once: int
    ) -> tuple[Result, ...]:
        assert limit <= 5
        assert at_once <= 16, "libvirtd has 20 workers"
        return tuple(self._asks(one) or self.run(one) for one in commands)

    def quietly(self, command: Command) -> Result:
        """Run what only looks, without that it counts as a command of a run."""
        code, text = self._dispatch(command)
        good = code in command.ok
        return Result(
            code=code, stdout=text.encode() if good else b"", stderr=b"" if good else text.encode(),
            seconds=0.01, timed_out=False, ok=good,
        )  # fmt: skip

    def _asks(self, command: Command) -> Result | None:
        """Do as virsh does with several commands in one word."""
        if command.argv[0] != "virsh" or "--quiet" not in command.argv:
            return None
        text = self.libvirt.several(command.argv[-1])
        silent = text is None
        return Result(
            code=-15 if silent else 0, stdout=(text or "").encode(), stderr=b"", seconds=2.0,
            timed_out=silent, ok=not silent,
        )  # fmt: skip

    def write(self, file: WriteFile) -> None:
        self._makes(file.path.rpartition("/")[0], file.dir_mode)
        self.put(file.path, file.content, file.mode)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        file = self.files.get(path)
        return None if file is None else file.content[:limit]

    def names(self, directory: str) -> tuple[str, ...]:
        inside = (path for path in self.files if path.startswith(f"{directory}/"))
        return tuple(sorted({path[len(directory) + 1 :].partition("/")[0] for path in inside}))

    def look(self, path: str) -> ImageFile | None:
        file = self.files.get(path)
        if file is None:
            return None
        time = file.stamp * 10**9 + 5
        fingerprint = Fingerprint(
            device=1,
            inode=file.inode,
            size=file.size or len(file.content),
            mtime_ns=time,
            ctime_ns=time,
        )
        return ImageFile(path=path, fingerprint=fingerprint, kind=file.kind)

    def secret(self, path: str) -> SecretFile:
        return self.secrets.get(path, SecretFile(path=path, kind="file", mode=0o600))

    def way(self, directory: str) -> Way:
        return self.ways.get(directory, roots_own(directory))

    def device(self, path: str) -> str:
        volume = self.lvm.at(path)
        return volume.device if volume is not None else ""

    def locked(self, path: str) -> bool:
        held = {BACKUP_LOCK: self.backup_running, PROOF_LOCK: self.proof.running}
        return (held | {LOCK_FILE: self.working})[path]

    def which(self, program: str) -> str:
        return self.tools.get(program, f"/usr/bin/{program}")

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.nm.tick(self.now)
        self.systemd.tick(self.now)

    def clock(self) -> float:
        return self.now

    # Commands

    def _setpriv(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        return self._dispatch(Command(argv=among_others(argv), why="", stdin=stdin))

    def _systemd_run(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        command = Command(argv=("systemd-run", *argv), why="", stdin=stdin)
        if argv[0] == "--scope":
            return self._dispatch(standing_ahead(command))
        if any(word.startswith(("--on-active", "--no-block")) for word in argv):
            return self.systemd.run(argv, self.now)
        return self.proof.run_service(argv)

    def _runs(self, argv: tuple[str, ...]) -> int:
        """Run a command line of a unit; returns its exit code."""
        return self._dispatch(Command(argv=argv, why=""))[0]

    def _dispatch(self, command: Command) -> tuple[int, str]:
        name, rest = command.argv[0], command.argv[1:]
        if self.tools.get(name) == "":
            return 127, "not found"
        if name == "lvremove":
            return self.lvm.lvremove(rest, command.stdin)
        if name == "virsh":
            return self.libvirt.virsh(rest, command.stdin)
        if name in self._tools:
            return self._tools[name](rest)
        if name in self._of_proof:
            return self._of_proof[name](rest, command.stdin)
        method = getattr(self, "_" + name.replace("-", "_"), None)
        if method is None:
            raise UnknownCommandError(str(command))
        return method(rest, command.stdin)

    def _stat(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, values="--format", needs="--format")
        assert words.one("--format") == "%d-%i-%s-%.9Y-%.9Z"
        found = self.look(words.rest[0])
        if found is None:
            return 1, "No such file or directory"
        one = found.fingerprint
        times = [f"{ns // 10**9}.{ns % 10**9:09}" for ns in (one.mtime_ns, one.ctime_ns)]
        return 0, f"{one.device}-{one.inode}-{one.size}-{'-'.join(times)}\n"

    def _cat(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        (path,) = argv
        text = self.nm.sysfs(path)
        return (1, "No such file") if text is None else (0, text + "\n")

    def _readlink(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        if argv[0] == "--canonicalize-missing":
            assert argv[1] == "--"
            return 0, self.links.get(argv[2], argv[2]) + "\n"
        words = take_apart(argv, flags="--canonicalize-existing", needs="--canonicalize-existing")
        text = self.nm.sysfs(words.rest[0])
        return (1, "") if text is None else (0, text + "\n")

    def _arping(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        assert argv[:7] == ("-D", "-q", "-c", "3", "-w", "2", "-I"), argv
        if argv[7] not in self.nm.links:
            return 2, "arping: Interface is not there"
        if argv[7] == self.management[0]:
            return int(self.management[2] or self.filtered), ""
        return int(self.nm.answers(argv[7])), ""

    def _ping(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        interface, gateway, answers = self.management
        if argv[-1] in self.peers:
            assert argv == ("-c", "1", "-w", "3", argv[-1])
            return (0, "") if self.peers[argv[-1]] else (1, "")
        assert argv == ("-c", "1", "-w", "3", "-I", interface, gateway)
        return (0, "") if answers else (1, "")

    def _grep(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        if argv[-1] == "/proc/net/vlan/config":
            assert argv[:3] == ("--quiet", "--extended-regexp", "-e")
            return int(re.search(argv[3], self.nm.vlans(), re.MULTILINE) is None), ""
        if (text := self.nm.sysfs(argv[-1])) is not None:
            assert argv[:3] == ("--line-regexp", "--extended-regexp", "-e")
            return (0, f"{text}\n") if re.fullmatch(argv[3], text) else (1, "")
        words = take_apart(argv, values="-e", flags="-aqsF -aqsE", needs="-e")
        pattern = words.one("-e")
        pattern = re.escape(pattern) if "-aqsF" in words.flags else pattern
        logs = [self.files[path].content for path in words.rest if path in self.files]
        found = any(re.search(pattern.encode(), log, re.MULTILINE) for log in logs)
        return (0, "") if found else (1, "")

    def _nc(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        assert argv[:3] == ("-z", "-w", "3")
        return 0, ""

    def _sleep(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        self.sleep(float(argv[0]))
        return 0, ""

    def _rm(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, flags="--recursive --force --one-file-system")
        for path in words.rest:
            there = self._at_or_below(path, self.files), self._at_or_below(path, self.directories)
            if not any(there) and "--force" not in words.flags:
                return 1, f"cannot remove '{path}': No such file or directory"
            if there[1] and "--recursive" not in words.flags:
                return 1, f"cannot remove '{path}': Is a directory"
            for file in there[0]:
                del self.files[file]
            for folder in there[1]:
                del self.directories[folder]
        return 0, ""

    def _at_or_below(self, path: str, paths: Iterable[str]) -> list[str]:
        return [one for one in paths if one == path or one.startswith(f"{path}/")]

    def _mv(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(
            argv, values="--backup", flags="--no-target-directory", needs="--no-target-directory"
        )
        source, target = words.rest
        if source not in self.files or not self._has_place(target):
            return 1, "No such file or directory"
        if target in self.directories:
            return 1, f"cannot overwrite directory '{target}' with non-directory"
        if target in self.files and words.values.get("--backup") == ["numbered"]:
            olds = (f"{target}.~{count}~" for count in itertools.count(1))
            self.files[next(one for one in olds if one not in self.files)] = self.files[target]
        moved = self.files.pop(source)
        self._count += 1
        moved.stamp = self._count  # rename(2) changes ctime
        self.files[target] = moved
        return 0, ""

    def _sed(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(
            argv, values="-e", flags="--in-place --regexp-extended", needs="--in-place -e"
        )
        if "--regexp-extended" in words.flags:
            return self._edit(words.rest[0], words.values["-e"])
        append, drop = words.values["-e"]
        assert (append[:3], drop) == ("$a\\", "/^identity:/d")
        path = words.rest[0]
        if path not in self.files:
            return 2, "can't read: No such file or directory"
        lines = self.files[path].content.decode().splitlines()
        kept = [line for line in lines if not line.startswith("identity:")]
        self.put(path, "\n".join([*kept, append[3:], ""]).encode())
        return 0, ""

    def _edit(self, path: str, edits: list[str]) -> tuple[int, str]:
        text = self.files[path].content.decode()
        for edit in edits:
            s, wanted, instead, _ = re.split(r"(?<!\\)#", edit)
            assert s == "s"
            text = re.sub(wanted, instead.replace("&", r"\g<0>"), text, flags=re.MULTILINE)
        self.put(path, text.encode(), self.files[path].mode)
        return 0, ""

    def _cp(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, flags="--archive --no-target-directory")
        source, target = words.rest
        content = self.read(source, 1 << 30)
        if content is None:
            return 1, "No such file or directory"
        mode = self.files[source].mode if "--archive" in words.flags else 0o644
        return self.lands(target, content, mode)

    def _below(self, directory: str) -> dict[str, bytes]:
        """Return the content of each file below a directory."""
        return {
            path: file.content
            for path, file in self.files.items()
            if path.startswith(f"{directory}/")
        }

    def _flock(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        """Run a command unless another run proves a backup."""
        assert argv[:3] == ("--close", "--wait=2", "--conflict-exit-code=75")
        assert argv[3] == PROOF_LOCK
        if self.proof.running:
            return 75, ""
        return self._dispatch(Command(argv=argv[4:], why="", stdin=stdin))

    def send(self, argv: tuple[str, ...]) -> tuple[int, str]:
        """Read a snapshot, and have the engine store it."""
        words = take_apart(argv, values="--blocks --size --rate --ends-by", needs="--blocks --size")
        device, program, *engine = words.rest
        volume = self.lvm.at(device)
        if volume is None or not volume.origin or volume.invalid:
            return 7, "kvmkeep: the device can't be read: nothing was stored"
        if not self._has_place(words.one("--blocks")):
            return 7, "No such file or directory"
        size = int(words.one("--size"))
        assert size == self.lvm.volumes[volume.origin].size
        if program == "env":
            assert words.one("--ends-by") == "TERM"
            own = without_environment(tuple(engine))
            code, said = self.borg.run(own, volume.holds)
        else:
            assert program == "restic"
            code, said = self.restic.run(tuple(engine), volume.holds)
        if code:
            return 7, said
        blocks = words.one("--blocks")
        self.put(blocks, block_text(Size(size), ()).encode(), 0o600)
        sent = SentDisk(
            disk=blocks.rpartition("/")[2].removesuffix(".blocks"),
            object=_stored(said),
            size=Size(size),
            sha256="ab" * 32,
            read=Size(4096),
            added=Size(512),
            started="2026-11-23T07:10:40Z",
            ended="2026-11-23T07:11:40Z",
        )
        self.put(f"{blocks}.done", encode(sent), 0o600)
        return 0, f"{size} of {size} bytes\n"

    def _chmod(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        if argv[:2] == ("--recursive", "u-s,g-s,go-w"):
            return 0, ""
        mode, dashes, path = argv
        assert dashes == "--"
        self.files[path].mode = int(mode, 8)
        return 0, ""

    def _sync(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        paths = take_apart(argv, flags="--file-system").rest
        there = [one in self.files or self._folder(one) or self.lvm.at(one) for one in paths]
        return (0, "") if all(there) else (1, "No such file")

    def _folder(self, path: str) -> bool:
        return path in self.directories

    def _truncate(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, values="--size", flags="--no-create", needs="--no-create --size")
        for path in words.rest:
            if path in self.files:
                self.put(path, b"")
        return 0, ""

    def _find(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        """Take away what is no plain file: there is none in the files."""
        assert argv[-2:] == (")", "-delete")
        for path in [one for one in self.devices if one.startswith(f"{argv[0]}/")]:
            self.devices.remove(path)
        return 0, ""

    def _install(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(
            argv, values="--mode --owner --group", flags="--directory", needs="--mode"
        )
        if "--directory" not in words.flags:
            source, target = words.rest
            if source not in self.files:
                return 1, "No such file or directory"
            return self.lands(target, self.files[source].content, int(words.one("--mode"), 8))
        for path in words.rest:
            if path in self.files:
                return 1, f"'{path}' exists but is not a directory"
            self._makes(path)
            self.directories[path] = int(words.one("--mode"), 8)
        return 0, ""

    def _sha256sum(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        if argv[:2] == ("--binary", "--"):
            content = self.read(argv[2], 1 << 30)
            found = content is not None
            return (0, f"{digest_of(content)} *{argv[2]}\n") if found else (1, "No such file")
        assert argv == ("--check", "--strict", "--quiet")
        digest, _, path = stdin.decode().rstrip("\n").partition("  ")
        content = self.read(path, 1 << 30)
        good = content is not None and digest_of(content) == digest
        return (0, "") if good else (1, f"{path}: FAILED")

    def _curl(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(
            argv,
            values="--proto --max-filesize --retry --connect-timeout --speed-limit --speed-time "
            "--output --url",
            flags="--disable --globoff --fail --location --silent --show-error",
            needs="--disable --fail --proto --max-filesize --output --url",
        )
        content = self.web.get(words.one("--url"))
        if content is None:
            return 22, "The requested URL returned error: 404"
        code, said = self.lands(words.one("--output"), content)
        return (23, "Failed writing received data to disk") if code else (0, said)

    def _gpgv(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(
            argv, values="--keyring --output --status-fd", needs="--keyring --status-fd"
        )
        assert argv[-len(words.rest) :] == words.rest, "gpgv takes options before files only"
        mark, colon, said = (self.read(words.rest[0]) or b"").partition(b":")
        known = {b"signed": "GOODSIG", b"expired": "EXPKEYSIG", b"revoked": "REVKEYSIG"}
        marks = mark.split(b"+")
        if not colon or not known.keys() >= set(marks):
            return 2, "gpgv: can't check signature"
        if words.values.get("--output") and self.lands(words.one("--output"), said)[0]:
            return 2, "gpgv: can't create the output"
        key = "E2F7C9700EB45BDD x <x@example.org>"
        return 0, "".join(f"[GNUPG:] NEWSIG\n[GNUPG:] {known[one]} {key}\n" for one in marks)

    def _prlimit(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        assert argv[0].startswith("--fsize=")
        assert argv[1] == "--"
        if argv[2] == "curl":
            return self._curl(argv[3:], stdin)
        if argv[2] == "guestfish":
            return self._guestfish(argv[3:], stdin)
        words = take_apart(argv[3:], values="-o", flags="-d -dc --quiet --sparse --force")
        content = self.read(words.rest[0], 1 << 30) or b""
        endings = {"zstd": b"zst:", "xz": b"xz:", "gzip": b"gz:"}
        if not content.startswith(endings[argv[2]]):
            return 1, "not in the expected format"
        plain = content.removeprefix(endings[argv[2]])
        if words.values.get("-o"):
            return self.lands(words.one("-o"), plain)
        return 0, plain.decode()

    def _chown(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        assert argv[:3] == ("--recursive", "--no-dereference", "root:root")
        return 0, ""

    def _guestfish(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        if argv[:2] == ("--rw", "--format=qcow2"):
            return self.proof.guestfish(argv, stdin.decode())
        if "--ro" in argv:
            return self._looks(argv, stdin.decode())
        words = take_apart(argv, values="--format -a", flags="--rw -i", needs="--rw --format -a -i")
        path = words.one("-a")
        volume = self.lvm.at(path)
        if words.one("--format") != "raw" or (volume is None and path not in self.files):
            return 1, "no such device"
        if volume is not None:
            assert self._open(volume.name) == "", "a running guest's disk was changed"
            if "rm-rf /var/lib/cloud/instance\n" in stdin.decode():
                volume.drop_in, volume.instance = stdin.decode(), ""
                return 0, "kvmkeep: done\n"
            if "datasource_list: [ConfigDrive" in stdin.decode():
                volume.drop_in = stdin.decode()
        problem = self._tree(path).run(stdin.decode(), self.trees.get)
        return (1, problem) if problem else (0, "")

    def _tree(self, path: str) -> FakeTree:
        volume = self.lvm.at(path)
        return volume.tree if volume is not None else self.trees.setdefault(path, debian())

    def half_change(self, command: Command) -> None:
        """Make half of the changes of a script for guestfish."""
        lines = command.stdin.decode().splitlines()
        path = command.argv[command.argv.index("-a") + 1]
        if self.lvm.at(path) is not None or path in self.files:
            self._tree(path).run("\n".join(lines[: len(lines) // 2]), self.trees.get)

    def _tar(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(
            argv, values="--file --owner --group --mode --directory --add-file --format --pax-option",
            flags="--create --numeric-owner",
            needs="--create --numeric-owner --file --owner --group --add-file --format",
        )  # fmt: skip
        assert (words.one("--owner"), words.one("--group")) == ("root:0", "root:0")
        assert words.one("--format") == "posix"
        option = words.values.get("--pax-option", [":="])[0]
        pack = FakeTree()
        for folder, name in zip(
            words.values["--directory"], words.values["--add-file"], strict=True
        ):
            found = self.look(f"{folder}/{name}")
            if found is None:
                return 2, "Cannot stat: No such file or directory"
            file = self.files[f"{folder}/{name}"]
            mode = int(words.values.get("--mode", [f"{file.mode:o}"])[0], 8)
            if file.kind == "directory":
                pack.make(f"/{name}", mode)
            for path in (f"/{name}", *self._members(folder, name)):
                member = self.files[folder + path]
                if member.kind != "directory":
                    pack.put(path, member.content.decode(), mode)
                pack.inodes[path].label = option.partition(":=")[2]
            pack.inodes[f"/{name}"].time = found.fingerprint.mtime_ns // 10**9
        if self.lands(words.one("--file"), b"tar", 0o600)[0]:
            return 2, "tar: Cannot open: No such file or directory"
        self.trees[words.one("--file")] = pack
        return 0, ""

    def _members(self, folder: str, name: str) -> list[str]:
        inside = f"{folder}/{name}/"
        return [path.removeprefix(folder) for path in self.files if path.startswith(inside)]

    def _ln(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, flags="--no-target-directory", needs="--no-target-directory")
        source, target = words.rest
        if source not in self.files or target in self.files or not self._has_place(target):
            return 1, "No such file, or file exists"
        self.files[target] = self.files[source]
        if source in self.trees:
            self.trees[target] = self.trees[source]
        return 0, ""

    def _looks(self, argv: tuple[str, ...], script: str) -> tuple[int, str]:
        path = argv[argv.index("-a") + 1]
        if self.proof.is_repositorys(path):
            return self.proof.guestfish(argv, script)
        volume = self.lvm.at(path)
        if volume is None and path not in self.files:
            return 1, "no such file"
        if volume is not None:
            assert argv[:4] == ("--ro", "--format=raw", "-a", path)
            assert self._open(volume.name) == "", "a running guest's disk was looked into"
        if argv[4:] == ("-i",):
            return 0, self._tree(path).answer(script)
        if argv[4:5] == ("-i",):
            assert volume is not None
            assert argv[5] == "copy-out"
            *paths, target = argv[6:]
            if target not in self.directories:
                return 1, f"{target}: No such file or directory"
            for one in paths:
                self.put(f"{target}/{one.rpartition('/')[2]}", f"{volume.name} {one}".encode())
            return 0, ""
        asked = re.search("@kvmkeep asked.*\\necho (.*)", script)
        return 0, inside_answer(asked[1]) if asked else "looked"

    def _qemu_img(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        if argv[0] in {"create", "resize"}:
            return self._disk_file(argv[0], argv[1:])
        return self._converts(argv)

    def _converts(self, argv: tuple[str, ...]) -> tuple[int, str]:
        assert argv[0] == "convert"
        words = take_apart(argv[1:], values="-m -t -T -f -O -r", flags="-n -p -W", needs="-f -O")
        source, target = words.rest
        volume = self.lvm.at(target)
        if source.startswith("/dev/"):
            return self._copies(self.lvm.at(source), volume)
        content = self.read(source)
        if content is None or words.one("-O") != "raw":
            return 1, "could not open"
        image = self.images[content]
        assert words.one("-f") == image.format
        if volume is None and not target.startswith("/dev/") and "-n" not in words.flags:
            self.trees[target] = debian()
            return self.lands(target, content)
        if volume is None:
            return 1, "could not open"
        assert {"-n", "-t"} <= words.flags | words.values.keys()
        if image.virtual_size > volume.size:
            return 1, "output file is smaller than input file"
        assert self._open(volume.name) == "", "a running guest's disk was written"
        volume.holds, volume.instance, volume.drop_in = content, "", ""
        volume.overwrite(0, image.virtual_size)
        return 0, ""

    def _copies(self, source: FakeVolume | None, target: FakeVolume | None) -> tuple[int, str]:
        """Copy an LV to another one; a snapshot's size is not that of what it shows."""
        if source is None or target is None or source.invalid:
            return 1, "could not open, or input/output error"
        shows = self.lvm.volumes[source.origin] if source.origin else source
        if shows.size > target.size:
            return 1, "output file is smaller than input file"
        assert source.origin or self._open(source.name) == "", "a running guest's disk was copied"
        assert self._open(target.name) == "", "a running guest's disk was written"
        target.holds, target.instance = source.holds, source.instance
        target.drop_in = source.drop_in
        target.overwrite(0, shows.size)
        return 0, ""

    def _disk_file(self, verb: str, argv: tuple[str, ...]) -> tuple[int, str]:
        """Make a disk's file, or make it larger."""
        if "-b" in argv:
            return self._overlay(argv)
        words = take_apart(argv, values="-f -o --preallocation", flags="-q", needs="-f")
        path, size = words.rest
        assert words.one("-f") == "raw"
        if verb == "create" and self.lands(path, b"")[0]:
            return 1, "Could not create: No such file or directory"
        if path not in self.files or int(size) < self.files[path].size:
            return 1, "not found, or would shrink"
        assert not any(
            path == s.get("file")
            for d in self.libvirt.domains.values()
            if d.live is not None
            for s in d.live.iter("source")
        ), "locked by QEMU"
        self.files[path].size = int(size)
        return 0, ""

    def _overlay(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(argv, values="-f -F -b", flags="-q", needs="-f -F -b")
        volume = self.lvm.at(words.rest[0])
        if volume is None or words.one("-b") not in self.files:
            return 1, "could not open"
        assert (words.one("-f"), words.one("-F")) == ("qcow2", "raw")
        assert any(tag.startswith("kvmkeep.proof=") for tag in volume.tags), "a guest's disk"
        volume.holds = f"overlay of {words.one('-b')}".encode()
        return 0, ""

    def _xorriso(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        assert argv[:4] == ("-as", "mkisofs", "-quiet", "-o")
        target, dash_v, label, joliet, rock, top = argv[4:]
        assert (dash_v, joliet, rock) == ("-V", "-J", "-r")
        files = {
            path.removeprefix(f"{top}/"): file.content.decode()
            for path, file in self.files.items()
            if path.startswith(f"{top}/")
        }
        return self.lands(target, json.dumps({"label": label, "files": files}).encode())

    # A guest's boot

    @property
    def opened(self) -> set[str]:
        """The LVs that running domains or others have open."""
        folder = f"/dev/{self.lvm.vg}/"
        trees = [one.live for one in self.libvirt.domains.values() if one.live is not None]
        paths = [source.get("dev", "") for tree in trees for source in tree.iter("source")]
        used = {path.removeprefix(folder) for path in paths if path.startswith(folder)}
        return used | self.held

    def _open(self, lv: str) -> str:
        """Return the running domain that has an LV open."""
        path = f"/dev/{self.lvm.vg}/{lv}"
        for domain in self.libvirt.domains.values():
            tree = domain.live
            if tree is not None and any(s.get("dev") == path for s in tree.iter("source")):
                return domain.name
        return ""

    def _disk_of(self, path: str) -> FakeVolume | FakeFile | None:
        return self.lvm.at(path) or self.files.get(path)

    def _mountpoint(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, flags="--quiet", needs="--quiet")
        return (0, "") if words.rest[0].rstrip("/") in self.mounts else (32, "")

    def _mkdir(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, values="--mode", flags="--parents", needs="--mode")
        (path,) = words.rest
        if path in self.files or (path in self.directories and "--parents" not in words.flags):
            return 1, "File exists"
        if "--parents" in words.flags:
            self._makes(path.rpartition("/")[0])
        elif not self._has_place(path):
            return 1, "No such file or directory"
        self.directories.setdefault(path, int(words.one("--mode"), 8))
        return 0, ""

    def _sh(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        """Run words with `&&` or `||` between them, and the few other things that units do."""
        assert argv[0] == "-c"
        if argv[1].startswith("told="):
            return self._told_of(argv[1])
        if argv[1].startswith("said=$(fallocate"):
            path, offset, length = argv[3:]
            assert int(offset) == self.files[path].size
            free = self.free_on_mounts
            return (0, "") if int(length) <= free else (1, "No space left on device")
        text, _, group = argv[1].partition(" || { ")
        code = self._either(text)
        if code and group:
            first, last = group.removesuffix("; }").split("; ")
            self._either(first)
            code = self._either(last)
        return code, ""

    def _either(self, text: str) -> int:
        code = 0
        for one in text.split(" || "):
            for each in one.removeprefix("exec ").split(" && "):
                words = (str(code) if word == "$?" else word for word in shlex.split(each))
                code = self._runs(tuple(map(self._substituted, words)))
                if code:
                    break
            if code == 0:
                break
        return code

    def _substituted(self, word: str) -> str:
        if not word.startswith("$("):
            return word
        words = tuple(shlex.split(word[2:-1]))
        return self._dispatch(Command(argv=words, why=""))[1].rstrip("\n")

    def _paste(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        assert argv[:2] == ("-d", " ")
        return 0, " ".join(self.nm.sysfs(path) or "" for path in argv[2:]) + "\n"

    def _told_of(self, text: str) -> tuple[int, str]:
        """Run a command that must not name a file: `told=$(nmcli ...); ... case $told in ...`."""
        found = re.fullmatch(r"told=\$\((.+) 2>&1\); code=\$\?; .*; case \$told in (.*)", text)
        assert found is not None, text
        words = tuple(shlex.split(found[1]))
        assert found[2] == f"*{shlex.quote(words[-1])}*) exit 1; esac; exit $code"
        code, told = self._dispatch(Command(argv=words, why=""))
        return (1 if words[-1] in told else code), told

    def _test(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        if argv[0] == "-e":
            return int(argv[1] not in self.files), ""
        if argv[1] == "=":
            return int(argv[0] != argv[2]), ""
        assert argv[:2] == ("!", "-e")
        if len(argv) > 3:
            assert argv[3:] == ("-o", "-f", argv[2])
            return int(argv[2] in self.devices), ""
        link = argv[2].removeprefix("/sys/class/net/")
        return (1, "") if argv[2] in self.files or link in self.nm.links else (0, "")

    def _boots(self, domain: FakeDomain) -> str:
        self._gives_variables(domain)
        volumes = []
        for source in domain.xml.findall("devices/disk/source"):
            if source.get("dev"):
                volume = self.lvm.at(source.get("dev", ""))
                if volume is None:
                    return f"Cannot access storage file {source.get('dev')}"
                volumes.append(volume)
        for interface in domain.xml.findall("devices/interface/source"):
            if interface.get("bridge") not in self.nm.links:
                return f"Cannot get interface MTU on {interface.get('bridge')}"
        paths = [s.get("file", "") for s in domain.xml.iter("source") if s.get("file")]
        for path in paths:
            if path not in self.files:
                return f"Cannot access storage file {path}"
        for volume in volumes:
            volume.used = volume.size  # growpart, at each boot
        seed = next((path for path in paths if path.endswith(".iso")), "")
        if domain.transient:
            self.put(console_log(domain.name), self.proof.says.encode())
            return ""
        return self._first_boots(domain, volumes[0], seed)

    def _gives_variables(self, domain: FakeDomain) -> None:
        """Do as libvirt does where the variables of a firmware are not there yet."""
        path = firmware_variables(domain.xml)
        if path and path not in self.files:
            self.put(path, b"new variables", 0o600)

    def _first_boots(self, domain: FakeDomain, root: FakeVolume, seed: str) -> str:
        image = self.images.get(root.holds)
        if image is None or not seed or not image.contents.cloud_init:
            return ""
        said = json.loads(self.files[seed].content)
        sources = image.contents.datasources
        if root.drop_in:
            sources = ("ConfigDrive", "NoCloud")
        wanted = "ConfigDrive" if said["label"] == "config-2" else "NoCloud"
        if sources and wanted not in sources:
            return ""
        if root.instance != domain.uuid:
            root.instance = domain.uuid
            log = console_log(domain.name)
            old = self.files[log].content if log in self.files else b""
            self.put(log, old + f"\n{FIRST_BOOT_DONE} {domain.uuid}\n".encode())
        return ""


def inside_answer(asked: str) -> str:
    """Return what guestfish prints of a Debian guest."""
    lines = {
        "asked": asked, "table": "msdos", "filesystems": "/dev/sda1: ext4",
        "partitions": "[0] = {\n  part_num: 1\n  part_start: 1048576\n  part_end: 2\n  part_size: 4096\n}",
        "type-1": "0FC63DAF-8483-4772-8E79-3D69D8477DE4\n0x83", "sector-0": (b"GRUB ".ljust(510, b"\xeb") + b"\x55\xaa").hex(" "),
    }  # fmt: skip
    said = ["@kvmkeep look 1 raw", "@kvmkeep filesystem the disk"]
    said += [f"@kvmkeep {kind}\n{text}" for kind, text in lines.items()]
    said += ["@kvmkeep filesystem /dev/sda1", "@kvmkeep os-release", 'PRETTY_NAME="Debian 12"']
    said += ["@kvmkeep passwd", "root:x:0:0::/root:/bin/sh", "@kvmkeep cloud-init", "true"]
    return "\n".join([*said, "@kvmkeep NetworkManager", "true", "@kvmkeep end", ""])


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    import hashlib  # noqa: PLC0415 - a detail of this function

    return hashlib.sha256(content).hexdigest()


def _stored(said: str) -> str:
    found = stored(said.encode())
    assert found is not None
    return found.object
