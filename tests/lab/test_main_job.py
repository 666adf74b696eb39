"""The main job on the real thing: guests from cloud images answer over their tagged VLANs."""

from __future__ import annotations

import json

import pytest
from labhost import HOST_YAML, KEY, QUICK, TINY_YAML, Host

GUEST = """\
image: IMAGE
vcpus: 1
memory: 768MiB
disks: {root: 3GiB}
nics: [NICS]
login: {user: centos, sudo: true, ssh_keys: ["@KEY@"]}
run: {autostart: true, start_timeout: 20min}
"""
STATIC = "{network: internal, address: 10.5.68.9/24}, {network: public, address: 132.230.223.37/24}"
DHCP = "{network: internal, address: 10.5.68.237/24}, {network: public, address: dhcp}"
GUESTS = {
    "multi": GUEST.replace("IMAGE", "packed")
    .replace("NICS", DHCP)
    .replace("root: 3GiB", "root: 3GiB, data: 64MiB"),
    "tiny": TINY_YAML.replace("ADDRESS", "10.5.68.5"),
}
STACK = {"stack": GUEST.replace("IMAGE", "openstack").replace("NICS", STATIC)}
NAMES = tuple(GUESTS)


@pytest.fixture(scope="module")
def site(host: Host) -> Host:
    """Return a host on which the spec was applied once."""
    host.put_spec(GUESTS, HOST_YAML.replace(QUICK, ""))
    # What was on the group before must never be readable in a guest's disk.
    host.must(
        "lvcreate -y -n dirt -L 12g rl_build && yes OLDSECRET | dd of=/dev/rl_build/dirt bs=1M count=300 iflag=fullblock"
        " conv=fsync status=none && lvchange -an rl_build/dirt && lvremove rl_build/dirt"
    )
    host.apply(limit=2400)
    return host


@pytest.fixture(scope="module")
def stacked(site: Host) -> Host:
    """Return the host with a guest that OpenStack's metadata alone can set up."""
    site.put_spec(GUESTS | STACK, HOST_YAML.replace(QUICK, ""))
    site.apply("stack", limit=2400)
    return site


def dhcp_address(site: Host) -> str:
    """Return the address that the campus gave to the guest's second NIC."""
    mac = site.must("virsh domiflist multi | grep virbr1.223").split()[-1]
    return site.must(
        f"grep -rhi {mac} /run/campus* /var/lib/misc 2>/dev/null | awk '{{print $3}}'"
    ).split()[0]


def test_guests_run_under_kvm_with_their_disks_in_the_systems_group(site: Host) -> None:
    for name in NAMES:
        assert site.must(f"virsh domstate {name}").strip() == "running"
        assert "<domain type='kvm'" in site.must(f"virsh dumpxml {name}")
        assert f"/dev/rl_build/vm-{name}" in site.must(f"virsh domblklist {name}")
        assert "autostart:" in site.must(f"virsh dominfo {name} | tr A-Z a-z")
    sizes = site.must("lvs --noheadings --units m --nosuffix -o lv_name,lv_size rl_build")
    assert {"vm-multi", "vm-multi-data", "vm-tiny"} <= set(sizes.split())


def test_the_guest_answers_at_its_static_address_and_at_the_one_from_dhcp(site: Host) -> None:
    for address in ("10.5.68.237", dhcp_address(site)):
        assert site.ssh("centos", address, "hostname").strip() == "multi"


def test_the_tiny_guest_answers(site: Host) -> None:
    assert site.ssh("root", "10.5.68.5", "hostname").strip() == "tiny"


def test_sudo_growth_and_console_are_as_asked(site: Host) -> None:
    said = site.ssh(
        "centos",
        "10.5.68.237",
        "sudo -n id -u; df --output=size -BM / | tail -1; systemctl is-active serial-getty@ttyS0",
    )
    uid, size, console = said.split()
    assert uid == "0"
    assert int(size.rstrip("M")) > 2400
    assert console == "active"


def test_the_data_disk_is_empty_and_nothing_old_can_be_read(site: Host) -> None:
    assert site.run("LC_ALL=C grep -qaF OLDSECRET /dev/rl_build/vm-multi-data").returncode == 1
    assert site.run("LC_ALL=C grep -qaF OLDSECRET /dev/rl_build/vm-multi").returncode == 1
    assert site.must("cmp -n $((64*1024*1024)) /dev/rl_build/vm-multi-data /dev/zero") == ""


def test_the_seed_is_gone(site: Host) -> None:
    assert site.must("ls /var/lib/kvmkeep/seed").strip() == ""
    for name in NAMES:
        assert ".iso" not in site.must(f"virsh dumpxml {name}")
        assert ".iso" not in site.must(f"virsh dumpxml --inactive {name}")
        assert site.must(f"stat -c %a /root/kvm/{name}.xml").strip() == "600"


def bridge_settled(site: Host, vlan: int) -> None:
    """Wait until a bridge shows the ageing time that was set.

    While STP tells of a change, the kernel ages by twice the forward delay (br_stp.c). A new port
    is a change, and it is told for max_age + forward_delay.
    """
    site.until(
        f"grep -qx 0 /sys/class/net/virbr1.{vlan}/bridge/topology_change",
        limit=180,
        what="no change of the topology is told",
    )


def test_bridges_are_the_documents(site: Host) -> None:
    for vlan in (223, 2368):
        bridge_settled(site, vlan)
        bridge, port = f"virbr1.{vlan}", f"ens802f1.{vlan}"
        link = json.loads(site.must(f"ip -j -d link show {bridge}"))[0]["linkinfo"]["info_data"]
        assert link["ageing_time"] == 0
        assert link["stp_state"] == 1
        assert (
            json.loads(site.must(f"ip -j -d link show {port}"))[0]["linkinfo"]["info_data"]["id"]
            == vlan
        )
        assert json.loads(site.must(f"ip -j link show {port}"))[0]["master"] == bridge
        assert "inet" not in site.must(f"ip address show {bridge}")
        settings = site.must(
            f"nmcli -g ipv4.method,ipv6.method,bridge.ageing-time connection show {bridge}"
        )
        assert settings.split() == ["disabled", "disabled", "0"]


def test_a_second_apply_runs_no_changing_command(site: Host) -> None:
    plan = site.plan()
    assert plan["steps"] == []
    before = site.must(
        "ls -la --time-style=full-iso /root/kvm /etc/NetworkManager/system-connections; lvs -o lv_uuid,lv_tags"
    )
    site.apply()
    after = site.must(
        "ls -la --time-style=full-iso /root/kvm /etc/NetworkManager/system-connections; lvs -o lv_uuid,lv_tags"
    )
    assert after == before
    assert site.kvmkeep("plan", "--exit-code").returncode == 0
    assert site.kvmkeep("status").returncode == 0


def test_list_names_every_guest(site: Host) -> None:
    said = site.kvmkeep("list").stdout
    assert all(name in said for name in NAMES)


@pytest.mark.long
def test_the_openstack_only_guest_answers_on_both_vlans(stacked: Host) -> None:
    site = stacked
    for address in ("10.5.68.9", "132.230.223.37"):
        assert site.ssh("centos", address, "hostname").strip() == "stack"
    routes = site.ssh("centos", "132.230.223.37", "ip -4 route show default")
    assert routes.split()[2] == "132.230.223.254"
    assert len(routes.splitlines()) == 1
    assert site.must("ls /var/lib/kvmkeep/seed").strip() == ""


@pytest.mark.long
def test_after_a_power_cut_everything_is_back_and_no_guest_thinks_that_it_is_new(
    stacked: Host,
) -> None:
    site = stacked
    keys = "sync; cat /etc/ssh/ssh_host_ed25519_key.pub /var/lib/cloud/data/instance-id"
    before = site.ssh("centos", "10.5.68.9", keys)
    site.must("sync; virsh shutdown multi; virsh autostart --disable multi")
    site.until("! virsh list --name | grep multi", limit=300, what="one of the large guests is off")
    site.lab.cut()
    site.lab.boot()
    for name in ("stack", "tiny"):
        site.until(
            f"virsh domstate {name} | grep -q running",
            limit=120,
            what=f"the guest {name} is started by libvirt",
        )
    site.until("ip netns exec campus ping -c1 -W2 10.5.68.5", limit=600, what="tiny answers")
    site.until(
        f"ip netns exec campus ssh -i {KEY} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        " -o ConnectTimeout=20 centos@10.5.68.9 true",
        limit=900,
        what="stack answers",
    )
    assert site.ssh("centos", "10.5.68.9", keys) == before
    bridge_settled(site, 223)
    assert site.must("cat /sys/class/net/virbr1.223/bridge/ageing_time").strip() == "0"
    site.apply("tiny", "stack")
