"""A clone of a guest with three disks, made while that one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

ALPHA, DELTA = "10.5.68.11", "10.5.68.14"
NAMES = ("vm-delta", "vm-delta-data", "vm-delta-logs")
HOST_KEY = "dropbearkey -y -f /etc/dropbear/key | grep ^ssh-"
MAC = "cat /sys/class/net/*/address | sort"


@pytest.fixture
def no_clone_is_left(site: Host) -> Iterator[None]:
    """Take the clone away by hand, whatever of it there is."""
    yield
    site.must(
        "virsh destroy delta; virsh undefine --nvram delta;"
        f"for lv in {' '.join(NAMES)}; do lvremove -y rl_build/$lv; done;"
        "rm -f /etc/kvmkeep/guests/delta.yaml /root/kvm/delta.xml; true"
    )


@pytest.mark.long
@pytest.mark.usefixtures("no_clone_is_left")
def test_a_running_guest_is_cloned_and_goes_on_running(site: Host) -> None:
    process = site.qemu_pid("alpha")
    site.ssh(
        "root",
        ALPHA,
        "echo of-alpha > /root/mark; echo of-alpha > /etc/machine-id;"
        "echo data-of-alpha | dd of=/dev/vdb conv=fsync 2>/dev/null; sync;"
        "sleep 3000 >/dev/null 2>&1 & echo $! > /tmp/pid",
    )
    words = ("clone", "--yes", "alpha", "delta")
    refused = site.kvmkeep(*words)
    assert refused.returncode == 2
    assert "--address internal=" in refused.stderr
    done = site.kvmkeep(*words, "--address", f"internal={DELTA}/24")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    assert site.qemu_pid("alpha") == process
    site.ssh("root", ALPHA, "kill -0 $(cat /tmp/pid)")
    left = site.must("lvs --noheadings -o lv_name --select 'lv_attr=~\"^s\"' rl_build")
    assert left.strip() == ""

    of_delta = site.ssh("root", DELTA, "cat /root/mark; head -c 13 /dev/vdb; echo; hostname")
    assert of_delta.split() == ["of-alpha", "data-of-alpha", "delta"]
    assert "of-alpha" not in site.ssh("root", DELTA, "cat /etc/machine-id")
    for line in (HOST_KEY, MAC):
        assert site.ssh("root", DELTA, line) != site.ssh("root", ALPHA, line)
    assert site.must("virsh domuuid delta") != site.must("virsh domuuid alpha")
    assert "10.5.68.11" not in site.ssh("root", DELTA, "ip address")

    plan = site.plan()
    assert plan["steps"] == []
    again = site.kvmkeep(*words, "--address", f"internal={DELTA}/24")
    assert (again.returncode, again.stdout.strip()) == (0, "Nothing to do.")
