"""What is looked at of guests' disks only where it matters, and what agents are believed."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.libvirt import Described, State
from kvmkeep.host.mountinfo import PLACE
from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import Facts
from kvmkeep.model.spec import FileDisk, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.observe.disks import (
    disk_files,
    file_ways,
    loop_files,
    mounts,
    raw_files,
    with_disks_to_go,
    with_executing_agents,
    with_extents,
    with_stripes,
)
from kvmkeep.observe.domains import parse_domain
from kvmkeep.observe.notebook import Notebook
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

FAR = FileDisk(name=Label("far"), path="/data and/web.img", mount="/data and", size=Size(GIB))
WEB = replace(guest(data=GIB), disks=(*guest(data=GIB).disks, FAR))
ALLOWED = json.dumps(
    {"return": {"version": "7.2", "supported_commands": [
        {"name": "guest-ping", "enabled": True, "success-response": True},
        {"name": "guest-exec", "enabled": True, "success-response": True},
        {"name": "guest-file-open", "enabled": True, "success-response": True},
    ]}}
).encode()  # fmt: skip


class Answering(FakeHost):
    """A host whose every command answers the same."""

    def __init__(self, stdout: bytes = b"", code: int = 0) -> None:
        super().__init__()
        self.crowds: list[tuple[int, float, int]] = []
        self.answer = Result(
            code=code, stdout=stdout, stderr=b"", seconds=0.0, timed_out=False, ok=code == 0
        )

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        del watch
        self.calls.append(command)
        return self.answer

    def run_all(
        self, commands: Sequence[Command], *, limit: float, at_once: int
    ) -> tuple[Result, ...]:
        self.crowds.append((len(commands), limit, at_once))
        return tuple(self.run(one) for one in commands)


class Running(Answering):
    """A host with a guest that runs some system; the agent need not say which."""

    def __init__(self, **system: str) -> None:
        super().__init__(ALLOWED)
        self.system = system

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        answer = super().run(command, watch)
        if "guest-get-osinfo" not in command.argv[-1]:
            return answer
        return replace(
            answer, ok=bool(self.system), stdout=json.dumps({"return": self.system}).encode()
        )


class Automounting(FakeHost):
    """A host with automounts, and what they bring once somebody goes there."""

    def __init__(self, rows: str, **brings: str) -> None:
        super().__init__()
        self.rows = f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n{rows}"
        self.brings = brings
        self.put(PLACE, self.rows.encode())

    def run_all(
        self, commands: Sequence[Command], *, limit: float, at_once: int
    ) -> tuple[Result, ...]:
        assert (limit, at_once) == (5, 16)
        self.calls += commands
        self.rows += "".join(self.brings.get(one.argv[-1].split("/")[1], "") for one in commands)
        self.put(PLACE, self.rows.encode())
        return ()


@pytest.fixture(scope="module")
def seen() -> Facts:
    """Return what is seen of a guest that runs, with its agent connected."""
    host = FakeHost()
    host.mounts.add(FAR.mount)
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(WEB))
    host.libvirt.domains["web"].agent = True
    return host.facts(spec(WEB))


def executes(door: Answering, wanted: Spec, facts: Facts) -> bool:
    (domain,) = with_executing_agents(
        Notebook(door), wanted, facts.domains, facts.volumes, facts.disk_files
    )
    return domain.executes


def sized(**sizes: int) -> Spec:
    disks = tuple(replace(d, size=Size(sizes.get(d.name, d.size.bytes))) for d in WEB.disks)
    return spec(replace(WEB, disks=disks))


@pytest.fixture
def quiet(seen: Facts) -> Facts:
    return replace(seen, domains=tuple(replace(one, executes=False) for one in seen.domains))


def test_an_agent_is_asked_only_while_a_disk_grows(quiet: Facts) -> None:
    door = Answering(ALLOWED)
    assert not executes(door, spec(WEB), quiet)
    assert door.calls == []
    assert executes(door, sized(data=2 * GIB), quiet)
    assert executes(door, sized(far=2 * GIB), quiet)
    marked = tuple(
        replace(one, tags=(*one.tags, "kvmkeep.grow=data")) if one.name == "vm-web" else one
        for one in quiet.volumes
    )
    assert executes(door, spec(WEB), replace(quiet, volumes=marked))


def test_an_agent_is_asked_where_a_disk_is_to_go(quiet: Facts) -> None:
    door = Answering(ALLOWED)
    less = spec(replace(WEB, disks=WEB.disks[:1]))
    assert executes(door, less, quiet)
    assert with_disks_to_go(less, quiet.domains, quiet.volumes) == {"web"}
    assert with_disks_to_go(spec(), quiet.domains, quiet.volumes) == frozenset()
    assert with_disks_to_go(spec(WEB), quiet.domains, quiet.volumes) == frozenset()
    off = tuple(
        replace(one, disks=tuple(replace(disk, attached=False) for disk in one.disks))
        for one in quiet.domains
    )
    assert with_disks_to_go(less, off, quiet.volumes) == frozenset()
    elsewhere = tuple(replace(one, vg="other") for one in quiet.volumes)
    assert with_disks_to_go(less, quiet.domains, elsewhere) == {"web"}, "for its file"
    forgotten = tuple(replace(one, files=(), live_files=()) for one in quiet.domains)
    assert with_disks_to_go(less, forgotten, elsewhere) == frozenset()
    assert with_disks_to_go(less, forgotten, quiet.volumes) == {"web"}, "for its LV"


@pytest.mark.parametrize("change", [{"agent": False}, {"state": DomainState.PAUSED}])
def test_an_agent_that_can_not_answer_is_not_asked(quiet: Facts, change: dict[str, object]) -> None:
    door = Answering(ALLOWED)
    (domain,) = quiet.domains
    there = replace(quiet, domains=(replace(domain, **change),))
    assert not executes(door, sized(data=2 * GIB), there)
    assert door.calls == []


@pytest.mark.parametrize(
    "door",
    [
        Answering(ALLOWED, code=1),
        Answering(ALLOWED.replace(b'exec", "enabled": true', b'exec", "enabled": false')),
        Answering(ALLOWED.replace(b'open", "enabled": true', b'open", "enabled": false')),
        Answering(ALLOWED.replace(b"guest-file-open", b"guest-file-read")),
        Answering(b'{"return": {"supported_commands": [{"name": 7, "enabled": true}]}}'),
        Answering(b"\xff\xfe"),
        Answering(b"[" * 100_000),
        Answering(ALLOWED + b" " * (1 << 18)),
        Answering(b'{"return": {}}'),
    ],
)
def test_an_agent_that_is_silent_or_lies_runs_nothing(door: Answering, quiet: Facts) -> None:
    assert not executes(door, sized(data=2 * GIB), quiet)
    assert len(door.calls) == 1


@pytest.mark.parametrize(
    ("system", "ours"),
    [
        ({"id": "debian", "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1"}, True),
        ({}, True),
        ({"id": "mswindows", "kernel-version": "10.0"}, False),
        ({"kernel-version": "FreeBSD 14.1-RELEASE-p5 stable/24.7 SMP"}, False),
    ],
)
def test_our_programs_are_for_linux(system: dict[str, str], *, ours: bool, quiet: Facts) -> None:
    assert executes(Running(**system), sized(data=2 * GIB), quiet) == ours


def test_agents_are_asked_side_by_side_however_many_grow(quiet: Facts) -> None:
    names = [f"web{number}" for number in range(20)]
    (like,) = quiet.domains
    door = Answering(ALLOWED)
    wanted = replace(spec(), guests=tuple(replace(WEB, name=GuestName(name)) for name in names))
    (root,) = (one for one in quiet.volumes if one.name == "vm-web")
    marked = replace(root, tags=("kvmkeep.grow=data",))
    domains = tuple(replace(like, name=name, agent=number > 0) for number, name in enumerate(names))
    found = with_executing_agents(Notebook(door), wanted, domains, (marked,), ())
    assert [one.executes for one in found] == [False] + [True] * 19
    assert door.crowds == [(19, 10.0, 16), (19, 10.0, 16)]


def test_only_extents_of_spare_lvs_are_asked_for(seen: Facts) -> None:
    door = Answering(code=5)
    assert with_extents(Notebook(door), seen.volumes) == seen.volumes
    assert door.calls == []
    spare = replace(seen.volumes[0], name="vm-web+grow", tags=("kvmkeep.state=spare",))
    report = {"report": [{"lv": [
        {"vg_name": "rl_build", "lv_name": "vm-web+grow", "seg_pe_ranges": "/dev/md0:1-2 /dev/b:3-3"},
        {"vg_name": "rl_build", "lv_name": "vm-web+grow", "seg_pe_ranges": "/dev/md0:9-9"},
    ]}]}  # fmt: skip
    found = with_extents(Notebook(Answering(json.dumps(report).encode())), (spare, *seen.volumes))
    assert found[0].extents == ("/dev/md0:1-2", "/dev/b:3-3", "/dev/md0:9-9")
    assert found[1:] == seen.volumes
    blind = Notebook(door)
    assert with_extents(blind, (spare,)) == (spare,)
    assert [problem.what for problem in blind.problems] == ["extents of logical volumes"]


def test_striped_lvs_are_asked_for_only_while_a_disk_grows(seen: Facts) -> None:
    report = {"report": [{"lv": [
        {"vg_name": "rl_build", "lv_name": "vm-web-data"}, {"vg_name": "old", "lv_name": "vm-web"},
    ]}]}  # fmt: skip
    door = Answering(json.dumps(report).encode())
    assert with_stripes(Notebook(door), sized(far=2 * GIB), seen.volumes) == seen.volumes
    assert door.calls == []
    found = with_stripes(Notebook(door), sized(data=2 * GIB), seen.volumes)
    assert [one.name for one in found if one.striped] == ["vm-web-data"]
    assert door.calls[0].argv[-2:] == ("--select", 'lv_layout="striped"')
    blind = Notebook(Answering(code=5))
    assert with_stripes(blind, sized(data=2 * GIB), seen.volumes) == seen.volumes
    assert [problem.what for problem in blind.problems] == ["striped logical volumes"]


def test_files_are_looked_at_only_on_their_mount() -> None:
    host = FakeHost()
    host.put(FAR.path, b"disk")
    wanted = spec(WEB)
    lines = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n25 22 0:9 / /data rw - nfs a:/b rw\nshort\n"
    host.put("/proc/self/mountinfo", lines.encode())
    assert mounts(Notebook(host), wanted) == ()
    assert disk_files(Notebook(host), wanted, ()) == ()
    host.put(
        "/proc/self/mountinfo", (lines + "26 22 0:9 / /data\\040and rw - nfs a:/b rw\n").encode()
    )
    assert mounts(Notebook(host), wanted) == ("/data and",)
    (file,) = disk_files(Notebook(host), wanted, ("/data and",))
    assert (file.path, file.fingerprint.size) == (FAR.path, 4)
    assert file_ways(Notebook(host), wanted, ("/data and",), (file,)) == ()
    (way,) = file_ways(Notebook(host), wanted, ("/data and",), ())
    assert (way.path, way.trouble) == (posixpath.dirname(FAR.path), "")
    assert file_ways(Notebook(host), wanted, (), ()) == ()
    host.files.clear()
    assert mounts(Notebook(host), wanted) == ()
    assert disk_files(Notebook(host), wanted, ("/data and",)) == ()
    assert mounts(Notebook(host), spec(guest())) == ()


DATA = "25 22 0:9 / /data rw - autofs systemd-1 rw,direct\n"
NFS = "26 25 0:9 / /data rw - nfs4 filer:/data rw\n"


def asked(host: FakeHost) -> list[tuple[str, ...]]:
    return [command.argv for command in host.calls]


def test_an_automount_is_no_mount_and_is_asked_for_what_it_brings() -> None:
    wanted = spec(guest(mounts=("/data",)))
    host = Automounting(DATA, data=NFS)
    assert mounts(Notebook(host), wanted) == ("/data",)
    assert asked(host) == [("stat", "--", "/data/")]
    assert mounts(Notebook(host), wanted) == ("/data",)
    assert len(host.calls) == 1, "it is there by now"


def test_an_automount_whose_server_is_silent_brings_nothing() -> None:
    wanted = spec(guest(mounts=("/data",)))
    host = Automounting(DATA)
    assert mounts(Notebook(host), wanted) == ()
    assert asked(host) == [("stat", "--", "/data/")]


def test_what_lies_below_an_automount_is_asked_for_as_well() -> None:
    below = "26 25 0:9 / /misc/data rw - nfs4 filer:/data rw\n"
    host = Automounting(DATA.replace("/data", "/misc"), misc=below)
    wanted = spec(guest(mounts=("/misc/data",)))
    assert mounts(Notebook(host), wanted, ("/data/x", "/misc/data/vm/y")) == ("/misc/data",)
    assert asked(host) == [("stat", "--", "/misc/data/"), ("stat", "--", "/misc/data/vm/")]


def test_what_lies_on_a_mount_below_an_automount_is_not_asked_for() -> None:
    host = Automounting(DATA + NFS)
    assert mounts(Notebook(host), spec(guest(mounts=("/data/more",))), ("/data/x",)) == ("/data",)
    assert asked(host) == []


def test_files_behind_loop_devices_are_told_where_a_guest_has_one() -> None:
    host = FakeHost()
    host.put("/sys/block/loop0/loop/backing_file", b"/data and/web \xff.img\n")
    host.put("/sys/block/loop1/size", b"0\n")
    host.put("/sys/block/sda/loop/backing_file", b"/none\n")
    notebook = Notebook(host)
    assert loop_files(notebook, spec(WEB)) == ("/data and/web \ufffd.img",)
    assert notebook.problems == ()
    assert loop_files(notebook, spec(guest())) == ()


def test_files_of_guests_beside_the_spec_are_looked_at_where_that_is_asked_for() -> None:
    host = FakeHost()
    lines = "22 1 8:1 / / rw - ext4 a rw\n25 22 0:9 / /a rw - nfs b rw\n26 25 0:8 / /a/b rw - c d\n"
    host.put("/proc/self/mountinfo", lines.encode())
    files = ("/a/b/x", "/a/y", "/z")
    for path in files:
        host.put(path, b"disk")
    there = mounts(Notebook(host), spec(), files)
    assert there == ("/a", "/a/b")
    found = disk_files(Notebook(host), spec(), there, files)
    assert [file.path for file in found] == ["/a/b/x", "/a/y"]
    xml = (
        "<domain><devices>"
        "<disk device='disk'><driver type='raw'/><source file='/a/y'/><target dev='vda'/></disk>"
        "<disk device='disk'><driver type='raw'/><source dev='/dev/x/y'/><target dev='vdb'/></disk>"
        "<disk device='disk'><driver type='qcow2'/><source file='/q'/><target dev='vdc'/></disk>"
        "<disk device='cdrom'><driver type='raw'/><source file='/i'/><target dev='sda'/></disk>"
        "</devices></domain>"
    )
    assert raw_files((described(xml, ""),)) == ("/a/y",)


def described(xml: str, live: str) -> Domain:
    state = State(
        name="web", uuid="u", state=DomainState.RUNNING, autostart=False, persistent=True,
        vcpus=1, memory=Size(GIB),
    )  # fmt: skip
    return parse_domain(Described(state=state, xml=xml, live=live), FakeHost())


def disks_xml(*targets: str) -> str:
    disks = "".join(
        f"<disk device='disk'><source dev='/dev/{name}'/><target dev='{name}' bus='virtio'/>"
        f"<serial>s-{name}</serial></disk>"
        for name in targets
    )
    return f"<domain><devices>{disks}</devices></domain>"


def test_which_disks_are_there_now_and_which_at_the_next_start() -> None:
    found = described(disks_xml("vda", "vdb"), disks_xml("vda", "vdc"))
    assert [(disk.target, disk.serial, disk.defined, disk.attached) for disk in found.disks] == [
        ("vda", "s-vda", True, True), ("vdb", "s-vdb", True, False), ("vdc", "s-vdc", False, True),
    ]  # fmt: skip
    (off,) = described(disks_xml("vda"), "").disks
    assert (off.defined, off.attached) == (True, False)
