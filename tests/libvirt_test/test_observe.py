"""Observing domains through libvirt's test driver: in bulk, and whatever goes wrong."""

from __future__ import annotations

import socket
import sys
import time
import uuid
from pathlib import Path

import libvirt as library
import pytest
from adapters.replay import Replay, captured
from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.host.libvirt import Described, Hypervisor, Libvirt, State, _look, _states
from kvmkeep.model.domain_facts import DomainState, GivenNic, Shape
from kvmkeep.model.names import RUN_KEY, RUN_URI
from kvmkeep.model.proof import RunningProof
from kvmkeep.model.run_mark import NO_RUN_MARK, RunMark
from kvmkeep.model.units import Size
from kvmkeep.observe.domains import observe_domains, parse_domain
from kvmkeep.observe.notebook import Notebook
from kvmkeep.planning.domains.run_mark import keep_mark

MIB = 1 << 20
DOMAIN = """\
<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
<name>{name}</name><uuid>{uuid}</uuid><metadata>{metadata}</metadata>
<memory unit='MiB'>256</memory><vcpu>2</vcpu><os><type arch='i686'>hvm</type></os>
<devices>
<disk type='block' device='disk'><driver name='qemu' type='raw'/>
<source dev='/dev/rl_build/vm-{name}'/><target dev='sda' bus='scsi'/></disk>
<disk type='file' device='cdrom'><target dev='sdb' bus='scsi'/><readonly/></disk>
<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='sdc' bus='scsi'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='virbr1.223'/>
<model type='virtio'/></interface>
<serial type='pty'><log file='/var/log/{name}.log'/></serial>
<channel type='unix'><source mode='bind' path='/x'/>
<target type='virtio' name='org.qemu.guest_agent.0'/></channel>
</devices>{state}</domain>
"""
OURS = "<k:guest xmlns:k='urn:kvmkeep:guest:1'/>"
OFF = "<test:runstate>5</test:runstate>"


def connection(directory: Path, count: int) -> str:
    """Write a host with so many domains for the test driver; every other one is ours and off."""
    domains = "".join(
        DOMAIN.format(
            name=f"guest{number}",
            uuid=uuid.UUID(int=number + 1),
            metadata=OURS if number % 2 else "",
            state=OFF if number % 2 else "",
        )
        for number in range(count)
    )
    file = directory / "host.xml"
    file.write_text(f"<node>{domains}<cpu><nodes>1</nodes></cpu></node>", "utf-8")
    return f"test://{file}"


def test_a_thousand_domains_in_one_look(tmp_path: Path) -> None:
    notebook = Notebook(Replay({}))
    found = observe_domains(notebook, Libvirt(connection(tmp_path, 1000)))
    assert notebook.problems == ()
    domains = {domain.name: domain for domain in found.domains}
    assert len(domains) == 1000
    assert [domain.name for domain in found.domains] == sorted(domains)
    running, off = domains["guest0"], domains["guest1"]
    assert (running.state, running.ours) == (DomainState.RUNNING, False)
    assert (off.state, off.ours) == (DomainState.SHUTOFF, True)
    assert (off.uuid, off.persistent, off.autostart) == (str(uuid.UUID(int=2)), True, False)
    assert (off.memory, off.vcpus) == (Size(256 * MIB), 2)
    assert [(disk.target, disk.source) for disk in off.disks] == [
        ("sda", "/dev/rl_build/vm-guest1"), ("sdb", ""), ("sdc", "p/v"),
    ]  # fmt: skip
    assert (off.disks[0].device, off.disks[0].format, off.disks[1].kind) == (
        "252:3",
        "raw",
        "cdrom",
    )
    assert (off.nics[0].mac, off.nics[0].bridge) == ("52:54:00:00:00:01", "virbr1.223")
    assert off.serial_log == "/var/log/guest1.log"
    assert not running.agent
    assert len(found.version.split(".")) == 3
    assert found.memory > Size(0)


def test_the_drivers_own_host() -> None:
    found = observe_domains(Notebook(Replay({})), Libvirt("test:///default"))
    (domain,) = found.domains
    assert (domain.name, domain.state) == ("test", DomainState.RUNNING)
    assert [state.name for state in Libvirt("test:///default").states()] == ["test"]


def test_memory_that_libvirt_keeps_is_seen(tmp_path: Path) -> None:
    uri = connection(tmp_path, 2)
    # Each connection of the driver has a host of its own, but for that of test:///default.
    writing = library.open(uri)
    try:
        writing.lookupByName("guest0").managedSave(0)
        found = _look(writing, library)
    finally:
        writing.close()
    assert {one.state.name: one.state.saved for one in found.domains} == {
        "guest0": True, "guest1": False,
    }  # fmt: skip
    domains = observe_domains(Notebook(Replay({})), Given("", *found.domains)).domains
    assert [domain.saved for domain in domains] == [True, False]


def test_a_libvirt_that_is_not_there_is_a_problem() -> None:
    notebook = Notebook(Replay({}))
    found = observe_domains(notebook, Libvirt("qemu+unix:///system?socket=/nonexistent"))
    assert found.domains == ()
    (problem,) = notebook.problems
    assert problem.what == "libvirt"
    assert "can't be asked: Failed to connect socket" in problem.reason
    assert "systemctl start" in problem.hint


def test_a_socket_for_reading_that_was_not_started_is_named() -> None:
    with pytest.raises(Unready) as caught:
        Libvirt("qemu+unix:///system?socket=/nonexistent/virtqemud-sock-ro").states()
    assert "systemctl start virtqemud-ro.socket" in caught.value.hint


def test_a_libvirt_that_hangs_is_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        began = time.monotonic()
        with pytest.raises(Unready, match="did not answer within"):
            Libvirt(f"qemu+unix:///system?socket={path}", limit=0.2).states()
        assert time.monotonic() - began < 10


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(Unready, match="libvirt library is not installed") as caught:
        Libvirt("test:///default").look()
    assert "python3-libvirt" in caught.value.hint


# --- domains that go while they are looked at


class Gone:
    """A domain of which libvirt forgets everything at some point."""

    def __init__(self, *, known: bool, memory: int = 1024, state: int = 5) -> None:
        self.known = known
        self.why = 5
        self.kept = ""
        self.numbers = [state, memory, memory, 1, 0]

    def info(self) -> list[int]:
        if not self.known:
            raise library.libvirtError("Domain not found")
        return self.numbers

    def name(self) -> str:
        return "gone"

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return str(uuid.UUID(int=7))

    def ID(self) -> int:  # noqa: N802 - libvirt's name
        return -1

    def state(self) -> list[int]:
        return [self.numbers[0], self.why]

    def metadata(self, kind: int, uri: str, flags: int) -> str:
        assert (kind, uri, flags) == (2, "urn:kvmkeep:run:1", 2)
        if not self.kept:
            raise library.libvirtError("metadata not found")
        return self.kept

    def XMLDesc(self, flags: int) -> str:  # noqa: N802 - libvirt's name
        raise library.libvirtError(f"Domain not found ({flags})")


class Connection:
    """A connection that lists one domain."""

    def __init__(self, domain: Gone) -> None:
        self.domain = domain

    def listAllDomains(self, flags: int) -> list[Gone]:  # noqa: N802 - libvirt's name
        return [] if flags else [self.domain]

    def getLibVersion(self) -> int:  # noqa: N802 - libvirt's name
        return 11_002_003

    def getCapabilities(self) -> str:  # noqa: N802 - libvirt's name
        return captured("virsh-capabilities")

    def getInfo(self) -> list[object]:  # noqa: N802 - libvirt's name
        return ["x86_64", 64]


def test_domains_that_vanish_are_left_out() -> None:
    assert _states(Connection(Gone(known=False)), library) == ()
    found = _look(Connection(Gone(known=True)), library)
    assert (found.domains, found.version, found.memory) == ((), "11.2.3", Size(64 * MIB))


@pytest.mark.parametrize("memory", [(1 << 64) - 1, (1 << 63) // 1024, 1 << 51])
def test_a_domain_that_may_use_any_amount_of_memory(memory: int) -> None:
    (state,) = _states(Connection(Gone(known=True, memory=memory)), library)
    assert state.memory == Size(1 << 60)


def test_a_state_of_a_newer_libvirt() -> None:
    (state,) = _states(Connection(Gone(known=True, state=99)), library)
    assert state.state is DomainState.NOSTATE


@pytest.mark.parametrize(("number", "why"), [(5, "I/O error"), (1, "user"), (0, ""), (99, "")])
def test_why_a_domain_is_paused(number: int, why: str) -> None:
    domain = Gone(known=True, state=3)
    domain.why = number
    (state,) = _states(Connection(domain), library)
    assert (state.state, state.why) == (DomainState.PAUSED, why)


@pytest.mark.parametrize(("number", "why"), [(0, ""), (1, ""), (9, "crashed"), (99, "")])
def test_why_a_domain_runs_is_told_where_its_kernel_panicked(number: int, why: str) -> None:
    domain = Gone(known=True, state=1)
    domain.why = number
    (state,) = _states(Connection(domain), library)
    assert (state.state, state.why) == (DomainState.RUNNING, why)


@pytest.mark.parametrize(
    ("number", "why"), [(0, ""), (1, "shutdown"), (2, "destroyed"), (3, "crashed"), (99, "")]
)
def test_why_a_domain_is_off(number: int, why: str) -> None:
    domain = Gone(known=True, state=5)
    domain.why = number
    (state,) = _states(Connection(domain), library)
    assert (state.state, state.why) == (DomainState.SHUTOFF, why)


@pytest.mark.parametrize(
    ("kept", "starts"),
    [("", False), ("<run wanted='off'/>", False), ("<run wanted='off' starts='yes'/>", True)],
)
def test_what_starts_by_kvmkeep_starts_with_the_host(kept: str, starts: bool) -> None:  # noqa: FBT001
    domain = Gone(known=True)
    domain.kept = kept
    (state,) = _states(Connection(domain), library)
    assert state.autostart is starts


def test_what_is_written_of_a_domain_is_what_is_read(tmp_path: Path) -> None:
    """libvirt itself keeps the element, gives it back, and lets it go again."""
    opened = library.open(connection(tmp_path, 2))
    domain = opened.lookupByName("guest1")

    def kept() -> RunMark:
        (found,) = [one for one in _look(opened, library).domains if one.state.name == "guest1"]
        return parse_domain(found, Replay({})).run_mark

    much = RunMark(
        starts=True, wanted=False, restarts=3, last="20260101T000000Z", tries=2, held=True
    )
    for mark in (much, RunMark(wanted=True)):
        command = keep_mark(Known(), mark, "why")
        text = command.argv[command.argv.index("--set") + 1]
        domain.setMetadata(2, text, RUN_KEY, RUN_URI, 2)
        assert kept() == mark
        assert _states(opened, library)[1].autostart is mark.starts
    domain.setMetadata(2, None, None, RUN_URI, 2)
    assert kept() == NO_RUN_MARK
    assert "--remove" in keep_mark(Known(), NO_RUN_MARK, "why").argv
    opened.close()


@pytest.mark.parametrize("restarts", ["-1", "x", "9999999", ""])
def test_a_mark_that_others_wrote_is_not_believed(restarts: str) -> None:
    text = f"<k:run xmlns:k='urn:kvmkeep:run:1' restarts='{restarts}' tries='{restarts}' wanted='perhaps' held='no'/>"
    state = State(
        name="a", uuid="u", state=DomainState.SHUTOFF, autostart=False, persistent=True, vcpus=1,
        memory=Size(MIB),
    )  # fmt: skip
    xml = DOMAIN.format(name="a", uuid=uuid.UUID(int=1), metadata=text, state="")
    described = Described(state=state, xml=xml, live="")
    assert parse_domain(described, Replay({})).run_mark == NO_RUN_MARK


class Known:
    """What is known by name and UUID."""

    name = "guest1"
    uuid = str(uuid.UUID(int=2))


def test_another_run_of_a_domain_has_another_number() -> None:
    connection = library.open("test:///default")
    domain = connection.lookupByName("test")
    seen = [_states(connection, library)[0].run]
    for change in (domain.destroy, domain.create):
        change()
        seen.append(_states(connection, library)[0].run)
    connection.close()
    assert seen[1] == -1
    assert -1 not in {seen[0], seen[2]}
    assert seen[0] != seen[2]


# --- XML


class Given:
    """A libvirt that says what it is given."""

    def __init__(self, capabilities: str, *described: Described) -> None:
        self.capabilities = capabilities
        self.described = described

    def look(self) -> Hypervisor:
        return Hypervisor(
            version="9.0.0", capabilities=self.capabilities, memory=Size(MIB),
            domains=self.described,
        )  # fmt: skip


def described(xml: str, live: str = "", name: str = "web") -> Described:
    state = State(
        name=name, uuid=str(uuid.UUID(int=1)), state=DomainState.RUNNING, autostart=True,
        persistent=True, vcpus=1, memory=Size(MIB),
    )  # fmt: skip
    return Described(state=state, xml=xml, live=live)


def test_xml_that_can_not_be_read_hides_no_other_domain() -> None:
    notebook = Notebook(Replay({}))
    host = Given("<", described("<domain>", name="a\x1bb"), described("<domain/>"))
    found = observe_domains(notebook, host)
    assert [domain.name for domain in found.domains] == ["web"]
    assert found.emulator == ""
    (problem,) = notebook.problems
    assert "XML can't be read" in problem.reason
    assert all(text.isprintable() for text in (problem.what, problem.reason, problem.hint))


def test_the_emulator_of_the_hosts_own_architecture() -> None:
    host = Given(captured("virsh-capabilities"))
    found = observe_domains(Notebook(Replay({})), host)
    assert found.emulator == "/usr/bin/qemu-system-x86_64"
    bare = "<capabilities><host><cpu><arch>x</arch></cpu></host>{}</capabilities>"
    guest = "<guest><os_type>hvm</os_type><arch name='{}'><emulator>/q</emulator></arch></guest>"
    for arch, emulator in (("x", "/q"), ("y", "")):
        host = Given(bare.format("<guest/>" + guest.format(arch)))
        assert observe_domains(Notebook(Replay({})), host).emulator == emulator


def test_the_machine_types_that_kvm_has() -> None:
    host = Given(captured("virsh-capabilities"))
    found = observe_domains(Notebook(Replay({})), host).machines
    assert [one.arch for one in found] == ["i686", "x86_64"]
    assert {"pc-q35-7.2", "q35", "pc-i440fx-7.2"} <= {*found[1].names}
    kvm = "<domain type='kvm'><machine>b</machine></domain>"
    arch = f"<arch name='x'><machine>a</machine><domain type='qemu'/>{kvm}</arch>"
    text = f"<capabilities><guest>{arch}</guest><guest><arch name='y'/></guest></capabilities>"
    (only,) = observe_domains(Notebook(Replay({})), Given(text)).machines
    assert (only.arch, only.names) == ("x", ("a", "b"))


def test_the_group_that_qemu_runs_as() -> None:
    host = Given(captured("virsh-capabilities"))
    assert observe_domains(Notebook(Replay({})), host).qemu_group == 64055
    model = "<secmodel><model>dac</model><baselabel type='kvm'>{}</baselabel></secmodel>"
    for label, group in (("+107:+36", 36), ("system_u:x", -1), ("+1:+-5", -1)):
        host = Given(f"<capabilities><host>{model.format(label)}</host></capabilities>")
        assert observe_domains(Notebook(Replay({})), host).qemu_group == group
    for text in ("<capabilities/>", "<cap"):
        assert observe_domains(Notebook(Replay({})), Given(text)).qemu_group == -1


def test_a_domain_that_proves_a_backup_is_nobodys_guest(tmp_path: Path) -> None:
    file = tmp_path / "host.xml"
    proof = "<p:proof xmlns:p='urn:kvmkeep:proof:1' guest='a'/>"
    text = "".join(
        DOMAIN.format(name=name, uuid=uuid.UUID(int=number), metadata=mark, state="")
        for number, (name, mark) in enumerate((("a", OURS), ("kvmkeep-proof-a", proof)), 1)
    )
    file.write_text(f"<node>{text}<cpu><nodes>1</nodes></cpu></node>", "utf-8")
    opened = library.open(f"test://{file}")
    found = observe_domains(Notebook(Replay({})), Given("", *_look(opened, library).domains))
    assert [one.name for one in found.domains] == ["a"]
    assert found.proofs == (RunningProof(guest="a", memory=Size(256 * MIB)),)
    opened.close()


def test_a_disk_that_only_the_running_guest_has() -> None:
    disk = "<disk device='{}'><source {}='{}'/><target dev='{}' bus='scsi'/></disk>"
    agent = "<channel><target name='org.qemu.guest_agent.0' state='connected'/></channel>"
    xml = "<domain><devices>{}</devices></domain>"
    own = disk.format("disk", "dev", "/dev/a/b", "sda")
    more = disk.format("cdrom", "file", "/seed.iso", "sdb") + "<disk><target dev='sdc'/></disk>"
    log = "<console><log file='/c.log'/></console>"
    found = parse_domain(
        described(xml.format(own + log), xml.format(own + more + agent)), Replay({})
    )
    assert [disk.source for disk in found.disks] == ["/dev/a/b", "/seed.iso"]
    assert found.agent
    assert found.rebooted == ""
    assert found.serial_log == "/c.log"


def test_a_disk_that_is_cached_otherwise_than_defined_is_the_same_disk() -> None:
    disk = "<disk><driver cache='{}'/><source dev='/dev/a/b'/><target dev='sda'/></disk>"
    xml = "<domain><devices>{}</devices></domain>"
    texts = (xml.format(disk.format(one)) for one in ("none", "unsafe"))
    (found,) = parse_domain(described(*texts), Replay({})).disks
    assert (found.defined, found.attached) == (True, True)
    assert (found.cache, found.live_cache) == ("none", "unsafe")
    bare = xml.format(disk.replace("<driver cache='{}'/>", ""))
    (off,) = parse_domain(described(bare), Replay({})).disks
    assert (off.attached, off.cache, off.live_cache) == (False, "", "")
    (more,) = parse_domain(
        described(xml.format(""), xml.format(disk.format("none"))), Replay({})
    ).disks
    assert (more.defined, more.cache, more.live_cache) == (False, "", "none")


def test_when_a_running_guest_was_rebooted() -> None:
    mark = "<k:rebooted xmlns:k='urn:kvmkeep:reboot:1' asked='2026-11-24T12:00:00Z'/>"
    xml = "<domain><metadata>{}</metadata></domain>"
    found = parse_domain(described(xml.format(""), xml.format(mark)), Replay({}))
    assert found.rebooted == "2026-11-24T12:00:00Z"


SHAPED = """<domain><description>the shop</description>
<metadata><k:guest xmlns:k='urn:kvmkeep:guest:1'><k:label>prod</k:label>
<k:nic mac='52:54:00:00:00:01' addresses='dhcp' dns='192.0.2.1'/><k:nic/></k:guest></metadata>
<memory unit='KiB'>4096</memory><currentMemory unit='KiB'>2048</currentMemory>
<vcpu current='2'>4</vcpu><devices>
<controller type='pci' index='0' model='pcie-root'/>
<controller type='pci' index='1' model='pcie-root-port'><address type='pci' bus='0x00'/></controller>
<controller type='pci' index='2' model='pcie-root-port'><address type='pci' bus='0x00'/></controller>
<controller type='pci' index='10' model='pcie-root-port'><address type='pci' bus='0x00'/></controller>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='b'/>
<address type='pci' bus='0x0a'/></interface>
<memballoon model='none'/></devices></domain>"""


def test_the_shape_of_a_guest_and_what_its_metadata_keep() -> None:
    found = parse_domain(described(SHAPED, SHAPED.replace("2048", "1024")), Replay({}))
    assert found.defined == Shape(
        memory=Size(2 * MIB), memory_max=Size(4 * MIB), vcpus=2, vcpus_max=4, balloon=False
    )
    assert found.live == replace(found.defined, memory=Size(MIB))
    assert (found.description, found.labels, found.ports) == ("the shop", ("prod",), 2)
    assert found.given == (
        GivenNic(mac="52:54:00:00:00:01", settings=(("addresses", "dhcp"), ("dns", "192.0.2.1"))),
        GivenNic(mac=""),
    )
    (nic,) = found.live_nics
    assert found.nics == (nic,)
    assert (nic.mac, nic.bridge, nic.kind) == ("52:54:00:00:00:01", "b", "bridge")
    assert nic.xml.startswith("<interface")
    assert nic.xml.endswith("</interface>")


def test_a_shape_that_can_not_be_read_and_a_guest_that_is_off() -> None:
    found = parse_domain(described("<domain><memory>much</memory></domain>"), Replay({}))
    assert (found.defined, found.live, found.live_nics, found.ports) == (None, None, (), -1)
    bare = "<domain><memory>4</memory><vcpu>1</vcpu></domain>"
    found = parse_domain(described(bare, bare), Replay({}))
    four = Size(4096)
    assert found.live == Shape(memory=four, memory_max=four, vcpus=1, vcpus_max=1)
    assert found.ports == -1
    assert (
        parse_domain(described("<domain><memory>4</memory></domain>"), Replay({})).defined is None
    )
