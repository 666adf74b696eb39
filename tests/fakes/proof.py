"""A fake of what a proof uses: a repository that is seen as files, and kvmkeep's own small verbs.

The small verbs are the real ones, on the fake host.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fakes.borg import without_environment
from fakes.stages import DoorStages
from fakes.words import UnknownCommandError, take_apart

from kvmkeep.cli.main import main

if TYPE_CHECKING:
    from fakes.host import FakeHost


CHECKED = "--blocks --sum --size"
"""What a disk is compared with."""


@dataclass
class FakeRepository:
    """A repository of restic: objects with the files in them. `broken` are paths with bad data."""

    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    damaged: bool = False
    """Whether its structure is."""
    instances: dict[str, str] = field(default_factory=dict)
    """The instance-ids of the guests on the disks in it, by their paths."""


@dataclass
class FakeProof:
    """Commands of a proof, by the names of their programs."""

    host: FakeHost
    repository: FakeRepository = field(default_factory=FakeRepository)
    services: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Transient services by name, each with its command line."""
    lists: str = "/dev/sda1: ext4\n/dev/sdb: swap\n"
    fstab: str = "LABEL=root / ext4 rw 0 1\n/dev/vdb none swap sw 0 0\n"
    says: str = "Debian GNU/Linux 12 web ttyS0\n\nweb login: "
    running: bool = False
    """Whether another run proves a backup."""
    ends_first: list[str] = field(default_factory=list)
    """The domains that the kernel ends before others."""

    def commands(self) -> dict[str, Callable[[tuple[str, ...], bytes], tuple[int, str]]]:
        return {
            "/usr/bin/kvmkeep": self._kvmkeep,
            "restic": self._restic,
            "umount": self._umount,
            "tail": self._tail,
            "echo": lambda argv, _: (0, " ".join(argv) + "\n"),
            "xargs": self._ends_first,
        }

    def run_service(self, argv: tuple[str, ...]) -> tuple[int, str]:
        words = take_apart(
            argv,
            values="--unit --service-type --slice --property --setenv",
            flags="--quiet --collect",
            needs="--unit --service-type --slice --property --collect",
        )
        name = words.one("--unit")
        if name in self.services:
            return 1, f"Unit {name} was already loaded or has a fragment file."
        borg = words.rest[0] == "env"
        assert borg or words.rest[0] == "restic"
        assert "mount" in words.rest
        self.services[name] = words.rest
        place = words.rest[-1]
        self.host.mounts.add(place)
        if borg:
            verb, wait, *options, dashes, url, place = without_environment(words.rest[1:])
            assert (verb, wait, dashes) == ("mount", "--lock-wait=1800", "--")
            assert options == [
                "--foreground", "--glob-archives=kvmkeep+*", "-o", "allow_other,ignore_permissions"
            ]  # fmt: skip
            for name, files in self.host.borg.repositories[url].archives.items():
                for path, content in files.items():
                    self.host.put(f"{place}/{name}/{path}", content)
            return 0, ""
        known = self.host.restic.repositories.get(words.rest[1].removeprefix("--repo="))
        stored = {} if known is None else {one.id: one.files for one in known.objects}
        for one, files in (self.repository.objects | stored).items():
            for path, content in files.items():
                self.host.put(f"{place}/ids/{one}{path}", content)
        return 0, ""

    def stop_service(self, name: str) -> tuple[int, str]:
        argv = self.services.pop(name, None)
        if argv is None:
            return 5, f"Unit {name} not loaded."
        self._gone(argv[-1])
        return 0, ""

    def power_cut(self) -> None:
        """Lose what lies in memory alone."""
        for name in list(self.services):
            self.stop_service(name)
        self.host.empties_run()
        self.host.nm.links = {
            name: one for name, one in self.host.nm.links.items() if "kkproof" not in name
        }

    def bridge(self, argv: tuple[str, ...]) -> tuple[int, str] | None:
        """Make or delete a bridge of iproute2; None where something else is asked for."""
        from fakes.nm import FakeLink  # noqa: PLC0415

        match argv:
            case ("link", "add", "name", name, "type", "bridge"):
                if name in self.host.nm.links:
                    return 2, "RTNETLINK answers: File exists"
                self.host.nm.links[name] = FakeLink(name, kind="bridge")
                return 0, ""
            case ("link", "delete", "dev", name, "type", "bridge"):
                gone = self.host.nm.links.pop(name, None)
                return (0, "") if gone is not None else (1, f'Cannot find device "{name}"')
        return None

    def guestfish(self, argv: tuple[str, ...], script: str) -> tuple[int, str]:
        """Look into disks of the repository."""
        if "copy-out" in argv:
            return self._copy_out(argv)
        paths = argv[3::2]
        assert set(argv[2::2]) == {"-a"}, argv
        if argv[:2] == ("--rw", "--format=qcow2"):
            paths = tuple(map(self._written, paths))
        else:
            assert argv[:2] == ("--ro", "--format=raw"), argv
            assert "mount" not in script, "what it writes goes to the host's /tmp"
        if not all(self.host.read(path) is not None for path in paths):
            return 1, "No such file or directory"
        if "list-filesystems" in script:
            return 0, self.lists
        assert "e2fsck /dev/sda1 correct:true" in script
        if any(path.endswith("root.raw") and self._is_broken(path) for path in paths):
            return 1, "libguestfs: error: e2fsck: filesystem still has errors"
        return 0, f"@kvmkeep-fstab\n{self.fstab}"

    def _written(self, path: str) -> str:
        """Write to an overlay; return what lies below it."""
        volume = self.host.lvm.at(path)
        assert volume is not None
        assert any(tag.startswith("kvmkeep.proof=") for tag in volume.tags), "a guest's disk"
        below = volume.holds.decode().removeprefix("overlay of ")
        assert below.encode() != volume.holds, "no overlay, or one that was written to"
        volume.holds = b"written to"
        return below

    def _copy_out(self, argv: tuple[str, ...]) -> tuple[int, str]:
        at = argv.index("-i")
        disks, (verb, *paths, target) = argv[3:at:2], argv[at + 1 :]
        assert verb == "copy-out"
        assert paths, "guestfish: copy-out takes files and a directory"
        if not all(self.host.read(disk) is not None for disk in disks):
            return 1, "No such file or directory"
        if target not in self.host.directories:
            return 1, f"{target}: No such file or directory"
        for one in paths:
            self.host.put(f"{target}/{one.rpartition('/')[2]}", f"{disks[0]} {one}".encode())
        return 0, ""

    def is_repositorys(self, path: str) -> bool:
        return "/repository/" in path

    def _gone(self, place: str) -> None:
        self.host.mounts.discard(place)
        for path in [one for one in self.host.files if one.startswith(f"{place}/")]:
            del self.host.files[path]

    def _is_broken(self, path: str) -> bool:
        return any(path.endswith(one) for one in self.repository.broken)

    def _kvmkeep(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        if argv[:2] == ("blocks", "verify"):
            words = take_apart(argv[2:], values=CHECKED, needs=CHECKED)
            (path,) = words.rest
            there = self.host.lvm.at(path) is not None or self.host.read(path) is not None
            if not there or self.host.read(words.one("--blocks")) is None:
                return 7, "No such file or directory"
            return (9, "block 3 is not as it was") if self._is_broken(path) else (0, "")
        if argv[:2] == ("blocks", "receive"):
            return self._receive(argv[2:])
        if argv[:2] == ("blocks", "send"):
            return self.host.send(argv[2:])
        if argv[0] not in {"rung", "guest-run"}:
            raise UnknownCommandError(str(argv))
        return really(argv, stdin, self.host)

    def _receive(self, argv: tuple[str, ...]) -> tuple[int, str]:
        """Write a disk to an LV that is not complete, or to a new file."""
        words = take_apart(argv, values=CHECKED, needs=CHECKED)
        target, program, *engine = words.rest
        if program == "env":
            code, text = self.host.borg.run(without_environment(tuple(engine)))
            data = text.encode() if code == 0 else None
        else:
            assert program == "restic"
            assert engine[3:6] == ["dump", "--no-lock", "--"], engine
            data = self.repository.objects.get(engine[6], {}).get(engine[7])
        if data is None or self.host.read(words.one("--blocks")) is None:
            return 7, "it gave nothing of block 0"
        if self._is_broken(engine[-1]):
            return 7, "block 3 is not what was read at the backup"
        volume = self.host.lvm.at(target)
        if volume is None:
            if self.host.read(target) is not None:
                return 7, "File exists"
            code, said = self.host.lands(target, data, 0o600)
            return (7, said) if code else (0, "")
        assert {"kvmkeep", "kvmkeep.state=filling"} <= volume.tags, volume.tags
        assert not self.host.lvm.is_open(volume.name)
        volume.holds, volume.used = data, volume.size
        volume.instance = self.repository.instances.get(engine[-1], "")
        volume.overwrite(0, volume.size)
        return 0, ""

    def _restic(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        if argv[3] == "dump":
            data = self.repository.objects.get(argv[6], {}).get(argv[7])
            return (1, "cannot dump file") if data is None else (0, data.decode())
        assert argv[3:] == ("check", "--no-lock"), argv
        return (1, "Fatal: repository contains errors") if self.repository.damaged else (0, "")

    def _umount(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, flags="--quiet --lazy", needs="--quiet --lazy")
        (place,) = words.rest
        if place not in self.host.mounts:
            return 32, "not mounted"
        self._gone(place)
        return 0, ""

    def _ends_first(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        file, *choom = argv
        assert choom == ["choom", "--adjust=1000", "--pid"]
        name = file.removeprefix("--arg-file=/run/libvirt/qemu/").removesuffix(".pid")
        domain = self.host.libvirt.domains.get(name)
        if domain is None or domain.live is None:
            return 1, f"xargs: Cannot open input file '{file}'"
        self.ends_first.append(name)
        return 0, ""

    def _tail(self, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        words = take_apart(argv, values="--bytes", needs="--bytes")
        content = self.host.read(words.rest[0])
        if content is None:
            return 1, "No such file or directory"
        return 0, content.decode()[-int(words.one("--bytes")) :]


def really(argv: tuple[str, ...], stdin: bytes, host: FakeHost) -> tuple[int, str]:
    """Run a verb of kvmkeep on the fake host; return its exit code and what it printed."""
    out = io.StringIO()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main(argv, DoorStages(host))
    finally:
        sys.stdin = before
    return code, out.getvalue()
