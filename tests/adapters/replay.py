"""A door that gives back what was captured on a lab's host, or what a test puts in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from kvmkeep.host import iproute, lvm, nmcli, space, upkeep
from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.tools import Unanswered
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.facts import Problem
from kvmkeep.model.image_facts import Fingerprint, ImageFile
from kvmkeep.model.names import BACKUP_LOCK, PROOF_LOCK
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.way import Way

CAPTURED = Path(__file__).parent / "captured"

TOOLS = {
    "lvs": lvm.LVS,
    "vgs": lvm.VGS,
    "ip-address": iproute.LINKS,
    "ip-route": iproute.ROUTES,
    "ip-route6": iproute.ROUTES6,
    "nmcli-profiles": nmcli.PROFILES,
    "nmcli-settings": nmcli.SETTINGS,
    "nmcli-devices": nmcli.DEVICES,
    "df": space.DF,
    "timedatectl": upkeep.CLOCK,
    "systemctl": upkeep.UNITS,
    "vgs-state": lvm.STATES,
}

FILE = Fingerprint(device=1, inode=2, size=4096, mtime_ns=3, ctime_ns=4)


@cache
def captured(name: str, kind: str = "lab", version: str = "[0-9]*") -> str:
    """Return the newest capture of that name, or that of a version."""
    found = sorted(CAPTURED.glob(f"{name}-{version}-{kind}.*"))
    assert found, f"nothing was captured of {name}"
    return found[-1].read_text("utf-8")


def captured_files(name: str, kind: str = "lab") -> dict[str, bytes]:
    """Return the files of a capture that holds a `path:line` each line."""
    files: dict[str, bytes] = {}
    for line in captured(name, kind).splitlines():
        path, _, content = line.partition(":")
        files[path] = files.get(path, b"") + content.encode() + b"\n"
    return files


def ended(code: int = 0, stdout: bytes = b"", stderr: bytes = b"") -> Result:
    return Result(
        code=code, stdout=stdout, stderr=stderr, seconds=0.0, timed_out=False, ok=code == 0
    )


class Replay:
    """Answers the questions in `TOOLS` and reads `files`; a program without an answer is missing.

    `refused` are paths that root alone may read. Nothing can be changed through this door.
    """

    def __init__(
        self, answers: Mapping[str, bytes | str | Result], files: Mapping[str, bytes] | None = None
    ) -> None:
        self.answers = {
            TOOLS.get(name, (name,)): told if isinstance(told, Result) else ended(stdout=_raw(told))
            for name, told in answers.items()
        }
        self.files = dict(files or {})
        self.kinds: dict[str, str] = {}
        self.ways: dict[str, Way] = {}
        self.refused: set[str] = set()
        self.ran: list[tuple[str, ...]] = []
        self.timeouts: list[float] = []

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        del watch
        self.ran.append(command.argv)
        self.timeouts.append(command.timeout)
        lengths = range(len(command.argv), 0, -1)
        found = (self.answers.get(command.argv[:length]) for length in lengths)
        return next((result for result in found if result is not None), ended(127))

    def run_all(
        self, commands: Sequence[Command], *, limit: float, at_once: int
    ) -> tuple[Result, ...]:
        assert limit <= 5
        assert 1 < at_once <= 16, "libvirtd has 20 workers"
        return tuple(self.run(command) for command in commands)

    def write(self, file: WriteFile) -> None:
        raise AssertionError(f"observation wrote {file.path}")

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        self._check(path)
        content = self.files.get(path)
        return None if content is None else content[:limit]

    def names(self, directory: str) -> tuple[str, ...]:
        self._check(directory)
        inside = (path for path in self.files if path.startswith(f"{directory}/"))
        return tuple(sorted({path[len(directory) + 1 :].partition("/")[0] for path in inside}))

    def look(self, path: str) -> ImageFile | None:
        self._check(path)
        if path not in self.files:
            return None
        return ImageFile(path=path, fingerprint=FILE, kind=self.kinds.get(path, "file"))

    def secret(self, path: str) -> SecretFile:
        if path in self.files:
            return SecretFile(path=path, kind="file", mode=0o644)
        return SecretFile(path=path, kind="directory" if self.names(path) else "", mode=0o755)

    def way(self, directory: str) -> Way:
        return self.ways.get(directory, Way(path=directory, error=""))

    def device(self, path: str) -> str:
        return "252:3" if path.startswith("/dev/") else ""

    def locked(self, path: str) -> bool:
        assert path in {BACKUP_LOCK, PROOF_LOCK}
        return False

    def which(self, program: str) -> str:
        return f"/usr/bin/{program}" if program != "zstd" else ""

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"observation slept {seconds} s")

    def clock(self) -> float:
        return 0.0

    def _check(self, path: str) -> None:
        if path in self.refused:
            raise PermissionError(13, "Permission denied", path)


def _raw(told: bytes | str) -> bytes:
    return told.encode() if isinstance(told, str) else told


def lab_host(**changes: bytes | str | Result) -> Replay:
    """Return the lab's host as captured, with some answers replaced (`_` stands for `-`)."""
    answers: dict[str, bytes | str | Result] = {name: captured(name) for name in TOOLS}
    answers["ping"] = ""
    answers |= {name.replace("_", "-"): told for name, told in changes.items()}
    return Replay(answers, captured_files("md") | captured_files("host"))


def problem(question: Callable[[Replay], object], door: Replay) -> Problem:
    """Return the problem that a question ends with."""
    with pytest.raises(Unanswered) as caught:
        question(door)
    found = caught.value.problem
    for text in (found.what, found.reason, found.hint):
        assert text
        assert text.isprintable()
        assert len(text) <= 400
    return found
