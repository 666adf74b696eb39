"""Wrong input and trouble on a real host: a clear error, nothing touched or nothing lost."""

from __future__ import annotations

import pytest
from labhost import HOST_YAML, TINY_YAML, Host

TINY = TINY_YAML.replace("ADDRESS", "10.5.68.5")
STATE = "lvs -a -o lv_name,lv_size,lv_tags; virsh list --all; nmcli -t -f UUID,NAME connection show; ls -R /root/kvm 2>&1"


def images(**paths: str) -> str:
    """Return a host file with these files as images."""
    listed = "".join(f"  {name}: {{file: {path}}}\n" for name, path in paths.items())
    return HOST_YAML.split("images:", maxsplit=1)[0] + f"images:\n{listed}"


def refused(host: Host, code: int, *words: str) -> str:
    """Apply; it must end with this code, say these words, and touch nothing. Return all it says."""
    before = host.must(STATE)
    done = host.kvmkeep("apply", "--yes")
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    for word in words:
        assert word in said, f"{word!r} not in:\n{said}"
    assert "Traceback" not in said
    assert host.must(STATE) == before
    return said


BAD_IMAGES = {
    "missing": ("missing.raw", "true", "missing.raw"),
    "empty": ("empty.raw", ": > empty.raw", "empty"),
    "html": ("html.raw", "printf '<html><body>404' > html.raw; truncate -s 1M html.raw", "HTML"),
    "other": ("other.raw", "qemu-img create -q -f qcow2 other.raw 64M", "qcow2"),
    "directory": ("directory.raw", "mkdir directory.raw", "directory"),
    "device": ("device.raw", "ln -s /dev/rl_build/root device.raw", "device.raw"),
    "backing": (
        "backing.qcow2",
        "qemu-img create -q -f qcow2 -b /etc/shadow -F raw backing.qcow2 64M",
        "backing file",
    ),
    "bomb": ("bomb.qcow2", "qemu-img create -q -f qcow2 bomb.qcow2 60T", "60 TiB"),
    "truncated": (
        "truncated.qcow2",
        "qemu-img convert -f raw -O qcow2 /srv/images/tiny.raw truncated.qcow2;"
        "truncate -s 100000 truncated.qcow2",
        "truncated",
    ),
}
"""Of each: the file, how it is made, and what is said of it."""


def test_bad_images_are_refused_by_name_all_at_once(host: Host) -> None:
    for _, recipe, _ in BAD_IMAGES.values():
        host.must(f"mkdir -p /root/bad && cd /root/bad && {recipe}")
    paths = {name: f"/root/bad/{file}" for name, (file, _, _) in BAD_IMAGES.items()}
    guests = {
        f"of-{name}": TINY.replace("image: tiny", f"image: {name}").replace(
            "10.5.68.5", f"10.5.68.{number}"
        )
        for number, name in enumerate(BAD_IMAGES, start=30)
    }
    host.put_spec(guests, images(**paths))
    said = " ".join(refused(host, 4).split())
    for name, (_, _, word) in BAD_IMAGES.items():
        assert f"image {name}: " in said
        assert word in said


def test_a_flipped_bit_is_found_before_the_guest_can_start(host: Host) -> None:
    host.must(
        "rm -rf /root/i.*; cp /srv/images/tiny.raw /root/i.raw;"
        "printf X | dd of=/root/i.raw bs=1 seek=5000000 conv=notrunc status=none"
    )
    text = images(tiny="/root/i.raw").replace("i.raw}", 'i.raw, sha256: "@tiny.raw@"}')
    host.put_spec({"tiny": TINY}, text)
    done = host.kvmkeep("apply", "--yes")
    assert done.returncode in {4, 7}, done.stdout + done.stderr
    assert "sha256" in done.stdout + done.stderr
    assert "tiny" not in host.must("virsh list --all --name")


def test_one_guest_too_large_for_the_group_is_refused_with_numbers(host: Host) -> None:
    host.put_spec({"tiny": TINY.replace("root: 256MiB", "root: 256MiB, data: 900GiB")})
    refused(host, 4, "rl_build", "900")


def test_too_much_memory_is_refused(host: Host) -> None:
    host.put_spec({"tiny": TINY.replace("memory: 256MiB", "memory: 64GiB")})
    refused(host, 4, "memory")


def test_a_foreign_lv_with_our_name_is_refused(host: Host) -> None:
    host.put_spec({"legacy": TINY})
    refused(host, 4, "vm-legacy")


def test_spec_mistakes_are_all_told_with_their_places(host: Host) -> None:
    host.put_spec({"tiny": TINY.replace("256MiB", "256") + "colour: red\n", "-rf": TINY})
    refused(host, 3, "tiny.yaml:3:", "tiny.yaml:4:", "tiny.yaml:8:1", "-rf")


def test_the_management_interface_can_not_be_the_uplink(host: Host) -> None:
    host.put_spec({"tiny": TINY}, HOST_YAML.replace("uplink: ens802f1", "uplink: ens802f0"))
    refused(host, 4, "ens802f0")


def test_a_degraded_array_is_refused_and_healed_it_is_not(host: Host) -> None:
    host.put_spec({"tiny": TINY})
    array = host.must("awk '/^md/ {print $1}' /proc/mdstat").strip()
    member = host.must(f"ls /sys/block/{array}/slaves | tail -1").strip()
    host.must(f"mdadm /dev/{array} --fail /dev/{member} --remove /dev/{member}")
    try:
        refused(host, 4, "degraded")
    finally:
        host.must(
            f"mdadm /dev/{array} --re-add /dev/{member} || mdadm /dev/{array} --add /dev/{member}"
        )
        host.until(
            "! grep -Eq 'recovery|resync|_' /proc/mdstat", limit=600, what="the array is whole"
        )


def test_without_libvirtd_nothing_is_touched(host: Host) -> None:
    host.put_spec({"tiny": TINY})
    before = host.must("lvs -o lv_name,lv_tags; nmcli -t -f UUID connection show")
    host.must(
        "systemctl stop libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service"
    )
    done = host.kvmkeep("apply", "--yes")
    host.must("systemctl start libvirtd.socket libvirtd.service")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "libvirt" in done.stderr
    assert host.must("lvs -o lv_name,lv_tags; nmcli -t -f UUID connection show") == before


def test_without_networkmanager_nothing_is_touched(host: Host) -> None:
    host.put_spec({"tiny": TINY})
    before = host.must("lvs -o lv_name,lv_tags; virsh list --all")
    host.must("systemctl stop NetworkManager")
    done = host.kvmkeep("apply", "--yes")
    host.must("systemctl start NetworkManager")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "NetworkManager" in done.stderr
    assert host.must("lvs -o lv_name,lv_tags; virsh list --all") == before


def test_without_root_it_says_so(host: Host) -> None:
    done = host.run("setpriv --reuid=65534 --clear-groups kvmkeep apply --yes")
    assert done.returncode == 5
    assert "root" in done.stderr


def test_two_runs_at_once_name_each_other(host: Host) -> None:
    host.put_spec({"tiny": TINY})
    host.must("mkdir -p /run/kvmkeep")
    done = host.run(
        "(kvmkeep apply --yes & first=$!; kvmkeep apply --yes; echo second=$?; wait $first; echo first=$?)",
        limit=900,
    )
    codes = sorted(
        line.split("=")[1]
        for line in done.stdout.splitlines()
        if line.startswith(("first=", "second="))
    )
    assert codes == ["0", "6"], done.stdout + done.stderr


def test_a_second_apply_has_nothing_to_do(host: Host) -> None:
    assert host.plan()["steps"] == []


@pytest.mark.parametrize(
    "environment", ["LANG=de_DE.UTF-8", "COLUMNS=40", "TERM=dumb", "LC_ALL=C PYTHONUTF8=0"]
)
@pytest.mark.long
def test_odd_surroundings_do_no_harm(host: Host, environment: str) -> None:
    done = host.run(f"env {environment} kvmkeep status < /dev/null")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(f"env {environment} kvmkeep list >&-").returncode in {0, 1, 141}
    assert "Traceback" not in host.run(f"env {environment} kvmkeep list 2>&1 >/dev/full").stdout
