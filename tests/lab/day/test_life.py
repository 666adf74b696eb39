"""The life of a guest: asked for by name and by label, and told by virsh and from inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.day.conftest import GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Result

ALPHA = "10.5.68.11"
RED = ("--label", "red")
MAKE_DEAF = """
mv /sbin/shutdown /sbin/shutdown.kept; mv /sbin/tiny-acpid /sbin/tiny-acpid.kept
printf '#!/bin/sh\\nexit 0\\n' > /sbin/shutdown
printf '#!/bin/sh\\nexec sleep 9999\\n' > /sbin/tiny-acpid
chmod 755 /sbin/shutdown /sbin/tiny-acpid; sync; killall acpid
"""
HEAR_AGAIN = """
mv /sbin/shutdown.kept /sbin/shutdown; mv /sbin/tiny-acpid.kept /sbin/tiny-acpid; sync
killall sleep
"""
LIE = """
cat > /tmp/liar <<'END'
exec 3<>/dev/virtio-ports/org.qemu.guest_agent.0
while read -r line <&3; do
    printf '{"return": [{"name": "\\\\u001b[2J\\033]0;owned\\007", "ip-addresses": [' >&3
    head -c 20000000 /dev/zero | tr '\\0' 'A' >&3
done
END
mv /usr/sbin/qemu-ga /usr/sbin/qemu-ga.kept
printf '#!/bin/sh\\nexec sh /tmp/liar\\n' > /usr/sbin/qemu-ga; chmod 755 /usr/sbin/qemu-ga
killall qemu-ga
"""
TELL_THE_TRUTH = "mv /usr/sbin/qemu-ga.kept /usr/sbin/qemu-ga; sync; killall sh"


@pytest.fixture(autouse=True)
def red(site: Host) -> Iterator[None]:
    """Give alpha a label, and let it run again in the end."""
    site.put_spec({**GUESTS, "alpha": f"{GUESTS['alpha']}labels: [red]\n"})
    yield
    site.run("virsh resume alpha; virsh start alpha")
    site.put_spec(GUESTS)


def did(site: Host, *words: str) -> Result:
    done = site.kvmkeep(*words)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def state(site: Host) -> str:
    return site.must("virsh domstate alpha").strip()


def boot(site: Host) -> str:
    return site.ssh("root", ALPHA, "cat /proc/sys/kernel/random/boot_id")


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


def test_a_guest_is_renamed_twice_and_stays_the_machine_it_is(site: Host) -> None:
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
    did(site, "shutdown", *RED)
    did(site, "rename", "--yes", "gamma", "alpha")
    did(site, "start", *RED)
    assert site.ssh("root", ALPHA, "cat /root/mark").strip() == "of-alpha"


def test_a_guest_that_hears_nothing_runs_until_its_plug_is_pulled(site: Host) -> None:
    process = site.qemu_pid("alpha")
    site.ssh("root", ALPHA, MAKE_DEAF)
    deaf = site.kvmkeep("shutdown", "--limit", "15", "alpha")
    assert deaf.returncode == 7
    assert "it goes on running" in deaf.stderr
    assert "kvmkeep poweroff alpha" in deaf.stderr
    assert (state(site), site.qemu_pid("alpha")) == ("running", process)
    did(site, "poweroff", "--yes", "alpha")
    assert state(site) == "shut off"
    did(site, "start", *RED)
    site.ssh("root", ALPHA, HEAR_AGAIN)


def test_libvirt_is_restarted_and_another_administrator_comes_in_the_middle(site: Host) -> None:
    told = site.must(
        "kvmkeep shutdown alpha > /root/first 2>&1 & first=$!;"
        "until virsh domstate alpha | grep -q 'in shutdown\\|shut off'"
        " || grep -q 'shut it down' /root/first; do kill -0 $first || exit 1; done;"
        "kvmkeep start alpha 2>&1; echo second $?;"
        "systemctl restart libvirtd;"
        "wait $first; echo first $?"
    )
    assert "second 6" in told
    assert "kvmkeep shutdown alpha" in told
    assert "first 0" in told, site.must("cat /root/first")
    assert state(site) == "shut off"
    did(site, "start", *RED)


def test_an_agent_that_lies_is_not_believed_and_holds_nothing_up(site: Host) -> None:
    site.ssh("root", ALPHA, LIE)
    for words in (("show", "alpha"), ("list",)):
        told = did(site, *words)
        assert "owned" not in told.stdout
        assert "\033" not in told.stdout + told.stderr
    site.must("timeout 20 kvmkeep list")
    done = site.kvmkeep("shutdown", "--limit", "120", "alpha")
    assert "\033" not in done.stdout + done.stderr
    assert (done.returncode, state(site)) in {(0, "shut off"), (7, "running")}
    site.run("kvmkeep poweroff --yes alpha; virsh start alpha")
    site.until(f"ip netns exec campus nc -z -w 3 {ALPHA} 22", limit=180, what="alpha to boot again")
    site.ssh("root", ALPHA, TELL_THE_TRUTH)
