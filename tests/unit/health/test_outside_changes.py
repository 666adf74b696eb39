"""What others change with their own tools: `check` names each, and `apply` heals or refuses it.

A row is a change as somebody would type it, the finding that names it, and how it ends: `healed`
(one `apply` later, the host is as before), `refused` (`apply` changes nothing and says why), or
`told` (nothing that kvmkeep could or may mend; the finding says what to type).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fakes.nm import FakeLink, FakeProfile
from fakes.virsh import FakeDomain, xml_text
from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.facts import ArrayState, Facts
from kvmkeep.model.vitals import MetadataBackup, PhysicalDisk, Service, SpecFileStat
from tests.unit.cli.running import ANSWERS
from tests.unit.cli.site import Site

GIB = 1 << 30
BRIDGE, VLAN = "virbr1.223", "uplink0.223"
HEALED, REFUSED, TOLD = "healed", "refused", "told"


class Case(Struct, frozen=True, kw_only=True):
    """A change, the finding's name and subject, how it ends, and what the todo begins with."""

    typed: str
    change: Callable[[Site], None]
    found: str
    subject: str
    ends: str
    todo: str = ""
    also: tuple[str, ...] = ()
    """What is typed after `apply`, as a finding says."""


def web(site: Site) -> FakeDomain:
    return site.host.libvirt.domains["web"]


def live(site: Site) -> ET.Element:
    tree = web(site).live
    assert tree is not None
    return tree


def profile(site: Site, interface: str) -> FakeProfile:
    (found,) = [one for one in site.host.nm.profiles.values() if one.interface == interface]
    return found


def facts(change: Callable[[Facts], Facts]) -> Callable[[Site], None]:
    """Return a change of what the host in memory has no tool for."""

    def made(site: Site) -> None:
        before = site.change
        site.change = lambda seen: change(before(seen))

    return made


def signs(**changes: object) -> Callable[[Site], None]:
    def made(site: Site) -> None:
        site.vitals = replace(site.vitals, **changes)

    return made


def at(path: str, **attributes: str) -> Callable[[Site], None]:
    """Return a `virsh edit`: attributes of an element of the definition."""

    def made(site: Site) -> None:
        (element,) = web(site).xml.findall(path)
        element.attrib.update(attributes)

    return made


def text(path: str, words: str) -> Callable[[Site], None]:
    def made(site: Site) -> None:
        for element in web(site).xml.findall(path):
            element.text = words

    return made


def setting(interface: str, key: str, value: str) -> Callable[[Site], None]:
    return lambda site: profile(site, interface).settings.update({key: value})


def kernel(name: str, **changes: object) -> Callable[[Site], None]:
    def made(site: Site) -> None:
        for key, value in changes.items():
            setattr(site.host.nm.links[name], key, value)

    return made


def lv(**changes: object) -> Callable[[Site], None]:
    def made(site: Site) -> None:
        for key, value in changes.items():
            setattr(site.host.lvm.volumes["vm-web"], key, value)

    return made


def end_of(site: Site) -> None:
    web(site).end()


def undefine(site: Site) -> None:
    web(site).end()
    del site.host.libvirt.domains["web"]


def undefine_running(site: Site) -> None:
    one = web(site)
    one.xml, one.transient, one.autostart = copy.deepcopy(live(site)), True, False


def unsafe(site: Site) -> None:
    at("devices/disk[@device='disk']/driver", cache="unsafe")(site)
    site.host.put("/root/kvm/web.xml", f"{xml_text(web(site).xml)}\n".encode())


def renamed(interface: str) -> Callable[[Site], None]:
    return lambda site: setattr(profile(site, interface), "name", "renamed")


def addressed(site: Site) -> None:
    setting(BRIDGE, "ipv4.method", "manual")(site)
    setting(BRIDGE, "ipv4.addresses", "132.230.223.1/24")(site)


def taken(site: Site) -> None:
    by_hand(site)
    site.host.lvm.volumes["vm-web-before"].filled = 1.0


def no_metadata(site: Site) -> None:
    for tree in (web(site).xml, live(site)):
        tree.remove(tree.find("metadata") or ET.Element("x"))


def twin(site: Site) -> None:
    tree = copy.deepcopy(web(site).xml)
    (tree.find("name") or tree[0]).text = "twin"
    tree.find("uuid").text = "00000000-0000-4000-8000-000000000001"  # type: ignore[union-attr]
    tree.remove(tree.find("metadata"))  # type: ignore[arg-type]
    site.host.libvirt.domains["twin"] = FakeDomain(xml=tree)


def without_nic(site: Site) -> None:
    for tree in (web(site).xml, live(site)):
        devices = tree.find("devices")
        assert devices is not None
        devices.remove(devices.find("interface"))  # type: ignore[arg-type]


def pause(site: Site) -> None:
    web(site).paused = True


def io_error(site: Site) -> None:
    web(site).paused, web(site).why = True, "I/O error"


def no_profile(interface: str) -> Callable[[Site], None]:
    def made(site: Site) -> None:
        one = profile(site, interface)
        del site.host.nm.profiles[one.uuid]
        site.host.nm.links.pop(interface)

    return made


def down(interface: str) -> Callable[[Site], None]:
    """Return what `connection down` does: ports of a bridge that goes are loose."""

    def made(site: Site) -> None:
        profile(site, interface).device = ""
        site.host.nm.links.pop(interface)
        for link in site.host.nm.links.values():
            if link.master == interface:
                link.master = ""

    return made


def namesake(site: Site) -> None:
    site.host.nm.profiles["other"] = FakeProfile("other", BRIDGE, "bridge", BRIDGE, {})


def same_vlan(site: Site) -> None:
    no_profile(VLAN)(site)
    site.host.nm.links["vlan223"] = FakeLink("vlan223", "vlan", parent="uplink0", vlan_id=223)


def no_manager(site: Site) -> None:
    site.host.nm.running = False


def no_volume(site: Site) -> None:
    web(site).end()
    del site.host.lvm.volumes["vm-web"]


def lv_renamed(site: Site) -> None:
    web(site).end()
    volume = site.host.lvm.volumes.pop("vm-web")
    volume.name = "web-old"
    site.host.lvm.volumes["web-old"] = volume


def lv_renamed_in_spec_as_well(site: Site) -> None:
    lv_renamed(site)
    path = Path(site.spec_dir, "guests/web.yaml")
    root = "root: {size: 20GiB, lv: web-old}"
    path.write_text(path.read_text().replace("root: 20GiB", root))


def another_lv(site: Site) -> None:
    site.host.lvm.add("root", 20 * GIB)
    at("devices/disk[@device='disk']/source", dev="/dev/rl_build/root")(site)


def another_lv_off(site: Site) -> None:
    web(site).end()
    another_lv(site)


def untagged(site: Site) -> None:
    site.host.lvm.volumes["vm-web"].tags.clear()


def switched_off(site: Site) -> None:
    web(site).end()
    site.host.lvm.volumes["vm-web"].active = False


def by_hand(site: Site) -> None:
    made = site.host.lvm.add("vm-web-before", 1 << 30)
    made.origin, made.filled = "vm-web", 92.0


def full(site: Site) -> None:
    by_hand(site)
    site.host.lvm.volumes["vm-web-before"].invalid = True


def eats_room(site: Site) -> None:
    site.host.lvm.add("scratch", site.host.lvm.free - (1 << 30))


def xml_edited(site: Site) -> None:
    site.host.put("/root/kvm/web.xml", b"<domain/>")


def xml_gone(site: Site) -> None:
    del site.host.files["/root/kvm/web.xml"]


def seed(site: Site) -> None:
    site.host.put("/var/lib/kvmkeep/seed/web.iso", b"x")


def image_gone(site: Site) -> None:
    del site.host.files["/srv/debian.raw"]


def deaf(site: Site) -> None:
    site.host.libvirt.silent_agents.add("web")


def crowded(site: Site) -> None:
    site.host.memory = 5 << 30


def spec_edited(site: Site) -> None:
    path = Path(site.spec_dir, "guests/web.yaml")
    path.write_text(path.read_text().replace("memory: 2GiB", "memory: 3GiB"))


def degraded(seen: Facts) -> Facts:
    array = replace(
        seen.arrays[0], state=ArrayState.DEGRADED, missing=1, faulty=("vdc",),
        detail="1 of 2 run, vdc is faulty",
    )  # fmt: skip
    return replace(seen, arrays=(array,))


def lost_pv(seen: Facts) -> Facts:
    return replace(seen, groups=tuple(replace(one, missing_pvs=1) for one in seen.groups))


def nested(seen: Facts) -> Facts:
    inside = replace(seen.groups[0], name="data", pvs=("/dev/rl_build/vm-web",))
    return replace(seen, groups=(*seen.groups, inside))


def mirrored(seen: Facts) -> Facts:
    (root,) = [one for one in seen.volumes if one.name == "vm-web"]
    inside = replace(seen.arrays[0], name="md127", members=(root.kernel_name,))
    return replace(seen, guest_arrays=(inside,))


def uplink_off(seen: Facts) -> Facts:
    links = (replace(one, up=False) if one.name == "uplink0" else one for one in seen.links)
    return replace(seen, links=tuple(links))


G, N, V = "guest web", "network public", "volume rl_build/vm-web"

CASES = (
    # virsh
    Case(typed="virsh destroy web", change=end_of, found="guest-off", subject=G, ends=TOLD,
         todo="kvmkeep start web"),
    Case(typed="virsh suspend web", change=pause, found="guest-paused", subject=G, ends=TOLD,
         todo="kvmkeep journal, for who did it; then: kvmkeep resume web"),
    Case(typed="a disk gave an error", change=io_error, found="guest-io-error", subject=G,
         ends=TOLD, todo="virsh domblkerror web"),
    Case(typed="virsh undefine web", change=undefine, found="spec-differs", subject=G, ends=HEALED,
         also=("start", "web")),
    Case(typed="virsh autostart --disable web",
         change=lambda site: setattr(web(site), "autostart", False),
         found="spec-differs", subject=G, ends=HEALED),
    Case(typed="virsh setvcpus web 1 --config", change=text("vcpu", "1"), found="spec-differs",
         subject=G, ends=HEALED),
    Case(typed="virsh setmem web 1GiB --config", change=text("currentMemory", "1048576"),
         found="spec-differs", subject=G, ends=HEALED),
    Case(typed="virsh edit web: the bridge", change=at("devices/interface/source", bridge="virbr0"),
         found="spec-differs", subject=G, ends=HEALED),
    Case(typed="virsh edit web: qcow2", change=at("devices/disk[@device='disk']/driver", type="qcow2"),
         found="spec-refused", subject=G, ends=REFUSED),
    Case(typed="virsh edit web: another LV", change=another_lv, found="spec-refused", subject=G,
         ends=REFUSED),
    Case(typed="virsh edit web: another LV, off", change=another_lv_off, found="spec-refused",
         subject=G, ends=REFUSED, todo="virsh edit web: give vda the source /dev/rl_build/vm-web"),
    Case(typed="virsh metadata --remove web", change=no_metadata, found="spec-refused", subject=G,
         ends=REFUSED),
    Case(typed="virsh detach-interface web", change=without_nic, found="spec-differs", subject=G,
         ends=HEALED),
    Case(typed="virsh define twin.xml", change=twin, found="volume-shared", subject=V, ends=REFUSED,
         todo="keep one of them off"),
    Case(typed="virsh undefine web, running", change=undefine_running, found="guest-undefined",
         subject=G, ends=HEALED, todo="kvmkeep apply web"),
    Case(typed="virsh edit web: cache=unsafe", change=unsafe, found="disk-cache-unsafe", subject=G,
         ends=TOLD, todo="virsh edit web"),
    Case(typed="virsh edit web: cache=writeback",
         change=at("devices/disk[@device='disk']/driver", cache="writeback"), found="spec-differs",
         subject=G, ends=HEALED),
    # nmcli, ip
    Case(typed="nmcli connection modify: connection.id BRIDGE", change=renamed(BRIDGE),
         found="spec-differs", subject=N, ends=HEALED),
    Case(typed="nmcli connection modify: connection.id VLAN", change=renamed(VLAN),
         found="spec-differs", subject=N, ends=HEALED),
    Case(typed="nmcli connection modify: autoconnect",
         change=setting(VLAN, "connection.autoconnect", "no"), found="spec-differs", subject=N,
         ends=HEALED),
    Case(typed="nmcli connection modify: addresses", change=addressed, found="spec-differs",
         subject=N, ends=HEALED),
    Case(typed="nmcli connection modify: ageing", change=setting(BRIDGE, "bridge.ageing-time", "300"),
         found="spec-differs", subject=N, ends=HEALED),
    Case(typed="nmcli connection modify: id", change=setting(VLAN, "vlan.id", "224"),
         found="spec-differs", subject=N, ends=HEALED),
    Case(typed="nmcli connection modify: mark", change=setting(BRIDGE, "connection.stable-id", ""),
         found="spec-refused", subject=N, ends=REFUSED),
    Case(typed="nmcli connection delete VLAN", change=no_profile(VLAN), found="bridge-port-missing",
         subject=N, ends=HEALED),
    Case(typed="nmcli connection down VLAN", change=down(VLAN), found="bridge-port-missing",
         subject=N, ends=HEALED),
    Case(typed="nmcli connection down BRIDGE", change=down(BRIDGE), found="bridge-absent", subject=N,
         ends=HEALED),
    Case(typed="nmcli connection add a namesake", change=namesake, found="spec-refused", subject=N,
         ends=REFUSED),
    Case(typed="another interface takes the VLAN", change=same_vlan, found="spec-refused", subject=N,
         ends=REFUSED),
    Case(typed="ip link set VLAN nomaster", change=kernel(VLAN, master=""),
         found="bridge-port-missing", subject=N, ends=HEALED),
    Case(typed="ip link set BRIDGE ageing_time", change=kernel(BRIDGE, ageing_time=300),
         found="bridge-differs", subject=N, ends=HEALED, todo="nmcli device reapply"),
    Case(typed="ip link set BRIDGE stp_state 0", change=kernel(BRIDGE, stp=False),
         found="bridge-differs", subject=N, ends=HEALED),
    Case(typed="ip link set VLAN mtu 9000", change=kernel(VLAN, mtu=9000), found="bridge-mtu",
         subject=N, ends=TOLD, todo=f"ip link show {VLAN}"),
    Case(typed="ip address add on BRIDGE", change=kernel(BRIDGE, addresses=("132.230.223.1/24",)),
         found="bridge-has-address", subject=N, ends=TOLD, todo="ip address del"),
    Case(typed="ip link set TAP nomaster", change=kernel("vnet0", master=""),
         found="guest-cut-off", subject=G, ends=HEALED, todo="ip link set dev vnet0 master"),
    Case(typed="ip link set uplink0 down", change=facts(uplink_off), found="uplink-down",
         subject="uplink uplink0", ends=TOLD, todo="ip link set uplink0 up"),
    Case(typed="the cable is pulled", change=kernel("uplink0", carrier=False),
         found="uplink-no-carrier", subject="uplink uplink0", ends=TOLD, todo="look at cable"),
    # lvm, mdadm
    Case(typed="lvremove vm-web", change=no_volume, found="spec-refused", subject=G, ends=REFUSED),
    Case(typed="lvrename vm-web", change=lv_renamed, found="spec-refused", subject=G, ends=REFUSED),
    Case(typed="lvrename vm-web, and `lv` in the spec", change=lv_renamed_in_spec_as_well,
         found="spec-differs", subject=G, ends=HEALED, also=("start", "web")),
    Case(typed="lvchange --deltag", change=untagged, found="spec-refused", subject=G, ends=REFUSED),
    Case(typed="lvchange --activate n", change=switched_off, found="volume-inactive", subject=V,
         ends=TOLD, todo="lvchange --activate y"),
    Case(typed="lvchange --permission r", change=lv(readonly=True), found="volume-read-only",
         subject=V, ends=TOLD, todo="lvchange --permission rw rl_build/vm-web"),
    Case(typed="lvreduce --size 10G", change=lv(size=10 * GIB), found="spec-differs", subject=G,
         ends=HEALED, todo="if nobody made a disk of it larger in the spec, somebody made its LV "
         "smaller (lvreduce), and what was cut off is there until another LV gets its extents"),
    Case(typed="lvcreate --snapshot", change=by_hand, found="snapshot-filling",
         subject="snapshot rl_build/vm-web-before", ends=TOLD, todo="lvextend"),
    Case(typed="lvcreate --snapshot, full", change=full, found="snapshot-lost",
         subject="snapshot rl_build/vm-web-before", ends=TOLD, todo="look at it: lvs"),
    Case(typed="lvcreate --extents 99%FREE", change=eats_room, found="group-full",
         subject="group rl_build", ends=TOLD, todo="kvmkeep snapshot list"),
    Case(typed="pvcreate in a guest", change=facts(nested), found="group-of-guest-visible",
         subject="group data", ends=TOLD, todo="vgchange --activate n data"),
    Case(typed="mdadm --create in a guest", change=facts(mirrored), found="array-of-guest-visible",
         subject="array md127", ends=TOLD, todo="name the host's own arrays in mdadm.conf"),
    Case(typed="a disk of the group is unplugged", change=facts(lost_pv),
         found="group-disk-missing", subject="group rl_build", ends=TOLD, todo="bring the disk back"),
    Case(typed="mdadm --fail", change=facts(degraded), found="array-degraded", subject="array md0",
         ends=TOLD, todo="mdadm --detail /dev/md0"),
    Case(typed="rm /etc/lvm/backup/rl_build",
         change=signs(backups=(MetadataBackup(vg="rl_build", seqno=4, saved=-1),)),
         found="group-state-not-saved", subject="group rl_build", ends=TOLD, todo="vgcfgbackup"),
    Case(typed="a disk says that it fails", change=signs(disks=(PhysicalDisk(name="sda", passed=False),)),
         found="disk-failing", subject="disk sda", ends=TOLD, todo="smartctl"),
    # systemctl, sysctl, modprobe
    Case(typed="systemctl stop chronyd", change=signs(synchronized=False),
         found="clock-not-synchronized", subject="clock", ends=TOLD, todo="timedatectl"),
    Case(typed="systemctl disable mdcheck_start.timer", change=signs(schedules=()),
         found="array-never-checked", subject="array md0", ends=TOLD, todo="systemctl enable"),
    Case(typed="systemctl stop NetworkManager", change=no_manager, found="networkmanager-off",
         subject="NetworkManager", ends=REFUSED, todo="systemctl enable --now NetworkManager"),
    Case(typed="systemctl stop qemu-guest-agent, inside", change=deaf, found="guest-not-ready",
         subject=G, ends=TOLD, todo="kvmkeep console web"),
    Case(typed="systemctl disable libvirtd",
         change=signs(services=(Service(name="libvirtd.service", state="disabled"),)),
         found="service-not-enabled", subject="libvirtd", ends=TOLD,
         todo="systemctl enable libvirtd.service"),
    Case(typed="systemctl mask NetworkManager",
         change=signs(services=(Service(name="NetworkManager.service", state="masked"),)),
         found="service-not-enabled", subject="NetworkManager", ends=TOLD,
         todo="systemctl unmask NetworkManager.service"),
    Case(typed="modprobe br_netfilter", change=signs(bridge_filters=("bridge-nf-call-iptables",)),
         found="bridge-filtered", subject="bridges", ends=TOLD, todo="sysctl --write"),
    # files
    Case(typed="edit /root/kvm/web.xml", change=xml_edited, found="spec-differs", subject=G,
         ends=HEALED),
    Case(typed="rm /root/kvm/web.xml", change=xml_gone, found="spec-differs", subject=G, ends=HEALED),
    Case(typed="a seed is put back", change=seed, found="seed-left",
         subject="seed /var/lib/kvmkeep/seed/web.iso", ends=HEALED),
    Case(typed="chmod o+w host.yaml",
         change=signs(spec_files=(SpecFileStat(path="/etc/kvmkeep/host.yaml", owner=0, mode=0o646),)),
         found="spec-writable", subject="file /etc/kvmkeep/host.yaml", ends=TOLD,
         todo="look at what it says"),
    Case(typed="edit guests/web.yaml", change=spec_edited, found="spec-differs", subject=G,
         ends=HEALED),
    Case(typed="half of the memory is taken out", change=crowded, found="memory-promised",
         subject="memory", ends=TOLD, todo="give guests less memory"),
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Return a host with a running guest that is well."""
    made = Site(tmp_path)
    assert made.line("apply", "--yes") == 0
    booted(made)
    capsys.readouterr()
    return made


def booted(site: Site) -> None:
    """Have what comes with a running guest: its agent's answers, and its tap device."""
    web(site).agent = True
    web(site).told = dict(ANSWERS)
    nic = live(site).find("devices/interface")
    assert nic is not None
    if nic.find("target") is None:
        ET.SubElement(nic, "target", dev="vnet0")
        site.host.nm.links["vnet0"] = FakeLink("vnet0", "tun", master=BRIDGE)


def looked(site: Site, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], dict[str, str]]:
    site.line("check", "--json")
    found = json.loads(capsys.readouterr().out)["findings"]
    return {(one["name"], one["subject"]): one for one in found}


@pytest.mark.parametrize("case", CASES, ids=[case.typed.replace(" ", "-") for case in CASES])
def test_a_change_of_others_is_named_and_mended_or_refused(
    case: Case, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    before = looked(site, capsys)
    case.change(site)
    found = looked(site, capsys)
    assert (case.found, case.subject) not in before
    assert (case.found, case.subject) in found, sorted(found.keys() - before.keys())
    told = found[case.found, case.subject]
    line = told["todo"].replace(f" --spec {site.spec_dir}", "")
    assert line.startswith(case.todo), line
    assert told["severity"] != "ok"
    calls = len(site.host.calls)
    code = site.line("apply", "--yes")
    said = capsys.readouterr()
    if case.ends == HEALED:
        assert code == 0, said.err
        assert not case.also or site.line(*case.also) == 0
        booted(site)
        capsys.readouterr()
        assert looked(site, capsys).keys() == before.keys()
        assert site.line("plan", "--exit-code") == 0
    elif case.ends == REFUSED:
        assert code in {4, 5}, said.err
        assert case.subject.split("/")[-1].removeprefix("vm-").split(" ")[-1] in said.err
        asked = [one.argv[:2] for one in site.host.calls[calls:]]
        assert set(asked) <= {("busctl", "get-property")}, asked
    else:
        assert told["todo"]
        assert looked(site, capsys).keys() >= {(case.found, case.subject)}


def test_a_snapshot_of_others_is_told_and_alarms_nobody(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    taken(site)
    told = looked(site, capsys)["snapshot-of-others", "snapshot rl_build/vm-web-before"]
    assert told["severity"] == "ok"


def in_host_yaml(old: str, new: str) -> Callable[[Site], None]:
    def made(site: Site) -> None:
        path = Path(site.spec_dir, "host.yaml")
        path.write_text(path.read_text().replace(old, new))

    return made


def prefixed(site: Site) -> None:
    in_host_yaml("{vg: rl_build}", "{vg: rl_build, lv_prefix: kvm-}")(site)


def lost_mark(site: Site) -> None:
    assert site.line("install-units", "--yes") == 0
    no_metadata(site)


@pytest.mark.parametrize(
    ("change", "todo"),
    [
        (in_host_yaml("build.example.org", "build"), "that comes from host.name (build) or its"),
        (prefixed, "the guest has that one: put storage.lv_prefix"),
        (another_lv, "virsh edit web"),
        (lost_mark, "it has the guest's UUID"),
    ],
)
def test_a_guest_that_would_not_come_up_again_is_critical(
    change: Callable[[Site], None],
    todo: str,
    site: Site,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(site)
    capsys.readouterr()
    all_found = looked(site, capsys)
    differs = all_found.get(("spec-differs", "guest web"), {"severity": "warning"})
    assert differs["severity"] == "warning", "it is told once"
    found = all_found["spec-refused", "guest web"]
    assert found["severity"] == "critical"
    assert found["todo"].startswith(todo)
    assert "by recover neither" in found["why"]
    assert site.line("check") == 2


def test_a_path_to_be_written_is_critical_until_apply_has_done_it(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    lv_renamed_in_spec_as_well(site)
    found = looked(site, capsys)["spec-differs", "guest web"]
    assert found["severity"] == "critical"
    assert "its definition has /dev/rl_build/vm-web as vda" in found["why"]


def test_there_are_enough_of_them() -> None:
    assert len({case.typed for case in CASES}) == len(CASES) >= 50
