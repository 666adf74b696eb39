"""The life of a guest: asked for by name and by label, and told by virsh and from inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from deaf import HEAR_AGAIN, MAKE_DEAF
from sites import GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Result

ALPHA = "10.5.68.11"
RED = ("--label", "red")


@pytest.fixture(autouse=True, scope="module")
def red(site: Host) -> None:
    """Give alpha a label."""
    site.put_spec({**GUESTS, "alpha": f"{GUESTS['alpha']}labels: [red]\n"})
    site.apply()


@pytest.fixture(autouse=True)
def runs(site: Host) -> Iterator[None]:
    """Let alpha run again in the end."""
    yield
    site.run("virsh resume alpha; virsh start alpha")


def did(site: Host, *words: str) -> Result:
    done = site.kvmkeep(*words)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def state(site: Host) -> str:
    return site.must("virsh domstate alpha").strip()


def boot(site: Host) -> str:
    return site.ssh("root", ALPHA, "cat /proc/sys/kernel/random/boot_id")


@pytest.mark.long
def test_a_guest_stands_still_goes_on_and_reboots_with_the_same_process(site: Host) -> None:
    process, first = site.qemu_pid("alpha"), boot(site)
    site.ssh("root", ALPHA, "sleep 3000 >/dev/null 2>&1 & echo $! > /tmp/pid")
    did(site, "suspend", *RED)
    assert state(site) == "paused"
    did(site, "resume", *RED)
    assert state(site) == "running"
    site.ssh("root", ALPHA, "kill -0 $(cat /tmp/pid)")
    did(site, "autostart", "alpha", "off")
    assert "disable" in site.must("virsh dominfo alpha | grep Autostart")
    did(site, "autostart", "alpha", "on")
    assert "enable" in site.must("virsh dominfo alpha | grep Autostart")
    assert boot(site) == first
    did(site, "reboot", *RED)
    assert boot(site) != first
    assert site.qemu_pid("alpha") == process


@pytest.mark.long
def test_a_guest_that_hears_nothing_runs_until_its_plug_is_pulled(site: Host) -> None:
    """Meanwhile another administrator comes, and libvirt is restarted."""
    process = site.qemu_pid("alpha")
    site.ssh("root", ALPHA, MAKE_DEAF)
    told = site.must(
        "kvmkeep shutdown --limit 60 alpha > /root/first 2>&1 & first=$!;"
        "until grep -q 'waiting for guest alpha to shut down' /root/first; do kill -0 $first || exit 1; sleep 1; done;"
        "kvmkeep start alpha 2>&1; echo second $?;"
        "systemctl restart libvirtd; wait $first; echo first $?; cat /root/first"
    )
    assert "second 6" in told
    assert "first 7" in told
    assert "it goes on running" in told
    assert "kvmkeep poweroff alpha" in told
    assert (state(site), site.qemu_pid("alpha")) == ("running", process)
    did(site, "poweroff", "--yes", "alpha")
    assert state(site) == "shut off"
    did(site, "start", *RED)
    site.ssh("root", ALPHA, HEAR_AGAIN)


@pytest.mark.long
def test_a_guest_is_renamed_and_stays_the_machine_it_is(site: Host) -> None:
    site.ssh("root", ALPHA, "echo of-alpha > /root/mark; sync")
    uuid = site.must("virsh domuuid alpha").strip()
    did(site, "shutdown", *RED)
    assert state(site) == "shut off"
    did(site, "rename", "--yes", "alpha", "gamma")
    lvs = site.must("lvs --noheadings -o lv_name --select 'lv_tags=kvmkeep.guest=gamma' rl_build")
    assert lvs.split() == ["vm-gamma", "vm-gamma-data", "vm-gamma-logs"]
    assert site.must("virsh domuuid gamma").strip() == uuid
    did(site, "start", "gamma")
    assert site.ssh("root", ALPHA, "cat /root/mark").strip() == "of-alpha"
    assert site.plan()["steps"] == []
