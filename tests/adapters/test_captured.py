"""What the tools of the lab's host printed, read as facts."""

from __future__ import annotations

import pytest
from adapters.replay import Replay, captured, captured_files, ended, lab_host, problem

from kvmkeep.host import iproute, lvm, mdadm, nmcli
from kvmkeep.host.door import Result
from kvmkeep.host.libvirt import Described, State
from kvmkeep.model.domain_facts import DomainDisk, DomainState, Shape
from kvmkeep.model.facts import Array, ArrayState, VolumeGroup
from kvmkeep.model.network_facts import Nm
from kvmkeep.model.units import Size
from kvmkeep.observe.domains import parse_domain

MIB = 1 << 20
BRIDGE = captured("ip-address", "namespace")


def test_lvm_tells_its_errors_on_stderr() -> None:
    for argv in (lvm.LVS, lvm.VGS, lvm.STATES):
        assert argv[1:3] == ("--config", "log/report_command_log=0")


def test_volumes() -> None:
    found = {volume.name: volume for volume in lvm.volumes(lab_host())}
    root, legacy, home = found["root"], found["vm-legacy"], found["home"]
    assert (root.vg, root.size, root.tags) == ("rl_build", Size(128 * MIB), ())
    assert (legacy.size, legacy.device, legacy.active) == (Size(64 * MIB), "252:3", True)
    assert found["vm-tiny-old"].tags == ("other",)
    assert (home.opened, legacy.opened) == (True, False)
    assert home.attributes == "-wi-ao----"


def test_snapshots_of_which_one_overflowed_and_one_merges() -> None:
    told = lab_host(lvs=captured("lvs", "snapshots"))
    found = {volume.name: volume for volume in lvm.volumes(told)}
    good, full = found["vm-web-20261124T1050Z"], found["vm-web-20261124T1051Z"]
    assert (good.origin, good.filled_percent, good.invalid) == ("vm-web", 29.54, False)
    assert good.tags == ("kvmkeep", "kvmkeep.set=20261124T1050Z")
    assert (full.origin, full.filled_percent, full.invalid) == ("vm-web", 100.0, True)
    origin, data = found["vm-web"], found["vm-web-data"]
    assert (origin.origin, origin.filled_percent, origin.merging) == ("", 0.0, False)
    # The snapshot that it takes its content from is hidden; 88.79 % of it are still to come.
    assert (data.origin, data.filled_percent, data.merging) == ("", 88.79, True)
    assert not any(volume.merge_failed or found["vm-web"].invalid for volume in found.values())


def test_a_merge_that_the_kernel_gave_up() -> None:
    told = captured("lvs", "snapshots").replace(
        '"lv_merging":"merging", "lv_merge_failed":""',
        '"lv_merging":"merging", "lv_merge_failed":"merge failed"',
    )
    assert [v.name for v in lvm.volumes(lab_host(lvs=told)) if v.merge_failed] == ["vm-web-data"]


@pytest.mark.parametrize("percent", ["-1.00", "1e9", "nan", "12,34", "100.00000", "1234.00"])
def test_a_fill_that_makes_no_sense(percent: str) -> None:
    told = captured("lvs", "snapshots").replace('"29.54"', f'"{percent}"')
    assert problem(lvm.volumes, lab_host(lvs=told)).what == "logical volumes"


def test_a_volume_group_with_its_array() -> None:
    assert lvm.groups(lab_host()) == (
        VolumeGroup(
            name="rl_build", extent=Size(4 * MIB), size=Size(43985666048),
            free=Size(43297800192), pvs=("/dev/md0",), missing_pvs=0,
            uuids=("QORIZn-7hml-Lda7-ldHW-S2N9-sC5W-uGQcIw",),
        ),
    )  # fmt: skip


def test_a_group_that_lost_a_disk() -> None:
    vgs = captured("vgs").replace('"vg_missing_pv_count":"0"', '"vg_missing_pv_count":"1"')
    row = vgs[vgs.index('{"vg_name"') : vgs.index("}") + 1]
    told = vgs.replace(row, f"{row}, {row.replace('/dev/md0', '[unknown]')}")
    (group,) = lvm.groups(lab_host(vgs=told))
    assert (group.pvs, group.missing_pvs) == (("/dev/md0",), 1)


def test_groups_of_one_name_are_told_apart() -> None:
    (group,) = lvm.groups(lab_host(vgs=captured("vgs-twins", "here")))
    assert group.name == "rl_build"
    assert group.uuids == (
        "7XP0iZ-QBSx-Fblk-yt01-f65k-lZgO-CZFHKy",
        "pdEOIQ-06Yv-3qrL-WT0P-xFlh-6Kdv-xnx1mR",
    )


def test_an_inactive_volume_has_no_device() -> None:
    row = captured("lvs").replace('"active"', '""').replace('"252"', '"-1"').replace('"1"', '"-1"')
    volume = lvm.volumes(lab_host(lvs=row))[0]
    assert (volume.active, volume.device) == (False, "")


def test_lvm_is_for_root_alone() -> None:
    text, _, code = captured("lvs-as-nobody").rpartition("exit code ")
    refused = lab_host(lvs=ended(int(code), stderr=text.encode()))
    found = problem(lvm.volumes, refused)
    assert found.what == "logical volumes"
    assert found.reason.startswith("lvs failed with exit code 5: ")
    assert "root" in found.hint


def test_a_healthy_array() -> None:
    assert mdadm.arrays(lab_host()) == (
        Array(
            name="md0", level="raid1", state=ArrayState.CLEAN, members=("vdb", "vdc"),
            detail="2 of 2 run",
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "state", "detail"),
    [
        ({"degraded": b"1\n"}, ArrayState.DEGRADED, "1 of 2 run"),
        (
            {"degraded": b"1\n", "dev-vdc/state": b"faulty\n"},
            ArrayState.DEGRADED,
            "1 of 2 run, vdc is faulty",
        ),
        (
            {"degraded": b"1\n", "sync_action": b"recover\n"},
            ArrayState.RESYNCING,
            "1 of 2 run, recover goes on",
        ),
        ({"sync_action": b"check\n"}, ArrayState.CLEAN, "2 of 2 run, check goes on"),
        ({"sync_action": b"reshape\n"}, ArrayState.RESYNCING, "2 of 2 run, reshape goes on"),
        ({"sync_action": b"frozen\n"}, ArrayState.CLEAN, "2 of 2 run"),
        ({"array_state": b"inactive\n"}, ArrayState.FAILED, "2 of 2 run, it is inactive"),
        ({"array_state": b"broken\n"}, ArrayState.FAILED, "2 of 2 run, it is broken"),
        ({"array_state": b"readonly\n"}, ArrayState.READ_ONLY, "2 of 2 run, it is readonly"),
        ({"array_state": b"read-auto\n"}, ArrayState.CLEAN, "2 of 2 run"),
        ({"array_state": b"active-idle\n"}, ArrayState.CLEAN, "2 of 2 run"),
        ({"raid_disks": b"3 (2)\n"}, ArrayState.CLEAN, "3 of 3 run"),
        ({"raid_disks": b"\xff\n", "degraded": b""}, ArrayState.CLEAN, "0 of 0 run"),
    ],
)
def test_arrays_in_trouble(changes: dict[str, bytes], state: ArrayState, detail: str) -> None:
    files = {f"/sys/block/md0/md/{name}": content for name, content in changes.items()}
    (array,) = mdadm.arrays(Replay({}, captured_files("md") | files))
    assert (array.state, array.detail) == (state, detail)


def test_what_is_no_array() -> None:
    files = {
        "/sys/block/md127/md/array_state": b"inactive\n",
        "/sys/block/md127/md/level": b"\n",
        "/sys/block/md127/md/metadata_version": b"external:imsm\n",
        "/sys/block/md1/md/array_state": b"clear\n",
        "/sys/block/md2/size": b"0\n",
        "/sys/block/mdx/md/array_state": b"clean\n",
        "/sys/block/sda/size": b"1\n",
    }
    assert mdadm.arrays(Replay({}, files)) == ()
    assert mdadm.arrays(Replay({})) == ()
    for inside in (b"external:/md127/0\n", b"external:-md127/0\n", b"1.2\n"):
        stopped = {
            "/sys/block/md126/md/array_state": b"inactive\n",
            "/sys/block/md126/md/metadata_version": inside,
        }
        assert [one.state for one in mdadm.arrays(Replay({}, stopped))] == [ArrayState.FAILED]
    named = {"/sys/block/md_data/md/array_state": b"clean\n"}
    assert [array.name for array in mdadm.arrays(Replay({}, named))] == ["md_data"]


def test_interfaces() -> None:
    found = {link.name: link for link in iproute.links(lab_host())}
    uplink, management = found["ens802f1"], found["ens802f0"]
    assert (uplink.kind, uplink.up, uplink.carrier) == ("", True, True)
    assert (uplink.mac, uplink.mtu) == ("52:54:00:e0:00:f1", 1500)
    assert (uplink.vlan_id, uplink.ageing_time, uplink.forward_delay) == (-1, -1, -1)
    assert management.addresses == ("10.0.2.15/24",)
    assert found["lo"].addresses == ("127.0.0.1/8", "::1/128")


def test_a_bridge_with_its_port() -> None:
    found = {link.name: link for link in iproute.links(Replay({"ip-address": BRIDGE}))}
    bridge, port, loopback = found["virbr1.223"], found["port0"], found["lo"]
    assert (bridge.kind, bridge.ageing_time, bridge.forward_delay) == ("bridge", 0, 15)
    assert (bridge.stp, bridge.topology_change, bridge.vlan_id) == (True, False, -1)
    assert (bridge.master, port.master) == ("", "virbr1.223")
    assert (port.kind, port.up, port.ageing_time) == ("veth", True, -1)
    assert (bridge.port_state, port.port_state) == ("", "listening")
    assert (loopback.up, loopback.carrier) == (False, False)
    assert found["far0"].addresses[0] == "192.0.2.1/24"


def test_a_vlan_on_an_uplink() -> None:
    told = (
        '[{"ifname":"ens1.223","link":"ens1","flags":["BROADCAST","UP"],"master":"virbr1.223",'
        '"linkinfo":{"info_kind":"vlan","info_data":{"protocol":"802.1Q","id":223,'
        '"flags":["REORDER_HDR"]}}},{"ifname":"ens2","link":null,"link_netnsid":0}]'
    )
    vlan, moved = iproute.links(Replay({"ip-address": told}))
    assert (vlan.kind, vlan.vlan_id, vlan.parent) == ("vlan", 223, "ens1")
    assert (vlan.up, vlan.carrier, vlan.master) == (True, False, "virbr1.223")
    assert moved.parent == ""


def test_the_state_of_a_bonds_port_is_none_of_stp() -> None:
    told = (
        '[{"ifname":"ens1","master":"bond0","linkinfo":{"info_slave_kind":"bond",'
        '"info_slave_data":{"state":"BACKUP","mii_status":"UP"}}}]'
    )
    (port,) = iproute.links(Replay({"ip-address": told}))
    assert (port.master, port.port_state) == ("bond0", "")


def test_how_the_host_is_reached() -> None:
    assert iproute.default_routes(lab_host()) == (("ens802f0", "10.0.2.2"),)
    host = lab_host()
    assert iproute.answers(host, "ens802f0", "10.0.2.2")
    assert host.ran == [("ping", "-c", "1", "-w", "2", "-I", "ens802f0", "10.0.2.2")]
    assert not iproute.answers(lab_host(ping=ended(1)), "ens802f0", "10.0.2.2")


@pytest.mark.parametrize(
    ("told", "there"),
    [
        ('[{"dst":"10.0.2.2","lladdr":"52:55:0a:00:02:02","state":["REACHABLE"]}]', True),
        ('[{"dst":"10.0.2.2","lladdr":"52:55:0a:00:02:02","state":["DELAY"]}]', True),
        ('[{"dst":"10.0.2.2","lladdr":"52:55:0a:00:02:02","state":["STALE"]}]', False),
        ('[{"dst":"10.0.2.2","state":["INCOMPLETE"]}]', False),
        ('[{"dst":"10.0.2.2","state":["FAILED"]}]', False),
        ("[]", False),
        ("", False),
        ("nonsense", False),
        (ended(1, stderr=b'Cannot find device "ens802f0"'), False),
    ],
)
def test_a_gateway_that_drops_pings_answers_on_its_link(told: str | Result, *, there: bool) -> None:
    host = lab_host(ping=ended(1))
    line = ("ip", "-json", "neighbour", "show", "to", "10.0.2.2", "dev", "ens802f0")
    host.answers[line] = told if isinstance(told, Result) else ended(stdout=told.encode())
    assert iproute.answers(host, "ens802f0", "10.0.2.2") is there


SESSIONS = """\
LISTEN 0 128        0.0.0.0:2222       0.0.0.0:*     users:(("sshd",pid=7,fd=3))
LISTEN 0 128           [::]:2200          [::]:*     users:(("sshd-session",pid=8,fd=3),("systemd",pid=1,fd=4))
LISTEN 0 128        0.0.0.0:16509      0.0.0.0:*     users:(("libvirtd",pid=9,fd=3))
ESTAB  0 0        10.0.2.15:22        10.0.2.2:53412
ESTAB  0 36 [::ffff:192.0.2.1]:2222 [::ffff:192.0.2.9]:4022 users:(("sshd",pid=70,fd=4))
ESTAB  0 0   [2001:db8::1]%mgmt:2200 [2001:db8::7]:50000 users:(("sshd-session",pid=71,fd=4))
ESTAB  0 0   [fe80::1]%eno1:22       [fe80::7]:50000
ESTAB  0 0        127.0.0.1:22       127.0.0.1:40404
ESTAB  0 0        10.0.2.15:22        10.0.2.2:53999
ESTAB  0 0        10.0.2.15:16509    10.0.2.66:40404 users:(("libvirtd",pid=9,fd=8))
ESTAB  0 0        10.0.2.15:40000    10.0.2.67:22    users:(("ssh",pid=99,fd=3))
ESTAB  0 0        somewhere:22         nonsense:1
short line
"""


def test_from_where_somebody_is_logged_in() -> None:
    found = iproute.ssh_sessions(Replay({"ss": SESSIONS}))
    assert [(one.peer, one.local) for one in found] == [
        ("10.0.2.2", "10.0.2.15"),
        ("192.0.2.9", "192.0.2.1"),
        ("2001:db8::7", "2001:db8::1"),
        ("fe80::7", "fe80::1%eno1"),
    ]
    assert iproute.ssh_sessions(Replay({"ss": ended(127)})) == ()


SIX = '[{"dst":"default","gateway":"fe80::1","dev":"eno2","metric":1024}]'
VIA = '[{"dst":"default","via":{"family":"inet6","host":"fe80::1"},"dev":"eno1","flags":[]}]'


@pytest.mark.parametrize(
    ("four", "six", "routes"),
    [
        ("", SIX, (("eno2", "fe80::1"),)),
        ("[]", "[]", ()),
        ('[{"dst":"default","dev":"tun0","scope":"link"}]', "[]", ()),
        (VIA, "[]", (("eno1", "fe80::1"),)),
        (
            '[{"gateway":"10.0.0.9","dev":"b","metric":200},{"gateway":"10.0.0.1","dev":"a"}]',
            SIX,
            (("a", "10.0.0.1"), ("eno2", "fe80::1")),
        ),
        (
            '[{"dst":"default","nexthops":[{"gateway":"10.0.0.1","dev":"a","weight":1}]}]',
            ended(2),
            (("a", "10.0.0.1"),),
        ),
    ],
)
def test_other_ways_to_reach_a_host(
    four: str, six: str | Result, routes: tuple[tuple[str, str], ...]
) -> None:
    assert iproute.default_routes(lab_host(ip_route=four, ip_route6=six)) == routes


def test_networkmanager() -> None:
    host = lab_host()
    found = nmcli.network_manager(host)
    assert found.running
    profiles = {profile.name: profile for profile in found.profiles}
    management, made = profiles["mgmt"], profiles["virbr1.999"]
    assert management.uuid == "5f0c6f9e-7f0f-4e0e-8f0a-0a0b0c0d0e0f"
    assert (management.type, management.device) == ("802-3-ethernet", "ens802f0")
    assert management.setting("ipv4.addresses") == "10.0.2.15/24"
    assert management.filename.endswith("/mgmt.nmconnection")
    assert (made.type, made.interface, made.device) == ("bridge", "virbr1.999", "")
    assert made.setting("connection.type") == "bridge"
    assert found.device_path("ens802f1") == "/org/freedesktop/NetworkManager/Devices/3"
    assert found.device_path("nosuch") == ""
    assert len(host.ran) == 3


NONE = Nm(running=False, profiles=(), device_paths=())


@pytest.mark.parametrize(
    "answer",
    [
        ended(8, stderr=b"Error: NetworkManager is not running."),
        ended(127),
        ended(1, stderr=b"Error: Could not create NMClient object: no such file"),
    ],
)
def test_a_host_without_networkmanager(answer: object) -> None:
    assert nmcli.network_manager(lab_host(nmcli_profiles=answer)) == NONE


def test_a_networkmanager_without_profiles() -> None:
    found = nmcli.network_manager(lab_host(nmcli_profiles="", nmcli_devices=""))
    assert (found.running, found.profiles, found.device_paths) == (True, (), ())


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("a:b", ["a", "b"]),
        (r"VLAN 223\: public:x", ["VLAN 223: public", "x"]),
        (r"a\\:b", ["a\\", "b"]),
        ("", [""]),
        ("a\\", ["a"]),
    ],
)
def test_terse_lines(line: str, fields: list[str]) -> None:
    assert nmcli.split(line) == fields


def test_a_domain_that_somebody_made_by_hand() -> None:
    state = State(
        name="legacy", uuid="2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01", state=DomainState.SHUTOFF,
        autostart=False, persistent=True, vcpus=1, memory=Size(128 * MIB),
    )  # fmt: skip
    xml = captured("virsh-dumpxml")
    found = parse_domain(Described(state=state, xml=xml, live=""), lab_host())
    assert not found.ours
    assert found.disks == (
        DomainDisk(
            target="vda", bus="virtio", kind="disk", source="/dev/rl_build/vm-legacy",
            device="252:3", format="raw", attached=False,
        ),
    )  # fmt: skip
    assert (found.agent, found.xml) == (False, xml)
    size = Size(128 * MIB)
    assert found.defined == Shape(memory=size, memory_max=size, vcpus=1, vcpus_max=1)
    assert (found.live, found.nics, found.labels, found.given) == (None, (), (), ())
