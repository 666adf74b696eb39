"""A fake of systemd's transient timers, each of which runs virsh at its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fakes.words import UnknownCommandError, take_apart

Virsh = Callable[[tuple[str, ...]], tuple[int, str]]


@dataclass
class FakeTimer:
    """A timer; `argvs` run one after the other, again every 5 s until the last one succeeds."""

    due: float
    argvs: list[tuple[str, ...]]
    tries: int = 0


@dataclass
class FakeSystemd:
    """Transient units by name."""

    virsh: Virsh
    timers: dict[str, FakeTimer] = field(default_factory=dict)

    def run(self, argv: tuple[str, ...], now: float) -> tuple[int, str]:
        words = take_apart(
            argv,
            values="--unit --on-active --timer-property --service-type --property",
            flags="--quiet --collect",
            needs="--collect --unit --on-active --timer-property --service-type --property",
        )
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

    def systemctl(self, argv: tuple[str, ...]) -> tuple[int, str]:
        if argv[0] != "stop":
            raise UnknownCommandError(str(argv))
        name = argv[1].removesuffix(".timer")
        assert argv[1:] == (f"{name}.timer", f"{name}.service")
        return (5, "not loaded") if self.timers.pop(name, None) is None else (0, "")

    def tick(self, now: float) -> None:
        for name, timer in list(self.timers.items()):
            while timer.due <= now and name in self.timers:
                codes = [self.virsh(one[1:])[0] for one in timer.argvs]
                timer.tries += 1
                timer.due += 5
                if codes[-1] == 0 or timer.tries >= 24:
                    del self.timers[name]
