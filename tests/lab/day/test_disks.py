"""Disks of a guest in service: grown while it runs, added hot, in files, and never made smaller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from labhost import TINY_YAML
from sites import GUESTS

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


def device(site: Host, serial: str) -> str:
    """Return the device that a disk is inside the guest."""
    found = inside(site, f"grep -lx {serial} /sys/block/*/serial")
    return f"/dev/{found.split('/')[3]}"


def refused(site: Host, *words: str) -> str:
    """Run kvmkeep, which must refuse, and return what it says on one line."""
    done = site.kvmkeep(*words)
    assert done.returncode == 4, f"{done.stdout}\n{done.stderr}"
    return " ".join(f"{done.stdout} {done.stderr}".split())


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


@pytest.mark.long
def test_disks_grow_while_the_guest_runs(site: Host) -> None:
    process = site.qemu_pid("gamma")
    inside(
        site,
        "/sbin/mke2fs -q -t ext4 /dev/vdb && mkdir -p /mnt && mount -t ext4 /dev/vdb /mnt"
        " && echo precious > /mnt/file && sync; sleep 3000 >/dev/null 2>&1 & echo $! > /root/pid",
    )
    before = int(inside(site, "df -P -k / | tail -n 1").split()[1])
    want(site, GREW)
    site.apply()
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
    inside(site, "kill -0 $(cat /root/pid) && dd if=/dev/zero of=/mnt/full bs=1M count=90 && sync")
    assert site.qemu_pid("gamma") == process
    assert site.plan()["steps"] == []


@pytest.mark.long
def test_disks_are_added_to_the_running_guest_and_show_nothing_of_what_was_there(
    site: Host,
) -> None:
    """Extents with somebody's data are freed before, and are the next that LVM gives."""
    process = site.qemu_pid("gamma")
    told = site.must(
        "lvcreate -q -y -n secret -L 64m rl_build >/dev/null;"
        "yes secret | dd of=/dev/rl_build/secret bs=1M oflag=direct iflag=fullblock count=64"
        " status=none; lvs --noheadings -o seg_pe_ranges rl_build/secret;"
        "lvremove -q -y rl_build/secret >/dev/null"
    )
    want(site, MORE)
    site.apply()
    assert site.qemu_pid("gamma") == process
    starts = [
        part.split("-")[0]
        for lv in ("gamma-by-name", "vm-gamma-logs")
        for part in site.must(f"lvs --noheadings -o seg_pe_ranges rl_build/{lv}").split()
    ]
    assert told.strip().split("-")[0] in starts
    for serial, size in (("gamma-by-name", 32), ("vm-gamma-logs", 64)):
        count = f"head -c {size << 20} {device(site, serial)} | tr -d '\\000' | wc -c"
        assert inside(site, count).strip() == "0"
    far = device(site, "gamma-far")
    inside(site, f"echo far > {far} && sync && [ $(head -c 3 {far}) = far ]")
    assert site.must("head -c 3 /data/vm/gamma.img") == "far"
    assert site.must("stat -c %a-%s /data/vm/gamma.img").strip() == f"600-{32 << 20}"
    for how in ("", "--inactive"):
        listed = site.must(f"virsh domblklist gamma {how}")
        assert "/dev/rl_build/gamma-by-name" in listed
        assert "/data/vm/gamma.img" in listed
    assert "gamma-by-name" in site.must("cat /root/kvm/gamma.xml")
    assert left_over(site) == ""
    assert site.plan()["steps"] == []


@pytest.mark.long
def test_what_can_not_be_done_is_refused_with_the_way_out(site: Host) -> None:
    want(site, MORE.replace("data: 128MiB", "data: 64MiB"))
    assert "data: 128MiB" in refused(site, "apply", "--yes")
    want(site, MORE)
    done = site.kvmkeep("snapshot", "create", "gamma", "--size", "8MiB")
    assert done.returncode == 0, done.stderr
    want(site, MORE.replace("logs: 64MiB", "logs: 128MiB"))
    told = refused(site, "apply", "--yes")
    assert "kvmkeep snapshot delete gamma" in told
    (name,) = {word for word in told.split() if word.startswith("20") and word.endswith("Z")}
    site.must(f"kvmkeep snapshot delete --yes gamma {name}")
    want(site, MORE.replace("logs: 64MiB", "logs: 90GiB"))
    assert "new or larger disks of gamma" in refused(site, "apply", "--yes")
    assert size_of(site, "rl_build/vm-gamma-logs") == 64
    assert left_over(site) == ""
    want(site, MORE)
    assert site.plan()["steps"] == []


@pytest.mark.long
def test_a_disk_goes_from_the_running_guest_once_nothing_in_it_uses_it(site: Host) -> None:
    process = site.qemu_pid("gamma")
    more = device(site, "gamma-by-name")
    inside(site, "umount /mnt")
    inside(site, f"sleep 3000 <{more} >/dev/null 2>&1 & echo $! > /root/pid")
    less = MORE.replace("data: 128MiB, ", "").replace(
        "more: {lv: gamma-by-name, size: 32MiB}, ", ""
    )
    less = less.replace(f", {FAR}", "")
    want(site, less)
    done = site.kvmkeep("apply", "--yes")
    assert done.returncode == 7, f"{done.stdout}\n{done.stderr}"
    log = "/run/kvmkeep-free.gamma-by-name.log"
    assert f"cat {log}" in done.stderr
    assert f"the program sleep has {more.removeprefix('/dev/')} open" in inside(site, f"cat {log}")
    inside(site, "kill $(cat /root/pid)")
    site.apply()
    assert site.qemu_pid("gamma") == process
    serials = inside(site, "for one in /sys/block/vd*/serial; do cat $one; echo; done").split()
    assert sorted(serials) == ["vm-gamma", "vm-gamma-logs"]
    assert site.must("head -c 3 /data/vm/gamma.img") == "far", "a file is never deleted"
    for how in ("", "--inactive"):
        listed = site.must(f"virsh domblklist gamma {how}")
        assert "by-name" not in listed
        assert "gamma.img" not in listed
        assert "vm-gamma-data" not in listed
    plan = site.plan()
    assert plan["steps"] == []
    told = " ".join(note["text"] for note in plan["notes"])
    assert "kept in rl_build/vm-gamma-data" in told
    assert "kvmkeep remove gamma --disk more" in told
    want(site, MORE)
    site.apply()
    data = device(site, "vm-gamma-data")
    assert inside(site, f"mount -t ext4 {data} /mnt && cat /mnt/file").strip() == "precious"
    assert site.qemu_pid("gamma") == process


@pytest.mark.long
def test_no_guest_starts_without_the_mount_of_its_disk(site: Host) -> None:
    site.must("kvmkeep shutdown gamma")
    site.must("umount /data")
    done = site.kvmkeep("start", "gamma")
    assert done.returncode == 5, f"{done.stdout}\n{done.stderr}"
    assert "nothing is mounted at /data" in f"{done.stdout} {done.stderr}"
    assert site.must("virsh domstate gamma").strip() == "shut off"
    assert site.must("ls -A /data") == ""
    site.must("mount -o loop /var/tmp/data.img /data")
    site.must("kvmkeep start gamma")
    assert inside(site, f"head -c 3 {device(site, 'gamma-far')}") == "far"
