"""A host in memory with a spec in real files, for the verbs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fakes.host import CLOUD, FakeHost, FakeImage
from fakes.stages import HostStages

from kvmkeep.cli.main import main
from kvmkeep.host.door import Result
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import MetadataBackup, Schedule, Space, Vitals
from kvmkeep.spec.load import load

GIB = 1 << 30


HOST_YAML = """\
host: {name: build.example.org, reserve: {memory: 4GiB, storage: 20GiB}}
storage: {vg: rl_build}
uplink: uplink0
networks:
  public: {vlan: 223, cidr: 132.230.223.0/24, gateway: 132.230.223.254}
images:
  debian: {file: /srv/debian.raw}
"""


GUEST_YAML = """\
image: debian
vcpus: 2
memory: 2GiB
disks: {root: 20GiB}
nics: [{network: public, address: 132.230.223.37/24}]
login: {user: admin, password_hash: "HASH"}
"""


HASH = "$6$abcdefgh$" + "CANARY" + "0" * 80


WELL = Vitals(
    schedules=(Schedule(name="mdcheck_start.timer"),),
    spaces=(
        Space(mount="/", size=Size(20 * GIB), free=Size(15 * GIB), inodes=1000, inodes_free=900),
    ),
    synchronized=True,
    backups=(MetadataBackup(vg="rl_build", seqno=4, saved=4),),
)


class Door:
    """Reads the spec from real files; everything else goes to the host in memory."""

    def __init__(self, host: FakeHost, spec_dir: str) -> None:
        self.host = host
        self._spec_dir = spec_dir
        self._files = MachineDoor()
        self.failing = ""
        self.forbidden = False
        self.answers: dict[str, bytes] = {}
        self.asked: list[Command] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.host, name)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        real = path.startswith(self._spec_dir)
        if real and self.forbidden:
            raise PermissionError(13, "Permission denied", path)
        return self._files.read(path, limit) if real else self.host.read(path, limit)

    def names(self, directory: str) -> tuple[str, ...]:
        real = directory.startswith(self._spec_dir)
        if real and self.forbidden:
            raise PermissionError(13, "Permission denied")
        return self._files.names(directory) if real else self.host.names(directory)

    def run(self, command: Command, watch: object = None) -> Result:
        if self.failing and self.failing in str(command):
            return Result(
                code=5, stdout=b"", stderr=b"no \x1b[2Jroom", seconds=0.1, timed_out=False, ok=False
            )
        for word, answer in self.answers.items():
            if word in command.argv:
                self.asked.append(command)
                return Result(
                    code=0,
                    stdout=answer,
                    stderr=b"",
                    seconds=0.1,
                    timed_out=False,
                    ok=0 in command.ok,
                )
        return self.host.run(command, watch)  # type: ignore[arg-type]


class Site:
    """A host in memory with a spec for it."""

    def __init__(self, directory: Path) -> None:
        (directory / "spec/guests").mkdir(parents=True)
        (directory / "spec/host.yaml").write_text(HOST_YAML)
        (directory / "spec/guests/web.yaml").write_text(GUEST_YAML.replace("HASH", HASH))
        self.spec_dir = str(directory / "spec")
        self.host = FakeHost()
        self.host.add_image("/srv/debian.raw", FakeImage("raw", 2 * GIB, CLOUD))
        self.door = Door(self.host, str(directory))
        self.vitals = WELL
        self.change: Callable[[Facts], Facts] = lambda facts: facts
        self.stages = HostStages(self.door, directory, self.observe, lambda: self.vitals)

    def observe(self, spec: Spec | None) -> Facts:
        wanted = spec or load(self.spec_dir, MachineDoor())
        return self.change(self.host.facts(wanted))

    def line(self, *words: str) -> int:
        return main([*words, "--spec", self.spec_dir], self.stages)
