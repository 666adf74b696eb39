"""A door to the host in memory behind which just one thing goes wrong, in one of many ways."""

from __future__ import annotations

from enum import Enum
from xml.etree import ElementTree as ET

from fakes.host import FakeHost
from fakes.lvm import FakeVolume
from fakes.tree import tree_text
from fakes.words import standing_ahead
from msgspec.structs import replace

from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.planning.proofs.lock import WORDS

WRITERS = {"qemu-img", "blkdiscard", "guestfish"}
MAKERS = {"create", "resize"}
"""What qemu-img does to a file: it is made with `.part` behind its name, or made larger."""
CODES = {
    "lvcreate": 5, "lvchange": 5, "lvs": 5, "lvremove": 5, "lvconvert": 5, "lvextend": 5,
    "nmcli": 8, "curl": 22, "gpgv": 2,
}  # fmt: skip
"""What these tools end with when they fail; the others end with 1."""


class Effect(Enum):
    """How much of what it was to do an action still does."""

    NONE = "without effect"
    HALF = "half done"
    WHOLE = "with its effect"


class Way(Enum):
    """What goes wrong."""

    FAILS = "fails"
    GONE = "fails, and each later use of that program too"
    HANGS = "hangs"
    KILLED = "the run is killed"
    STOP = "a stop is asked for"
    STOP_NOW = "a stop is asked for twice"


MODES = (
    (Way.FAILS, Effect.NONE),
    (Way.FAILS, Effect.WHOLE),
    (Way.GONE, Effect.NONE),
    (Way.HANGS, Effect.NONE),
    (Way.HANGS, Effect.HALF),
    (Way.HANGS, Effect.WHOLE),
    (Way.KILLED, Effect.NONE),
    (Way.KILLED, Effect.HALF),
    (Way.KILLED, Effect.WHOLE),
    (Way.STOP, Effect.WHOLE),
    (Way.STOP_NOW, Effect.HALF),
)


class Killed(BaseException):
    """The process is gone: no code of ours may handle this."""


class Grave:
    """What a dead process would still like to use; everything raises Killed."""

    dead = False

    def check(self) -> None:
        if self.dead:
            raise Killed


class FaultyDoor:
    """Passes everything on to the host, but strikes at the n-th action (from 0).

    `acted` are all actions that passed. `struck` is the one that was struck, and `excused` tells
    that the command itself counts its injected end as a good one. `excuses` are all such commands.
    """

    def __init__(
        self,
        host: FakeHost,
        at: int = -1,
        way: Way = Way.FAILS,
        effect: Effect = Effect.NONE,
        *,
        stop: Stop | None = None,
        grave: Grave | None = None,
    ) -> None:
        self.host, self.at, self.way, self.effect = host, at, way, effect
        self.stop = stop or Stop()
        self.grave = grave or Grave()
        self.acted: list[Command | WriteFile] = []
        self.struck: Command | WriteFile | None = None
        self.excused = False
        self.excuses: list[Command] = []

    def __getattr__(self, name: str) -> object:
        self.grave.check()
        return getattr(self.host, name)

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        strikes = self._strikes(command)
        demand_harmless(self.host, command)
        if strikes and self.way in {Way.STOP, Way.STOP_NOW}:
            self._press()
            strikes = False
        if not strikes:
            return self._end_if_asked(command) or self._runs(command, watch)
        if self.effect is Effect.WHOLE:
            self._runs(command, watch)
        elif self.effect is Effect.HALF:
            half_run(self.host, command)
        if self.way is Way.KILLED:
            if command.stdout_to and self.effect is Effect.HALF:
                self.host.put(f"{command.stdout_to}.part", b"to", 0o600)
            self._die()
        hangs = self.way is Way.HANGS
        if hangs:
            self.host.sleep(command.timeout)
        result = bad_end(command, timed_out=hangs)
        self.excused = result.ok
        self.excuses += [command] if result.ok else []
        return result

    def write(self, file: WriteFile) -> None:
        strikes = self._strikes(file)
        if strikes and self.way in {Way.STOP, Way.STOP_NOW}:
            self._press()
            strikes = False
        if not strikes or self.effect is Effect.WHOLE:
            self._writes(file)
        if not strikes:
            return
        if self.way is Way.KILLED:
            if self.effect is Effect.HALF:
                self.host.put(f"{file.path}.part", file.content[:9], file.mode)
            self._die()
        raise OSError(28, "No space left on device", file.path)

    def sleep(self, seconds: float) -> None:
        self.grave.check()
        self.host.sleep(seconds)

    def _strikes(self, action: Command | WriteFile) -> bool:
        self.grave.check()
        number = len(self.acted)
        self.acted.append(action)
        if number == self.at:
            self.struck = action
            return True
        return (
            self.way is Way.GONE
            and self.struck is not None
            and program(action) == program(self.struck)
        )

    def _runs(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        """Run it; the real door begins the file of its output anew."""
        self.host.files.pop(f"{command.stdout_to}.part", None)
        return self.host.run(command, watch)

    def _writes(self, file: WriteFile) -> None:
        """Write it; the real door begins the file anew."""
        self.host.files.pop(f"{file.path}.part", None)
        self.host.write(file)

    def _press(self) -> None:
        self.stop.press()
        if self.way is Way.STOP_NOW:
            self.stop.press()

    def _end_if_asked(self, command: Command) -> Result | None:
        """Do as the real door does: a request to stop may end the running command."""
        if not self.stop.ends(command):
            return None
        self.stop.ended_command = True
        half_run(self.host, command)
        return bad_end(command, signal=15)

    def _die(self) -> None:
        self.grave.dead = True
        raise Killed


def program(action: Command | WriteFile) -> str:
    return bare(action).argv[0] if isinstance(action, Command) else "write"


def bare(command: Command) -> Command:
    """Return a command without the lock that is taken around it, and what has it stand back."""
    behind = len(WORDS) if command.argv[0] == "flock" else 0
    return standing_ahead(replace(command, argv=command.argv[behind:]))


def bad_end(command: Command, *, timed_out: bool = False, signal: int = 0) -> Result:
    code = -15 if timed_out or signal else CODES.get(bare(command).argv[0], 1)
    return Result(
        code=code, stdout=b"", stderr=b"injected", seconds=1.0, timed_out=timed_out,
        ok=code in command.ok and not command.expect,
    )  # fmt: skip


def demand_harmless(host: FakeHost, command: Command) -> None:
    """Whatever writes to an LV may do so only while the LV is ours and says it is not complete."""
    command = bare(command)
    name = command.argv[0]
    if name == "lvremove":
        volume = host.lvm.volumes.get(command.argv[-1].partition("/")[2])
        gone = volume is None
        assert gone or "kvmkeep" in volume.tags, f"not ours: {command}"
        no_disk = gone or volume.origin or volume.name.endswith("+grow") or is_overlay(volume)
        assert no_disk or is_destroyed(volume), f"not in the trash: {command}"
        assert no_disk or volume.zeroed, f"still to be read: {command}"
    if name not in WRITERS or "--ro" in command.argv:
        return
    if "-b" in command.argv:
        assert is_overlay(host.lvm.volumes[command.argv[-1].rpartition("/")[2]]), command
        return
    if command.argv[1] in MAKERS:
        assert "--shrink" not in command.argv
        assert command.argv[1] == "resize" or command.argv[-2].endswith(".part"), command
        return
    paths = [word for word in command.argv if word.startswith("/dev/")]
    # qemu-img may read an LV as well, from which it copies: the last one is written.
    if not paths:
        assert any(word.endswith(".part") for word in command.argv), command
        return
    assert len(paths) in ({1, 2} if name == "qemu-img" else {1}), command
    volume = host.lvm.volumes[paths[-1].rpartition("/")[2]]
    if changes_a_disk(host, command):
        assert "kvmkeep" in volume.tags, f"not ours: {command}"
        assert volume.name not in running(host), command
        return
    if is_destroyed(volume):
        assert not host._open(volume.name), command
        return
    assert {"kvmkeep", "kvmkeep.state=filling"} <= volume.tags, f"{command}: {volume.tags}"
    assert not volume.instance or volume.name not in running(host), command


def changes_a_disk(host: FakeHost, command: Command) -> bool:
    """Whether this changes files of a disk that is complete; in one that is not, all is torn."""
    if command.argv[:2] != ("guestfish", "--rw"):
        return False
    volume = host.lvm.volumes.get(command.argv[command.argv.index("-a") + 1].rpartition("/")[2])
    return volume is None or "kvmkeep.state=filling" not in volume.tags


def is_destroyed(volume: FakeVolume) -> bool:
    """Whether an LV lies in the trash, and its destruction was begun."""
    tags = " ".join(volume.tags)
    return {"kvmkeep", "kvmkeep.state=emptying"} <= volume.tags and "kvmkeep.trash=" in tags


def is_overlay(volume: FakeVolume) -> bool:
    """Whether an LV only takes what a guest writes that is started from a backup."""
    return any(tag.startswith("kvmkeep.proof=") for tag in volume.tags)


def running(host: FakeHost) -> set[str]:
    """Return the LVs of the domains that run."""
    trees = (domain.live for domain in host.libvirt.domains.values())
    sources = (source for tree in trees if tree is not None for source in tree.iter("source"))
    return {source.get("dev", "").rpartition("/")[2] for source in sources}


def is_tearable(action: Command | WriteFile) -> bool:
    """Whether an action can end in the middle of its effect."""
    if isinstance(action, WriteFile):
        return True
    action = bare(action)
    words = " ".join(action.argv)
    return (
        action.argv[0]
        in {"curl", "cp", "prlimit", "xorriso", "qemu-img", "blkdiscard", "rm", "tar"}
        or "--output" in action.argv
        or "--rw" in action.argv
        or action.argv[0] == "lvcreate"
        or bool(action.stdout_to)
        or action.argv[1:3] in {("blocks", "receive"), ("blocks", "send")}
        or "connection up" in words
    )


def writes_device(argv: tuple[str, ...]) -> bool:
    return "--ro" not in argv and any(word.startswith("/dev/") for word in argv)


def written(argv: tuple[str, ...]) -> str:
    """Return the file that a command writes, if it writes one."""
    if "-b" in argv or argv[0] in {"test", "find"}:
        return ""
    if argv[:2] == ("qemu-img", "create"):
        return argv[-2]
    if argv[:2] == ("qemu-img", "resize"):
        return ""
    if argv[0] == "cp" or (argv[0] == "qemu-img" and "-n" not in argv):
        return argv[-1]
    named = (argv[argv.index(option) + 1] for option in ("--output", "-o") if option in argv)
    return next(named, next((word[7:] for word in argv if word.startswith("--file=")), ""))


def half_sent(host: FakeHost, command: Command) -> None:
    """Let the engine store all of a disk, and nobody take note of that any more."""
    before = set(host.files)
    host.run(command)
    for path in set(host.files) - before:
        del host.files[path]


def half_received(host: FakeHost, target: str) -> None:
    """Let a disk be brought back in part: to an LV, or to a new file."""
    volume = host.lvm.at(target)
    if volume is None:
        host.put(target, b"to", 0o600)
    else:
        volume.holds, volume.instance = b"torn", ""
        volume.overwrite(0, 8192)


def half_run(host: FakeHost, command: Command) -> None:  # noqa: C901 - one case for each program
    """Let a command have a part of its effect, as it may be when it is killed."""
    command = bare(command)
    argv = command.argv
    target = written(argv)
    match argv[0]:
        case "rm":
            # It removes in the order that it is told (rm(1)).
            names = [word for word in argv[1:] if word.startswith("/")]
            gone, torn = names[: len(names) // 2], names[len(names) // 2]
            files = sorted(host.files)
            doomed = [path for path in files if any(path.startswith(name) for name in gone)]
            doomed += [path for path in files if path.startswith(torn)][::2]
            for path in dict.fromkeys(doomed):
                del host.files[path]
        case "guestfish" if changes_a_disk(host, command):
            host.half_change(command)
        case "qemu-img" | "blkdiscard" | "guestfish" if not target and writes_device(argv):
            *_, path = (word for word in argv if word.startswith("/dev/"))
            volume = host.lvm.volumes[path.rpartition("/")[2]]
            volume.holds, volume.instance = b"torn", ""
            volume.overwrite(0, 8192)
            volume.zeroed = False
        case "lvcreate":
            # Its metadata is written, tags and all; the device is not there yet, nor zeroed.
            host.run(command)
            volume = host.lvm.volumes.get(argv[argv.index("--name") + 1])
            if volume is not None and volume.origin:
                volume.active = False
            elif volume is not None:
                volume.active, volume.stale = False, [(0, volume.size)]
        case "/usr/bin/kvmkeep" if argv[1:3] == ("blocks", "receive"):
            half_received(host, argv[3])
        case "/usr/bin/kvmkeep" if argv[1:3] == ("blocks", "send"):
            half_sent(host, command)
        case "nmcli" if "up" in argv:
            host.run(command)
            profile = host.nm.profiles[argv[-1]]
            profile.device = ""
            host.nm.links[profile.interface].master = ""
    if target:
        host.put(target, b"to", 0o600)


def digest(host: FakeHost) -> str:
    """Return all that runs may change on the host, as text that can be compared."""
    host.nm.flush()
    domains = [pair for pair in sorted(host.libvirt.domains.items()) if pair[0] != "legacy"]
    return repr(
        (
            sorted(host.lvm.volumes.items()),
            sorted(host.nm.profiles.items()),
            sorted(host.nm.links.items()),
            [
                (name, one.autostart, one.state, one.boots, xml(one.xml), xml(one.live))
                for name, one in domains
            ],
            sorted((path, file.content, file.mode, file.size) for path, file in host.files.items()),
            sorted(host.restic.repositories.items()),
            sorted(host.borg.repositories.items()),
        )
    )


def xml(tree: ET.Element | None) -> str:
    return "" if tree is None else tree_text(tree)
