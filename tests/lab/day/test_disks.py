"""Disks of a guest in service: grown while it runs, added hot, in files, and never made smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from labhost import TINY_YAML

from tests.lab.day.conftest import GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

GAMMA = "10.5.68.13"
DISKS = "{root: 256MiB, data: 64MiB, logs: 32MiB}"
GREW = "{root: 384MiB, data: 128MiB, logs: 32MiB}"
FAR = "far: {file: /data/vm/gamma.img, mount: /data, size: 32MiB}"
MORE = GREW.replace(
    "logs: 32MiB}", f"logs: 64MiB, more: {{lv: gamma-by-name, size: 32MiB}}, {FAR}}}"
)


def want(site: Host, disks: str) -> None:
    gamma = TINY_YAML.replace("ADDRESS", GAMMA).replace("{root: 256MiB}", disks)
    site.put_spec(GUESTS | {"gamma": gamma})


def size_of(site: Host, lv: str) -> int:
    return int(site.must(f"lvs --noheadings --units m --nosuffix -o lv_size {lv}").split(".")[0])


def inside(site: Host, command: str) -> str:
    return site.ssh("root", GAMMA, f"export PATH=/sbin:/bin:/usr/sbin:/usr/bin; {command}")


def left_over(site: Host) -> str:
    """Return the marks and LVs of growing that should be gone."""
    return site.must(
        "lvs --noheadings -o lv_name,lv_tags rl_build | grep -e grow -e state= || true"
    )


@pytest.fixture(scope="module", autouse=True)
def guest_with_a_mount(site: Host) -> Iterator[None]:
    """Have a guest that may be changed for good, and something mounted at /data."""
    site.must(
        "truncate -s 256M /var/tmp/data.img && mkfs.ext4 -q -F /var/tmp/data.img && mkdir -p /data"
        " && mount -o loop /var/tmp/data.img /data"
    )
    want(site, DISKS)
    site.apply()
    yield
    site.run("virsh destroy gamma; virsh undefine gamma; rm -f /root/kvm/gamma.xml")
    site.must(
        "umount /data; rm -f /var/tmp/data.img;"
        "for lv in $(lvs --noheadings -o lv_path -S 'lv_tags=kvmkeep.guest=gamma' rl_build);"
        " do lvremove -y $lv; done"
    )
    site.put_spec(GUESTS)


def test_disks_grow_while_the_guest_runs(site: Host) -> None:
    process = site.qemu_pid("gamma")
    inside(
        site,
        "/sbin/mke2fs -q -t ext4 /dev/vdb && mkdir -p /mnt && mount -t ext4 /dev/vdb /mnt"
        " && echo precious > /mnt/file && sync; sleep 3000 >/dev/null 2>&1 & echo $! > /root/pid",
    )
    before = int(inside(site, "df -P -k / | tail -n 1").split()[1])
    want(site, GREW)
    done = site.apply()
    assert "no filesystem" not in done.stdout
    assert size_of(site, "rl_build/vm-gamma-data") == 128
    assert size_of(site, "rl_build/vm-gamma") == 384
    assert left_over(site) == ""
    room = {
        line.split()[5]: int(line.split()[1])
        for line in inside(site, "df -P -k / /mnt | tail -n 2").splitlines()
    }
    assert room["/mnt"] > 100 * 1024
    assert room["/"] > max(before, 300 * 1024)
    assert inside(site, "cat /mnt/file").strip() == "precious"
    inside(
        site, "kill -0 $(cat /root/pid) && dd if=/dev/urandom of=/mnt/full bs=1M count=90 && sync"
    )
    assert site.qemu_pid("gamma") == process
    assert site.plan()["steps"] == []


def test_new_extents_show_nothing_of_what_was_there(site: Host) -> None:
    """Extents with somebody's data are freed, and are the next that LVM gives."""
    told = site.must(
        "lvcreate -q -y -n secret -L 64m rl_build >/dev/null;"
        "yes secret | dd of=/dev/rl_build/secret bs=1M oflag=direct iflag=fullblock count=64"
        " status=none; lvs --noheadings -o seg_pe_ranges rl_build/secret;"
        "lvremove -q -y rl_build/secret >/dev/null"
    )
    want(site, GREW.replace("logs: 32MiB", "logs: 64MiB"))
    site.apply()
    ranges = site.must("lvs --noheadings -o seg_pe_ranges rl_build/vm-gamma-logs").split()
    assert ranges[-1].split("-")[0] == told.strip().split("-")[0]
    seen = inside(site, "head -c 67108864 /dev/vdc | grep -c secret || true")
    assert seen.strip() == "0"


def test_disks_are_added_to_the_running_guest(site: Host) -> None:
    process = site.qemu_pid("gamma")
    want(site, MORE)
    site.apply()
    assert site.qemu_pid("gamma") == process
    serials = inside(site, "sleep 1; cat /sys/block/vd*/serial").split()
    assert {"gamma-by-name", "gamma-far"} <= {*serials}
    assert inside(site, "head -c 33554432 /dev/vdd | tr -d '\\000' | wc -c").strip() == "0"
    inside(site, "echo far > /dev/vde && sync && [ $(head -c 3 /dev/vde) = far ]")
    assert site.must("head -c 3 /data/vm/gamma.img") == "far"
    assert site.must("stat -c %a-%s /data/vm/gamma.img").strip() == f"600-{32 << 20}"
    for how in ("", "--inactive"):
        listed = site.must(f"virsh domblklist gamma {how}")
        assert "/dev/rl_build/gamma-by-name" in listed
        assert "/data/vm/gamma.img" in listed
    assert "gamma-by-name" in site.must("cat /root/kvm/gamma.xml")
    assert site.plan()["steps"] == []


def test_what_can_not_be_done_is_refused_with_the_way_out(site: Host) -> None:
    want(site, MORE.replace("data: 128MiB", "data: 64MiB"))
    refused = site.kvmkeep("apply", "--yes")
    assert refused.returncode == 4
    assert "data: 128MiB" in refused.stdout + refused.stderr
    want(site, MORE)
    done = site.kvmkeep("snapshot", "create", "gamma", "--size", "8MiB")
    assert done.returncode == 0, done.stderr
    want(site, MORE.replace("logs: 64MiB", "logs: 128MiB"))
    refused = site.kvmkeep("apply", "--yes")
    assert refused.returncode == 4
    told = refused.stdout + refused.stderr
    assert "kvmkeep snapshot delete gamma" in told
    (name,) = {word for word in told.split() if word.startswith("20") and word.endswith("Z")}
    site.must(f"kvmkeep snapshot delete --yes gamma {name}")
    want(site, MORE.replace("logs: 64MiB", "logs: 90GiB"))
    refused = site.kvmkeep("apply", "--yes")
    assert refused.returncode == 4
    assert "new or larger disks of gamma" in refused.stdout + refused.stderr
    assert size_of(site, "rl_build/vm-gamma-logs") == 64
    assert left_over(site) == ""
    want(site, MORE)
    assert site.plan()["steps"] == []


def test_no_guest_starts_without_the_mount_of_its_disk(site: Host) -> None:
    site.must("kvmkeep shutdown gamma")
    site.must("umount /data")
    refused = site.kvmkeep("start", "gamma")
    assert refused.returncode == 4
    assert "nothing is mounted at /data" in refused.stdout + refused.stderr
    assert site.must("virsh domstate gamma").strip() == "shut off"
    assert site.must("ls -A /data") == ""
    site.must("mount -o loop /var/tmp/data.img /data")
    site.must("kvmkeep start gamma")
    assert inside(site, "head -c 3 /dev/vde") == "far"
