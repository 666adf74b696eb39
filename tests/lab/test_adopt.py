"""A host built by hand is taken over and let go again, while its guest runs and answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from labhost import Host

pytestmark = pytest.mark.long

SHOP, MAC = "10.5.68.21", "52:54:00:00:00:21"
EXTRAS = ("<title>Of the shop</title>", "urn:example:site", "i6300esb", "x.qcow2", "bus='sata'")
DOMAIN = f"""\
<domain type='kvm'><name>shop</name><uuid>c7a5fdbd-cdaf-4e5f-8d3c-1f5a3f0c9a21</uuid>
<title>Of the shop</title><metadata><s:site xmlns:s='urn:example:site'>rack 7</s:site></metadata>
<memory unit='KiB'>262144</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
<features><acpi/><apic/></features><cpu mode='host-passthrough'/>
<devices>
<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native'/>
<source dev='/dev/mapper/rl_build-shop--root'/><target dev='vda' bus='virtio'/></disk>
<disk type='block' device='disk'><driver name='qemu' type='raw'/>
<source dev='/dev/rl_build/shop-root-data'/><target dev='vdb' bus='virtio'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='/var/lib/libvirt/images/x.qcow2'/><target dev='vdc' bus='virtio'/></disk>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
<target dev='sda' bus='sata'/><readonly/></disk>
<controller type='scsi' index='0' model='virtio-scsi'/>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
<source file='/var/lib/libvirt/images/seed.iso'/><target dev='sdb' bus='scsi'/><readonly/></disk>
<interface type='bridge'><mac address='{MAC}'/><source bridge='br-int'/>
<model type='virtio'/></interface>
<serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>
</channel><watchdog model='i6300esb' action='none'/>
<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>
"""
OLD_BOX = """\
<domain type='kvm'><name>Old_Box</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>
"""
BUILT = f"""\
set -e
nmcli connection add type bridge ifname br-int con-name 'Guests internal' bridge.ageing-time 0 \
    bridge.stp no ipv4.method disabled ipv6.method disabled
bridge=$(nmcli -g connection.uuid connection show 'Guests internal')
nmcli connection add type vlan ifname ens802f1.2368 con-name 'port of guests' dev ens802f1 id 2368 \
    master "$bridge" slave-type bridge
nmcli connection up 'port of guests'
lvcreate -q -y -Wy -n shop-root -L 256m rl_build
lvcreate -q -y -Wy -n shop-root-data -L 64m rl_build
dd if=/srv/images/tiny.raw of=/dev/rl_build/shop-root bs=4M conv=fsync status=none
echo precious | dd of=/dev/rl_build/shop-root-data conv=fsync status=none
cd /var/lib/libvirt/images
qemu-img create -q -f qcow2 x.qcow2 16M
test -e /root/test-key || ssh-keygen -q -t ed25519 -N '' -f /root/test-key
mkdir -p seed
echo '{{"instance-id": "shop"}}' > seed/meta-data
echo '{{"users": [{{"name": "root", "ssh_authorized_keys": ["'$(cat /root/test-key.pub)'"]}}]}}' \
    > seed/user-data
echo '{{"version": 2, "ethernets": {{"eth0": {{"match": {{"macaddress": "{MAC}"}},
    "addresses": ["{SHOP}/24"]}}}}}}' > seed/network-config
xorriso -as mkisofs -quiet -o seed.iso -V CIDATA -J -r seed
mkdir -p /root/kvm
cat > /root/kvm/shop.xml
virsh define /root/kvm/shop.xml
virsh start shop
"""
PING = f"ip netns exec campus ping -c 1 -W 1 {SHOP}"


@pytest.fixture(scope="module")
def built(host: Host) -> Host:
    """Return the host with what somebody made by hand on it: a network, and a running guest."""
    host.must(BUILT, text=DOMAIN)
    host.put("/root/old-box.xml", OLD_BOX)
    host.must("virsh define /root/old-box.xml")
    host.until(PING, limit=180, what="the guest to answer")
    key = "-i /root/test-key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    host.until(
        f"ip netns exec campus ssh {key} -o ConnectTimeout=20 root@{SHOP} "
        "'sleep 30000 >/dev/null 2>&1 & echo $! > /run/pid'",
        limit=120,
        what="the guest to let us in",
    )
    return host


def ended(host: Host, code: int, *words: str) -> str:
    done = host.kvmkeep(*words)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return said


def state(host: Host) -> str:
    """Return what must stay: processes, interfaces, what the guest runs."""
    return "".join(
        (
            host.qemu_pid("shop"),
            host.must(
                "for i in br-int ens802f1.2368; do cat /sys/class/net/$i/ifindex;"
                " nmcli -g GENERAL.STATE,GENERAL.CON-PATH device show $i; done;"
                " cat /sys/class/net/br-int/bridge/group_addr; ls /sys/class/net/br-int/brif"
            ),
            host.ssh("root", SHOP, "cat /run/pid && kill -0 $(cat /run/pid) && echo runs"),
        )
    )


def without_a_loss(host: Host, *words: str) -> str:
    """Run kvmkeep while the guest is pinged ten times a second; none may be lost."""
    host.must(
        f"ip netns exec campus ping -i 0.1 {SHOP} > /root/pings 2>&1 & echo $! > /root/ping.pid"
    )
    said = ended(host, 0, *words)
    host.must("kill -INT $(cat /root/ping.pid)")
    host.until("grep -q transmitted /root/pings", limit=20, what="ping to end")
    told = host.must("cat /root/pings")
    sent = re.search(r"(\d+) packets transmitted", told)
    assert sent is not None, told
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl", told)}
    assert len(answered) >= 20, told
    # The last one may be on its way when ping is stopped.
    assert set(range(1, int(sent[1]))) <= answered, told
    return said


def marks(host: Host) -> str:
    return host.must(
        "lvs --noheadings -o lv_name --select 'lv_tags=kvmkeep' rl_build;"
        "for d in shop Old_Box legacy; do virsh dumpxml --inactive $d | grep -l kvmkeep; done;"
        "virsh dumpxml shop | grep -l kvmkeep;"
        "grep -l kvmkeep /etc/NetworkManager/system-connections/*; true"
    )


def test_it_is_taken_over_without_a_restart_or_a_lost_packet(built: Host) -> None:
    before = state(built)
    said = without_a_loss(built, "adopt", "--yes", "shop")
    assert "stays as it is: disk vdc: qcow2" in said
    assert state(built) == before
    ended(built, 0, "plan", "--exit-code")
    for words in (("--inactive",), ()):
        xml = built.must(f"virsh dumpxml {' '.join(words)} shop")
        assert [extra for extra in EXTRAS if extra not in xml] == []
        assert "urn:kvmkeep:guest:1" in xml
    tags = built.must("lvs --noheadings -o lv_tags rl_build/shop-root-data").strip()
    assert sorted(tags.split(",")) == ["kvmkeep", "kvmkeep.disk=data", "kvmkeep.guest=shop"]
    assert "Of the shop" in built.must("cat /root/kvm/shop.by-hand.xml")
    built.must("virsh dumpxml --inactive shop | diff - /root/kvm/shop.xml")


def test_what_can_not_be_taken_over_is_named(built: Host) -> None:
    before = marks(built)
    said = ended(built, 4, "adopt", "--yes", "Old_Box", "nobody")
    assert "virsh domrename Old_Box" in said
    assert "no domain of that name" in said
    assert marks(built) == before


def test_a_change_by_others_is_named_and_undone_or_taken_in(built: Host) -> None:
    drift = (
        "nmcli connection modify 'Guests internal' bridge.ageing-time 300;"
        "nmcli device reapply br-int; virsh autostart shop"
    )
    built.must(drift)
    said = ended(built, 9, "plan", "--exit-code")
    assert "bridge.ageing-time of br-int from 300 to 0" in said
    assert "not start with the host" in said
    ended(built, 0, "apply", "--yes")
    assert built.must("cat /sys/class/net/br-int/bridge/ageing_time").strip() == "0"
    assert "Autostart:      disable" in built.must("virsh dominfo shop")
    built.must(drift)
    built.must("echo '# Of the site.' >> /etc/kvmkeep/guests/shop.yaml")
    without_a_loss(built, "adopt", "--yes", "shop", "--network", "vlan2368")
    ended(built, 0, "plan", "--exit-code")
    assert "ageing_time: 300" in built.must("cat /etc/kvmkeep/host.yaml")
    text = built.must("cat /etc/kvmkeep/guests/shop.yaml")
    assert "autostart: true" in text
    assert text.endswith("# Of the site.\n")


def test_what_kvmkeep_does_not_know_survives_its_changes(built: Host) -> None:
    process = built.qemu_pid("shop")
    built.must("sed -i 's/^memory: .*/memory: 288MiB/' /etc/kvmkeep/guests/shop.yaml")
    ended(built, 0, "apply", "--yes")
    xml = built.must("virsh dumpxml --inactive shop")
    assert "<memory unit='KiB'>294912</memory>" in xml
    assert [extra for extra in EXTRAS if extra not in xml] == []
    assert built.qemu_pid("shop") == process


def test_it_is_let_go_and_nothing_is_left(built: Host) -> None:
    before = state(built)
    said = without_a_loss(built, "release", "--yes", "--all")
    assert "Done" in said
    assert marks(built) == ""
    assert state(built) == before
    xml = built.must("virsh dumpxml shop; cat /root/kvm/shop.xml")
    assert "kvmkeep" not in xml
    files = built.must("find /etc/kvmkeep -type f").split()
    assert sorted(files) == [
        "/etc/kvmkeep/guests/shop.yaml.released", "/etc/kvmkeep/host.yaml.released",
    ]  # fmt: skip
    assert "Nothing to do" in ended(built, 0, "release", "--yes", "--all")
