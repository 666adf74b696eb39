"""The whole look at a host: complete on the lab's captured one, and never stopped by a part."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone

import pytest
from adapters.replay import Replay, captured, ended, lab_host
from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.host import lvm
from kvmkeep.host.door import Result
from kvmkeep.host.libvirt import Described, Hypervisor, State
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import NETWORK_MANAGER, SavedXml, SeedFile
from kvmkeep.model.network_facts import Management
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.observe.machine import observe
from kvmkeep.report.json import decode_facts, facts_json
from tests.unit.planning.build import IMAGE, spec

GIB = 1 << 30
NOW = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))


class Hosted:
    """A libvirt without domains, or one that can't be asked."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers

    def look(self) -> Hypervisor:
        if not self.answers:
            raise Unready("libvirt can't be asked", hint="start it")
        return Hypervisor(
            version="9.0.0", capabilities=captured("virsh-capabilities"), memory=Size(4 * GIB),
            domains=(),
        )  # fmt: skip


def test_the_labs_host() -> None:
    facts = observe(lab_host(), Hosted(), None, NOW)
    assert facts.problems == ()
    assert facts.time == "2026-02-28T23:30:00Z"
    assert facts.memory == Size(6079232 * 1024)
    assert facts.cpus == 2
    assert [array.name for array in facts.arrays] == ["md0"]
    assert [group.name for group in facts.groups] == ["rl_build"]
    assert facts.volume("rl_build", "vm-legacy") is not None
    assert facts.volume("rl_build", "none") is None
    assert facts.link("ens802f1") is not None
    assert facts.management == Management(interface="ens802f0", gateway="10.0.2.2", answers=True)
    assert (facts.libvirt, facts.emulator) == ("9.0.0", "/usr/bin/qemu-system-x86_64")
    tools = {tool.name: tool for tool in facts.tools}
    assert tools["lvs"].path == "/usr/bin/lvs"
    assert (tools["zstd"].path, tools["zstd"].package) == ("", "zstd")
    assert tools["nmcli"].package == "network-manager"
    assert (facts.images, facts.saved, facts.seeds) == ((), (), ())
    assert facts.agent("web") is None


@pytest.mark.parametrize(
    ("members", "ours"),
    [
        (("dm-3",), ["md0"]),
        (("dm-3", "dm-0"), ["md0"]),
        (("dm-3", "vdd"), ["md0", "md127"]),
        (("dm-77",), ["md0", "md127"]),
        ((), ["md0", "md127"]),
    ],
)
def test_an_array_that_lies_in_the_groups_own_volumes_is_a_guests(
    members: tuple[str, ...], ours: list[str]
) -> None:
    door = lab_host()
    place = "/sys/block/md127/md"
    door.files[f"{place}/array_state"] = b"inactive\n"
    door.files |= {f"{place}/dev-{one}/state": b"spare\n" for one in members}
    facts = observe(door, Hosted(), spec(), NOW)
    assert [one.name for one in facts.arrays] == ours
    assert [one.name for one in facts.guest_arrays] == (["md127"] if ours == ["md0"] else [])
    assert not observe(door, Hosted(), None, NOW).guest_arrays


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("arping from iputils 20221126\n", "/usr/bin/arping"),
        ("arping utility, iputils-s20180629\n", "/usr/bin/arping"),
        (ended(1, stderr=b"ARPing 2.23, by Thomas Habets <thomas@habets.se>"), ""),
        (ended(127), "/usr/bin/arping"),
        (replace(ended(124), timed_out=True), "/usr/bin/arping"),
    ],
)
def test_another_program_of_that_name_is_none(told: str | Result, found: str) -> None:
    facts = observe(lab_host(arping=told), Hosted(), None, NOW)
    assert next(tool.path for tool in facts.tools if tool.name == "arping") == found


def test_facts_survive_json() -> None:
    facts = observe(lab_host(), Hosted(), spec(), NOW)
    assert decode_facts(facts_json(facts).encode()) == facts


def test_a_bare_machine_without_anything() -> None:
    facts = observe(Replay({}), Hosted(answers=False), spec(), NOW)
    told = {problem.what: problem.reason for problem in facts.problems}
    assert told == {
        "volume groups": "vgs is not installed",
        "logical volumes": "lvs is not installed",
        "network interfaces": "ip is not installed",
        "default route": "ip is not installed",
        "libvirt": "libvirt can't be asked",
    }
    assert (facts.memory, facts.cpus, facts.hostname, facts.libvirt) == (Size(0), 0, "", "")
    assert (facts.arrays, facts.groups, facts.links, facts.management) == ((), (), (), None)
    assert not facts.nm.running
    (image,) = facts.images
    assert (image.name, image.original, image.usable) == (IMAGE.name, None, None)


def test_one_thing_that_fails_hides_no_other() -> None:
    door = lab_host(lvs=ended(5, stderr=b"broken"), nmcli_devices=ended(1), ip_route="nonsense")
    facts = observe(door, Hosted(), None, NOW)
    assert [problem.what for problem in facts.problems] == [
        "logical volumes", "NetworkManager", "default route",
    ]  # fmt: skip
    assert facts.unseen(NETWORK_MANAGER)
    assert facts.problems[1].reason.startswith("devices of NetworkManager: nmcli failed with")
    assert facts.groups
    assert facts.links
    assert facts.libvirt


def test_another_servers_group_of_the_same_name_hides_ours() -> None:
    door = lab_host(vgs=captured("vgs-twins", "here"))
    facts = observe(door, Hosted(), spec(), NOW)
    assert [problem.what for problem in facts.problems] == ["volume groups", "logical volumes"]
    assert {problem.reason for problem in facts.problems} == {
        "2 volume groups are named rl_build: 7XP0iZ-QBSx-Fblk-yt01-f65k-lZgO-CZFHKy, "
        "pdEOIQ-06Yv-3qrL-WT0P-xFlh-6Kdv-xnx1mR"
    }
    assert {problem.hint for problem in facts.problems} == {
        "see which is which: vgs -o +vg_uuid,pv_name; then pull the other server's disk, "
        "or rename its group: vgrename UUID NEW-NAME"
    }
    assert (facts.group("rl_build"), facts.volumes) == (None, ())
    assert lvm.LVS not in door.ran


def test_groups_of_one_name_that_is_not_ours_hide_nothing() -> None:
    door = lab_host(vgs=captured("vgs-twins", "here").replace("rl_build", "ubuntu-vg"))
    for wanted in (None, spec()):
        assert observe(door, Hosted(), wanted, NOW).problems == ()


def test_what_only_root_may_read_is_told_once_with_the_cure() -> None:
    door = lab_host()
    door.refused = {"/sys/block", "/root/kvm", "/var/lib/kvmkeep/seed", IMAGE.source}
    facts = observe(door, Hosted(), spec(), NOW)
    assert {problem.what for problem in facts.problems} == {
        "MD arrays", "/root/kvm", "/var/lib/kvmkeep/seed", IMAGE.source,
    }  # fmt: skip
    assert {problem.hint for problem in facts.problems} == {"run it as root"}
    assert len(facts.problems) == 4


class Broken(Replay):
    """A disk that gives an error for each file."""

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        del limit
        raise OSError(5, "Input/output error", path)


def test_a_domain_whose_xml_cannot_be_read_is_told_with_a_line_to_type() -> None:
    name = "my vm; reboot"
    state = State(
        name=name, uuid="u", state=DomainState.SHUTOFF, autostart=False, persistent=True,
        memory=Size(GIB), vcpus=1,
    )  # fmt: skip
    hypervisor = replace(Hosted().look(), domains=(Described(state=state, xml="<domain", live=""),))

    class Torn:
        def look(self) -> Hypervisor:
            return hypervisor

    (problem,) = observe(lab_host(), Torn(), None, NOW).problems
    assert problem.what == f"domain {name}"
    assert problem.hint == "look at: virsh dumpxml 'my vm; reboot'"


def test_a_disk_that_fails() -> None:
    facts = observe(Broken({}), Hosted(), None, NOW)
    told = {problem.what: problem for problem in facts.problems}
    found = told["/proc/meminfo"]
    assert found.reason == "it can't be read: Input/output error"
    assert found.hint == "look at it: /proc/meminfo"
    assert facts.memory == Size(4 * GIB)


def test_a_host_without_a_default_route() -> None:
    facts = observe(lab_host(ip_route="[]", ip_route6="[]"), Hosted(), None, NOW)
    assert (facts.management, facts.problems) == (None, ())


def test_a_host_without_a_default_route_that_somebody_is_logged_in_on() -> None:
    told = "".join(
        f"ESTAB 0 0 {local}:22 {peer}:50000\n"
        for local, peer in (
            ("10.0.2.15", "192.0.2.9"),
            ("[fe80::1]%nowhere0", "[fe80::7]"),
            ("198.51.100.1", "192.0.2.8"),
        )
    )
    facts = observe(lab_host(ip_route="[]", ip_route6="[]", ss=told), Hosted(), None, NOW)
    assert facts.management == Management(
        interface="ens802f0", gateway="", answers=False, peers=("192.0.2.8", "192.0.2.9", "fe80::7")
    )


def test_a_host_that_somebody_is_logged_in_on_beside_its_default_route() -> None:
    told = "ESTAB 0 0 10.0.2.15:22 192.0.2.9:50000\n"
    route = '[{"dst":"default","gateway":"10.9.0.1","dev":"uplink0"}]'
    facts = observe(lab_host(ip_route=route, ss=told), Hosted(), None, NOW)
    assert facts.management is not None
    assert (facts.management.interface, facts.management.others) == ("uplink0", ("ens802f0",))


def test_a_hosts_second_default_route() -> None:
    six = '[{"dst":"default","gateway":"fe80::2","dev":"ens802f0"}]'
    facts = observe(lab_host(ip_route6=six), Hosted(), None, NOW)
    assert facts.management is not None
    assert (facts.management.interface6, facts.management.gateway6) == ("ens802f0", "fe80::2")


def test_seeds_and_saved_xml() -> None:
    door = lab_host()
    xml = b"<domain/>"
    door.files |= {
        "/var/lib/kvmkeep/seed/web.iso": b"",
        "/var/lib/kvmkeep/seed/web.iso.part": b"",
        "/root/kvm/web.xml": xml,
        "/root/kvm/notes.txt": b"",
    }
    facts = observe(door, Hosted(), spec(), NOW)
    assert facts.seeds == (SeedFile(guest="web", path="/var/lib/kvmkeep/seed/web.iso"),)
    digest = hashlib.sha256(xml).hexdigest()
    assert facts.saved == (SavedXml(guest="web", path="/root/kvm/web.xml", sha256=digest),)


@pytest.mark.parametrize(
    ("meminfo", "memory"),
    [
        (b"MemTotal:  1024 kB\n", Size(1 << 20)),
        (b"MemFree: 1 kB\nMemTotal: 2 kB\n", Size(2048)),
        (b"MemTotal: many kB\n", Size(4 * GIB)),
        (b"MemTotal:\n", Size(4 * GIB)),
        (b"MemTotal: " + b"9" * 30 + b" kB\n", Size(4 * GIB)),
        (b"MemTotal: " + b"9" * 5000 + b" kB\n", Size(4 * GIB)),
        (b"\xff\n", Size(4 * GIB)),
    ],
)
def test_the_hosts_memory(meminfo: bytes, memory: Size) -> None:
    door = Replay({}, {"/proc/meminfo": meminfo})
    assert observe(door, Hosted(), None, NOW).memory == memory


@pytest.mark.parametrize(
    ("online", "count"),
    [(b"0\n", 1), (b"0-3\n", 4), (b"0-3,8\n", 5), (b"0,2,4-5", 4), (b"", 0), (b"x-y,\xff", 0)],
)
def test_the_hosts_processors(online: bytes, count: int) -> None:
    door = Replay({}, {"/sys/devices/system/cpu/online": online})
    assert observe(door, Hosted(), None, NOW).cpus == count


@pytest.mark.parametrize(
    ("os_release", "package", "rescue"),
    [
        (b'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "NetworkManager", "libguestfs-rescue"),
        (b"ID=fedora\n", "NetworkManager", "libguestfs-rescue"),
        (b"ID=debian\n", "network-manager", "guestfs-tools"),
        (b"ID=ubuntu\nID_LIKE=debian\n", "network-manager", "guestfs-tools"),
        (b"", "network-manager", "guestfs-tools"),
    ],
)
def test_packages_are_named_as_the_distribution_does(
    os_release: bytes, package: str, rescue: str
) -> None:
    facts = observe(Replay({}, {"/etc/os-release": os_release}), Hosted(), None, NOW)
    told = {tool.name: tool.package for tool in facts.tools}
    assert (told["nmcli"], told["virt-rescue"]) == (package, rescue)


def test_the_time_is_now_where_none_is_given() -> None:
    whole: Spec | None = None
    assert observe(Replay({}), Hosted(), whole).time.endswith("Z")
