"""A fake of systemd: transient timers, each of which runs virsh at its time, and unit files."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fakes.files import FakeFiles
from fakes.words import UnknownCommandError, take_apart

UNIT_DIR = "/etc/systemd/system"
Virsh = Callable[[tuple[str, ...]], tuple[int, str]]


@dataclass
class FakeTimer:
    """A timer; `argvs` run one after the other, again every 5 s until the last one succeeds."""

    due: float
    argvs: list[tuple[str, ...]]
    tries: int = 0


@dataclass
class FakeSystemd:
    """Transient units by name. `runs` runs a command line of a unit and returns its exit code."""

    virsh: Virsh
    disk: FakeFiles
    runs: Callable[[tuple[str, ...]], int]
    timers: dict[str, FakeTimer] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    """All files of the host: units among them, and the links that enable them."""
    put: Callable[[str, bytes], None] = lambda *_: None
    loaded: dict[str, bytes] = field(default_factory=dict)
    """What systemd has read of each unit."""
    running: set[str] = field(default_factory=set)
    services: Any = None
    """Transient services; see `fakes.proof`."""
    guards: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    """What waits for the death of a run: the file it looks for, what it does, and what after it."""
    failed: set[str] = field(default_factory=set)

    def run(self, argv: tuple[str, ...], now: float) -> tuple[int, str]:
        if "--no-block" in argv:
            return self._guard(argv)
        if argv[-1].endswith(".service"):
            return self._run_at(argv, now)
        words = take_apart(
            argv,
            values="--unit --on-active --timer-property --service-type --setenv --property",
            flags="--quiet --collect",
            needs="--collect --unit --on-active --timer-property --service-type --setenv "
            "--property",
        )
        assert words.one("--setenv") == "LIBVIRT_DEFAULT_URI=qemu:///system"
        name = words.one("--unit")
        if name in self.timers:
            return 1, f"Unit {name}.timer was already loaded or has a fragment file."
        properties = dict(one.split("=", 1) for one in words.values["--property"])
        first = properties["ExecStartPre"].removeprefix("-").split()
        argvs = [tuple(first), words.rest]
        if any(one[0] != "virsh" for one in argvs) or properties["Restart"] != "on-failure":
            raise UnknownCommandError(str(argv))
        due = now + float(words.one("--on-active").removesuffix("s"))
        self.timers[name] = FakeTimer(due=due, argvs=argvs)
        return 0, ""

    def _run_at(self, argv: tuple[str, ...], now: float) -> tuple[int, str]:
        """Start a unit that there is, later."""
        words = take_apart(
            argv,
            values="--unit --on-active --timer-property", flags="--quiet",
            needs="--unit --on-active --timer-property",
        )  # fmt: skip
        unit = words.one("--unit")
        name = unit.removesuffix(".service")
        assert words.rest == ()
        if self.disk.read(f"{UNIT_DIR}/{unit}") is None or name in self.timers:
            return 1, "Unit not found, or its timer was already loaded"
        due = now + float(words.one("--on-active").removesuffix("s"))
        self.timers[name] = FakeTimer(due=due, argvs=[("systemctl", "start", unit)])
        return 0, ""

    def _guard(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv,
            values="--service-type --property", flags="--quiet --collect --no-block",
            needs="--quiet --collect --no-block --service-type --property",
        )  # fmt: skip
        assert words.one("--service-type") == "oneshot"
        properties = dict(one.split("=", 1) for one in words.values["--property"])
        *flock, path = properties["ExecCondition"].split()
        assert flock == ["flock", "--shared", "/run/kvmkeep/lock", "test", "-e"]
        after = properties["ExecStartPost"].removeprefix("-").split()
        assert words.rest[:2] == ("systemctl", "start")
        self.guards.append((path, words.rest, tuple(after)))
        return 0, ""

    def run_ended(self) -> None:
        """Let those go on that waited for the end of a run of kvmkeep, which held its lock."""
        guards, self.guards = self.guards, []
        for path, argv, after in guards:
            if path in self.files and self._end(argv) == 0:
                self.runs(after)

    def _start(self, unit: str) -> tuple[int, str]:
        text = self.disk.read(f"{UNIT_DIR}/{unit}")
        if text is None:
            return 5, f"Failed to start {unit}: Unit {unit} not found."
        for line in text.decode().splitlines():
            key, _, value = line.partition("=")
            if key == "ConditionPathExists" and value not in self.files:
                return 0, ""
            if key == "ExecStart":
                argv = [
                    word.replace("%%", "%").replace("$$", "$")
                    for word in shlex.split(value.removeprefix("-"))
                ]
                if self.runs(tuple(argv)) and not value.startswith("-"):
                    return 1, f"Job for {unit} failed."
        return 0, ""

    def boot(self) -> None:
        """Start all units that are enabled."""
        self.guards = []
        folder = f"{UNIT_DIR}/multi-user.target.wants"
        for unit in self.disk.names(folder):
            self._start(unit)

    def systemctl(self, argv: tuple[str, ...]) -> tuple[int, str]:
        match argv:
            case ("daemon-reload",):
                self.loaded = {
                    name: self.files[path].content for name, path in self._units().items()
                }
                return 0, ""
            case ("start", unit):
                return self._start(unit)
            case ("--quiet", "enable", unit):
                return self._change("enable", ("--", unit))
        if argv[0] == "show":
            return 0, self._show(argv[1:])
        if argv[0] in {"enable", "disable", "start"} or argv[:2] == ("stop", "--"):
            return self._change(argv[0], argv[1:])
        if argv[0] != "stop":
            raise UnknownCommandError(str(argv))
        name = argv[1].removesuffix(".timer")
        assert argv[1:] in {(f"{name}.timer", f"{name}.service"), (f"{name}.timer",)}
        return (5, "not loaded") if self.timers.pop(name, None) is None else (0, "")

    def _units(self) -> dict[str, str]:
        """Return the paths of the unit files by their names."""
        found = {path.removeprefix(f"{UNIT_DIR}/"): path for path in self.files}
        return {name: path for name, path in found.items() if "/" not in name}

    def _show(self, argv: tuple[str, ...]) -> str:
        assert argv[0] == "--property=Id,ActiveState,NeedDaemonReload,DropInPaths"
        blocks = []
        for name in argv[1:]:
            file = self.files.get(f"{UNIT_DIR}/{name}")
            stale = name in self.loaded and file is not None and file.content != self.loaded[name]
            state = "active" if name in self.running else "inactive"
            state = "failed" if name in self.failed else state
            changed = [path for path in self.files if path.startswith(f"{UNIT_DIR}/{name}.d/")]
            changed.append("/usr/lib/systemd/system/service.d/10-timeout-abort.conf")
            blocks.append(
                f"Id={name}\nActiveState={state}\nNeedDaemonReload={'yes' if stale else 'no'}\n"
                f"DropInPaths={' '.join(changed)}\n"
            )
        return "\n".join(blocks)

    def _change(self, verb: str, argv: tuple[str, ...]) -> tuple[int, str]:
        assert argv[0] == "--"
        for name in argv[1:]:
            if verb == "stop":
                assert "guests" not in name, "that shuts all guests down"
                if "-proof-" in name or "-copy-" in name:
                    return self.services.stop_service(name)
                self.running.discard(name)
                continue
            path = f"{UNIT_DIR}/{name}"
            if path not in self.files:
                return 1, f"Failed: Unit file {name} does not exist."
            if verb == "start":
                assert "recover" not in name
                # systemd reads a unit when it is first needed, and then not again by itself.
                self.loaded.setdefault(name, self.files[path].content)
                self.running.add(name)
                continue
            wanted = "timers" if name.endswith(".timer") else "multi-user"
            link = f"{UNIT_DIR}/{wanted}.target.wants/{name}"
            if verb == "enable":
                self.put(link, b"")
            else:
                self.files.pop(link, None)
        return 0, ""

    def tick(self, now: float) -> None:
        for name, timer in list(self.timers.items()):
            while timer.due <= now and name in self.timers:
                codes = [self._end(one) for one in timer.argvs]
                timer.tries += 1
                timer.due += 5
                if codes[-1] == 0 or timer.tries >= 24:
                    self.timers.pop(name, None)

    def _end(self, argv: tuple[str, ...]) -> int:
        known = self.systemctl if argv[0] == "systemctl" else self.virsh
        return known(argv[1:])[0]
