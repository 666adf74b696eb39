"""What `adopt` finds, what it writes, and what it leaves alone."""

from __future__ import annotations

import copy
import dataclasses
from xml.etree import ElementTree as ET

import pytest
from fakes.host import FakeHost
from fakes.nm import FakeLink
from fakes.virsh import FakeDomain
from faults.plans import BY_HAND, SPEC_DIR
from faults.plans import by_hand as built_by_hand
from msgspec.structs import replace

from kvmkeep.cli.takeover import look_at
from kvmkeep.model.command import WriteFile
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import LvDisk, Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.adoption.choice import AdoptRequest
from kvmkeep.planning.plan import make_plan
from kvmkeep.spec.load import load
from tests.unit.planning.rounds import carry_out

GIB = 1 << 30
OLD = AdoptRequest(guests=("old",))
FILE = f"{SPEC_DIR}/guests/old.yaml"
HOST_FILE = f"{SPEC_DIR}/host.yaml"


def by_hand() -> FakeHost:
    """Return the host whose guest has a NIC more, on a bridge that is no network of a spec."""
    host = built_by_hand()
    domain = host.libvirt.domains["old"]
    text = "<interface type='bridge'><mac address='52:54:00:00:00:0b'/><source bridge='br0'/></interface>"
    for tree in (domain.xml, domain.live):
        tree.find("devices").append(ET.fromstring(text))  # noqa: S314 - our own
    return host


def planned(host: FakeHost, wish: AdoptRequest = OLD, **changes: object) -> Plan:
    def observe(spec: Spec | None) -> Facts:
        return replace(host.facts(spec), **changes)

    return look_at(SPEC_DIR, host, observe, wish).plan


def taken(wish: AdoptRequest = OLD) -> FakeHost:
    """Return a host whose guest was taken over."""
    host = by_hand()
    adopt(host, wish)
    return host


def adopt(host: FakeHost, wish: AdoptRequest = OLD) -> list[str]:
    plan = planned(host, wish)
    assert plan.refusals == (), plan.refusals
    for step in plan.steps:
        carry_out(host, step)
    return [step.what for step in plan.steps]


def reasons(plan: Plan) -> list[str]:
    return [refusal.reason for refusal in plan.refusals]


def texts(plan: Plan) -> str:
    return "\n".join(f"{note.subject}: {note.text}" for note in plan.notes)


def left(host: FakeHost) -> Plan:
    spec = load(SPEC_DIR, host)
    return make_plan(spec, host.facts(spec))


def edited(host: FakeHost, old: str, new: str, name: str = "old") -> None:
    """Have somebody change the domain."""
    domain = host.libvirt.domains[name]
    text = ET.tostring(domain.xml, encoding="unicode")
    assert old in text
    domain.xml = ET.fromstring(text.replace(old, new))  # noqa: S314 - our own


def add_domain(host: FakeHost, name: str, old: str = "", new: str = "") -> None:
    """Add a domain like `old`, which is off."""
    text = BY_HAND.replace("<name>old<", f"<name>{name}<").replace("0002<", "0003<")
    text = text.replace("00:00:0a", "00:00:1a").replace("00:00:0b", "00:00:1b").replace(old, new)
    host.libvirt.domains[name] = FakeDomain(ET.fromstring(text))  # noqa: S314 - our own


def test_what_is_there_is_written_down_as_it_is() -> None:
    host = taken()
    text = host.files[FILE].content.decode()
    assert text.startswith("# old was not made by kvmkeep, but taken over")
    (guest,) = load(SPEC_DIR, host).guests
    assert (guest.adopted, guest.vcpus, guest.memory) == (True, 2, Size(2 * GIB))
    assert guest.disks == (
        LvDisk(name="root", lv="web-root", size=Size(4 * GIB), named=True),
        LvDisk(name="data", lv="web-root-data", size=Size(GIB), named=True),
    )
    (nic,) = guest.nics
    assert (nic.network, nic.mac) == ("vlan7", "52:54:00:00:00:0a")
    assert (guest.run.autostart, str(type(guest.run.ready).__name__)) == (False, "ReadyAgent")
    (network,) = load(SPEC_DIR, host).networks
    assert (network.bridge, network.stp, network.forward_delay) == ("br-guests", False, 0)
    assert "# Left as it is: vlan99: no bridge profile" in host.files[HOST_FILE].content.decode()


def test_what_is_written_is_roots_alone() -> None:
    plan = planned(by_hand())
    files = [one for step in plan.steps for one in step.actions if isinstance(one, WriteFile)]
    assert {one.path for one in files} >= {FILE, HOST_FILE}
    assert {(one.mode, one.dir_mode) for one in files} == {(0o600, 0o700)}


def test_a_vlan_without_a_bridge_is_no_network_for_guests() -> None:
    host = by_hand()
    host.nm.links["uplink0.9"] = FakeLink("uplink0.9", "vlan", parent="uplink0", vlan_id=9)
    adopt(host)
    assert b"# Left as it is: vlan9: it has no bridge." in host.files[HOST_FILE].content


def test_afterwards_there_is_nothing_to_do() -> None:
    host = taken()
    assert left(host).empty
    assert planned(host).empty
    assert {step.subject for step in planned(host, AdoptRequest()).steps} == {"guest legacy"}


def test_what_a_spec_can_not_say_is_told_and_stays() -> None:
    told = texts(planned(by_hand()))
    for remark in (
        "cpu host-model", "disk vdc: qcow2 /data/x.qcow2", "cdrom sda: empty", "graphics vnc",
        "NIC 52:54:00:00:00:0b on br0, which is no network of the spec", "title",
        "metadata {urn:x}i",
    ):  # fmt: skip
        assert f"guest old: stays as it is: {remark}" in told
    assert "#   - graphics vnc\n" in taken().files[FILE].content.decode()


def test_without_names_all_that_can_be_is_taken_over() -> None:
    host = by_hand()
    add_domain(host, "Upper_Case")
    add_domain(host, "transient")
    plan = planned(host, AdoptRequest())
    told = texts(plan)
    assert "guest Upper_Case: left alone: 'Upper_Case' can't be a guest's name" in told
    assert "virsh domrename Upper_Case NAME" in told
    assert "its LV rl_build/web-root belongs" not in told
    # Two domains on one LV: the spec would have a mistake.
    assert any("the logical volume web-root is that of" in reason for reason in reasons(plan))
    for name in ("Upper_Case", "transient"):
        del host.libvirt.domains[name]
    adopt(host, AdoptRequest())
    assert [guest.name for guest in load(SPEC_DIR, host).guests] == ["legacy", "old"]
    assert left(host).empty


def test_a_guest_without_an_agent_or_with_a_silent_one_is_ready_after_a_while() -> None:
    host = by_hand()
    host.libvirt.domains["old"].agent = False
    adopt(host)
    assert "ready: delay:30" in host.files[FILE].content.decode()


def test_a_guest_that_is_off_hangs_on_no_agent_that_nobody_has_seen() -> None:
    host = by_hand()
    host.libvirt.domains["old"].live = None
    adopt(host)
    text = host.files[FILE].content.decode()
    assert "  # It was off: `ready: agent` if an agent answers once it runs.\n" in text
    assert "  ready: delay:30\n" in text
    bare = by_hand()
    bare.libvirt.domains["old"].live = None
    edited(bare, "org.qemu.guest_agent.0", "com.redhat.spice.0")
    adopt(bare)
    text = bare.files[FILE].content.decode()
    assert "  ready: delay:30\n" in text
    assert "It was off" not in text


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2097152", "32768", "it has 32 MiB of memory, a spec says 64 MiB"),
        (">2<", ">600<", "it has 600 CPUs"),
        ("<vcpu>2", '<vcpu current="2">256', "it has 256 CPUs"),
        ("/dev/mapper/rl_build-web--root", "/dev/sdb", "its first disk vda is not a raw LV of"),
        ('device="disk"', 'device="floppy"', "it has no disk"),
    ],
)  # fmt: skip
def test_domains_that_can_not_be_guests(old: str, new: str, reason: str) -> None:
    host = by_hand()
    edited(host, old, new)
    host.libvirt.domains["old"].live = None
    plan = planned(host)
    assert any(reason in one for one in reasons(plan)), reasons(plan)
    assert [step for step in plan.steps if step.subject == "guest old"] == []


def test_a_transient_domain_is_refused() -> None:
    host = by_hand()
    domains = tuple(replace(one, persistent=one.name != "old") for one in host.facts(None).domains)
    assert "it is transient" in reasons(planned(host, domains=domains))[0]


def test_what_to_type_for_a_foreign_name_runs_nothing_else() -> None:
    """libvirt takes any name without a slash and a newline (virDomainDefPostParse)."""
    host, name = by_hand(), "my vm; reboot"
    add_domain(host, name, "2097152", "32768")
    edited(host, "/dev/mapper/rl_build-web--root", "/dev/sdb", name)
    facts = host.facts(None).domains
    domains = tuple(replace(one, persistent=one.name != name) for one in facts)
    told = texts(planned(host, AdoptRequest(), domains=domains))
    for line in (
        "virsh domrename 'my vm; reboot' NAME",
        "virsh dumpxml 'my vm; reboot' > '/root/my vm; reboot.xml' && "
        "virsh define '/root/my vm; reboot.xml'",
        "virsh setmaxmem 'my vm; reboot' 64M --config",
        "virsh edit 'my vm; reboot'",
    ):
        assert line in told


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tags": {"kvmkeep", "kvmkeep.guest=db"}}, "belongs to guest db"),
        ({"tags": {"kvmkeep", "kvmkeep.guest=old", "kvmkeep.state=fresh"}}, "is not in service"),
        ({"origin": "root"}, "is a snapshot"),
        ({"size": GIB + 512}, "no whole number of MiB"),
    ],
)  # fmt: skip
def test_lvs_that_can_not_be_a_guests(change: dict[str, object], reason: str) -> None:
    host = by_hand()
    for key, value in change.items():
        setattr(host.lvm.volumes["web-root-data"], key, value)
    assert any(reason in one for one in reasons(planned(host)))


def test_an_lv_with_a_name_that_lvm_reserves() -> None:
    host = by_hand()
    volume = host.lvm.volumes["x_mimage_0"] = host.lvm.volumes.pop("web-root-data")
    volume.name = "x_mimage_0"
    edited(host, "web-root-data", "x_mimage_0")
    assert any("holds a word that LVM reserves" in one for one in reasons(planned(host)))


def test_a_disk_is_named_after_its_lv_or_its_device() -> None:
    host = by_hand()
    volume = host.lvm.volumes["archive"] = host.lvm.volumes.pop("web-root-data")
    volume.name = "archive"
    edited(host, "web-root-data", "archive")
    host.lvm.add("web-root-data", GIB)
    # The running guest has another one: apply would attach this.
    assert "apply` would: give it /dev/rl_build/archive" in reasons(planned(host))[0]
    host.libvirt.domains["old"].live = None
    adopt(host)
    assert "  vdb: {size: 1GiB, lv: archive}\n" in host.files[FILE].content.decode()
    assert "kvmkeep.disk=vdb" in volume.tags


def test_an_lv_that_is_named_as_the_spec_would_needs_no_name() -> None:
    host = by_hand()
    for before, after in (("web-root", "vm-old"), ("web-root-data", "vm-old-data")):
        volume = host.lvm.volumes[after] = host.lvm.volumes.pop(before)
        volume.name = after
    edited(host, "web-root-data", "vm-old-data")
    edited(host, "/dev/mapper/rl_build-web--root", "/dev/rl_build/vm-old")
    host.libvirt.domains["old"].live = None
    adopt(host)
    assert "  root: 4GiB\n  data: 1GiB\n" in host.files[FILE].content.decode()
    assert left(host).empty


LOGS = "/data/vm/old-logs.img"


def with_file(path: str = LOGS, size: int = GIB, *, there: bool = True) -> FakeHost:
    """Return the host whose guest has a raw file as its third disk, on a mount or not."""
    host = by_hand()
    host.mounts |= {"/data", "/data/vm"}
    if there:
        host.put(path, b"precious" if size else b"")
        host.files[path].size = size
    edited(host, "qcow2", "raw")
    edited(host, "/data/x.raw", path)
    domain = host.libvirt.domains["old"]
    domain.live = copy.deepcopy(domain.xml)
    return host


def test_a_disk_in_a_file_on_a_mount_is_written_down() -> None:
    host = with_file()
    adopt(host)
    text = host.files[FILE].content.decode()
    assert f'  logs: {{file: "{LOGS}", size: 1GiB, mount: "/data/vm"}}\n' in text
    assert left(host).empty
    assert host.files[LOGS].content == b"precious"
    assert planned(host).empty
    host.files[LOGS].size = 2 * GIB
    (change,) = [one for one in adopt(host) if one.startswith("change")]
    assert change == f"change {FILE}: disk logs from 1 GiB to 2 GiB"
    assert 'size: 2GiB, mount: "/data/vm"' in host.files[FILE].content.decode()
    host.mounts.clear()
    assert not [step for step in planned(host).steps if step.what.startswith("change")]


def test_a_disk_in_a_file_that_came_or_went_is_taken_into_the_spec() -> None:
    host = with_file()
    adopt(host)
    host.put("/data/more.img", b"x")
    host.files["/data/more.img"].size = GIB
    edited(host, LOGS, "/data/more.img")
    domain = host.libvirt.domains["old"]
    domain.live = copy.deepcopy(domain.xml)
    (change,) = [one for one in adopt(host) if one.startswith("change")]
    assert f"disk more (/data/more.img) is new, disk logs ({LOGS}) is gone" in change
    (guest,) = load(SPEC_DIR, host).guests
    assert [(disk.name, disk.mount) for disk in guest.files] == [("more", "/data")]
    assert left(host).empty


@pytest.mark.parametrize(
    ("path", "size", "why"),
    [
        ("/srv/old.img", GIB, "it lies on no mount of its own"),
        (LOGS, GIB, "there is no such file"),
        (LOGS, GIB + 512, "it has 1073742336 bytes, which is no whole number of MiB"),
        (LOGS, 0, "it has 0 bytes"),
        ("/data/../data/x.img", GIB, "a spec can't say its path"),
    ],
)
def test_files_that_a_spec_can_not_say_stay_as_they_are(path: str, size: int, why: str) -> None:
    host = with_file(path, size, there=why != "there is no such file")
    assert f"stays as it is: disk vdc: raw {path} ({why}" in texts(planned(host))
    adopt(host)
    assert path not in host.files[FILE].content.decode().partition("adopted:")[2]


def test_a_file_that_is_none_stays_as_it_is() -> None:
    host = with_file()
    host.files[LOGS].kind = "symlink"
    assert f"raw {LOGS} (it is no plain file, but: symlink)" in texts(planned(host))


def test_a_file_alone_is_no_root_disk() -> None:
    host = with_file()
    edited(host, "/dev/mapper/rl_build-web--root", "/data/root.img")
    assert "its first disk vda is not a raw LV" in reasons(planned(host))[0]


def test_a_disk_that_is_only_there_until_the_guest_is_off() -> None:
    host = by_hand()
    domain = host.libvirt.domains["old"]
    more = copy.deepcopy(domain.live.findall("devices/disk")[1])
    more.find("source").set("dev", "/dev/rl_build/home")
    more.find("target").set("dev", "vdx")
    domain.live.find("devices").append(more)
    assert "disk vdx: raw /dev/rl_build/home, but only until" in texts(planned(host))


def test_a_nic_with_an_address_that_can_be_none() -> None:
    host = by_hand()
    edited(host, "52:54:00:00:00:0a", "01:00:00:00:00:0a")
    assert "NIC on br-guests: 01:00:00:00:00:0a is a multicast" in texts(planned(host))
    edited(host, 'bridge="br-guests"', 'network="default"')
    assert "NIC 01:00:00:00:00:0a elsewhere" in texts(planned(host))


def test_a_description_is_kept() -> None:
    host = by_hand()
    edited(host, "<title>", '<description>The "shop"</description><title>')
    adopt(host)
    assert load(SPEC_DIR, host).guests[0].description == 'The "shop"'


def test_names_that_are_not_there() -> None:
    plan = planned(by_hand(), AdoptRequest(guests=("nobody",), networks=("dmz",)))
    assert reasons(plan) == ["libvirt has no domain of that name", "the spec has no such network"]


def test_the_file_of_another_guest_is_not_written_over() -> None:
    host = by_hand()
    host.put(FILE, b"name: other\n")
    host.put(HOST_FILE, taken().files[HOST_FILE].content)
    other = taken().files[FILE].content.replace(b"c0ffee00", b"c0ffee01")
    host.put(FILE, other + b"name: other\n")
    plan = planned(host)
    assert f"{FILE} is there already, and is about another guest" in reasons(plan)
    host.put(FILE, other)
    assert "the spec has a guest of that name with another UUID" in reasons(planned(host))[0]


def test_a_guest_that_was_renamed_by_hand_is_named() -> None:
    host = taken()
    host.libvirt.domains["new"] = host.libvirt.domains.pop("old")
    edited(host, "<name>old<", "<name>new<", "new")
    assert "the spec knows it as old" in reasons(planned(host, AdoptRequest(guests=("new",))))[0]
    host.libvirt.domains["no; w"] = host.libvirt.domains.pop("new")
    edited(host, "<name>new<", "<name>no; w<", "no; w")
    assert "name it back: virsh domrename 'no; w' old" in texts(planned(host, AdoptRequest()))


def test_what_is_marked_and_not_in_the_spec_is_written_down_again() -> None:
    host = taken()
    del host.files[FILE]
    assert adopt(host) == [f"write {FILE}"]
    assert "  data: {size: 1GiB, lv: web-root-data}" in host.files[FILE].content.decode()


def test_changes_by_others_are_taken_into_the_spec() -> None:
    host = taken()
    text = host.files[FILE].content.decode()
    host.put(FILE, text.replace("vcpus: 2", "vcpus: 2  # enough").encode())
    edited(host, "<vcpu>2", "<vcpu>3")
    edited(host, "<memory>2097152", "<memory>3145728")
    edited(host, "<currentMemory>2097152", "<currentMemory>3145728")
    host.libvirt.domains["old"].live = None
    host.libvirt.domains["old"].autostart = True
    host.lvm.volumes["web-root"].size = 5 * GIB
    (what,) = [one for one in adopt(host) if one.startswith("change")]
    assert what == (
        f"change {FILE}: vcpus from 2 to 3, memory from 2 GiB to 3 GiB, "
        "autostart from false to true, disk root from 4 GiB to 5 GiB"
    )
    text = host.files[FILE].content.decode()
    assert "vcpus: 3  # enough\nmemory: 3GiB\n" in text
    assert "autostart: true" in text
    assert "root: {size: 5GiB, lv: web-root}" in text


def test_the_most_that_a_guest_may_be_given_is_taken_into_the_spec() -> None:
    host = taken()
    host.libvirt.domains["old"].live = None
    edited(host, "<vcpu>2", '<vcpu current="2">8')
    edited(host, "<memory>2097152", "<memory>4194304")
    (what,) = [one for one in adopt(host) if one.startswith("change")]
    assert what == f"change {FILE}: vcpus_max from 2 to 8, memory_max from 2 GiB to 4 GiB"
    (guest,) = load(SPEC_DIR, host).guests
    assert (guest.vcpus, guest.vcpus_max) == (2, 8)
    assert (guest.memory, guest.memory_max) == (Size(2 * GIB), Size(4 * GIB))
    assert left(host).empty
    edited(host, '<vcpu current="2">8', '<vcpu current="3">4')
    edited(host, "<currentMemory>2097152", "<currentMemory>4194304")
    (what,) = [one for one in adopt(host) if one.startswith("change")]
    assert what == (
        f"change {FILE}: vcpus from 2 to 3, memory from 2 GiB to 4 GiB, vcpus_max from 8 to 4, "
        "memory_max is gone: it is the 4 GiB that it has"
    )
    text = host.files[FILE].content.decode()
    assert "vcpus_max: 4\n" in text
    assert "memory_max" not in text
    assert left(host).empty


def test_disks_and_nics_that_came_and_went_are_taken_into_the_spec() -> None:
    host = taken()
    host.nm.links["br-dmz"] = FakeLink("br-dmz", "bridge")
    text = host.files[HOST_FILE].content.decode()
    entry = "networks:\n  dmz: {vlan: 9, bridge: br-dmz, vlan_interface: uplink0.9}"
    host.put(HOST_FILE, text.replace("networks:", entry, 1).encode())
    host.lvm.add("more", GIB).overwrite(0, GIB)
    edited(host, "/dev/rl_build/web-root-data", "/dev/rl_build/more")
    edited(host, "br-guests", "br-dmz")
    edited(host, '<source bridge="br0" />', '<source bridge="br-guests" />')
    plan = planned(host)
    (what,) = [step.what for step in plan.steps if step.what.startswith(f"change {FILE}")]
    for told in (
        "disk vdb (more) is new", "disk data (web-root-data) is gone",
        "NIC 52:54:00:00:00:0a from network vlan7 to dmz",
        "NIC 52:54:00:00:00:0b on network vlan7 is new",
    ):  # fmt: skip
        assert told in what
    step = next(step for step in plan.steps if step.what == what)
    carry_out(host, step)
    (guest,) = load(SPEC_DIR, host).guests
    assert [disk.lv for disk in guest.volumes] == ["web-root", "more"]
    assert [(nic.network, nic.mac[-1]) for nic in guest.nics] == [("dmz", "a"), ("vlan7", "b")]
    edited(host, "52:54:00:00:00:0a", "52:54:00:00:00:0c")
    (what,) = [s.what for s in planned(host).steps if s.what.startswith(f"change {FILE}")]
    assert "NIC 52:54:00:00:00:0a is gone" in what


def test_a_file_that_can_not_be_changed_in_its_place_is_refused() -> None:
    host = taken()
    text = host.files[FILE].content.decode()
    host.put(FILE, text.replace("vcpus: 2", 'vcpus: !!int "2"').replace("!!int ", "").encode())
    host.put(FILE, text.replace("memory: 2GiB", "memory: '2\n  GiB'").encode())
    edited(host, "<memory>2097152", "<memory>3145728")
    edited(host, "<currentMemory>2097152", "<currentMemory>3145728")
    found = reasons(planned(host))
    assert found == [f"{FILE} can't be changed in its place: memory from 2 GiB to 3 GiB"]


def test_the_settings_of_a_network_are_taken_into_the_spec() -> None:
    host = taken()
    settings = host.nm.profiles["b0"].settings
    settings |= {"bridge.ageing-time": "300", "bridge.stp": "yes", "bridge.forward-delay": "4"}
    wish = AdoptRequest(networks=("vlan7",))
    (what,) = adopt(host, wish)
    assert what == (
        f"change {HOST_FILE}: ageing_time from 0 to 300, stp from false to true, "
        "forward_delay from 0 to 4"
    )
    (network,) = load(SPEC_DIR, host).networks
    assert (network.ageing_time, network.stp, network.forward_delay) == (300, True, 4)
    settings["bridge.ageing-time"] = ""
    assert planned(host, wish).steps == ()
    del host.nm.profiles["b0"]
    assert "no bridge profile" in reasons(planned(host, wish))[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"filename": "/run/NetworkManager/x"}, "does not lie in /etc but in /run/NetworkManager/x"),
        ({"settings": (("connection.stable-id", "${MAC}"),)}, "has a connection.stable-id of its"),
        ({"settings": (("ipv4.method", "auto"),)}, "the host gets addresses by its profile"),
    ],
)  # fmt: skip
def test_profiles_that_can_not_be_marked(change: dict[str, object], reason: str) -> None:
    host = taken()
    for profile in host.nm.profiles.values():
        profile.settings["connection.stable-id"] = ""
    nm = host.facts(None).nm
    profiles = tuple(replace(one, **change) if one.uuid == "b0" else one for one in nm.profiles)
    plan = planned(host, nm=replace(nm, profiles=profiles))
    assert any(reason in one for one in reasons(plan))


def test_two_profiles_of_one_interface() -> None:
    host = taken()
    host.nm.profiles["b0"].settings["connection.stable-id"] = ""
    host.nm.profiles["b1"] = dataclasses.replace(host.nm.profiles["b0"], uuid="b1")
    plan = planned(host)
    assert "br-guests has several profiles: Guests (b0), Guests (b1)" in reasons(plan)


def test_what_apply_would_do_afterwards_is_told_before() -> None:
    host = taken()
    for profile in host.nm.profiles.values():
        profile.settings["connection.stable-id"] = ""
    host.nm.profiles["b0"].settings["bridge.ageing-time"] = "300"
    plan = planned(host)
    assert plan.refusals == ()
    assert "apply` would: change bridge.ageing-time of br-guests from 300 to 0" in texts(plan)
