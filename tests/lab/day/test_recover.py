"""The power goes, and the host reboots: the guests are up again with nobody typing anything."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
import sites
from recovery import answers, recovered, steps_of
from sites import ALPHA, BETA, GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Lab

NEEDY = GUESTS["alpha"].replace("run: {", "run: {needs: [beta], stop_timeout: 60s, ")
ARRAY, MEMBER = "/dev/$(awk '/^md/ {print $1}' /proc/mdstat)", "/dev/vdc"
UNITS = (
    "kvmkeep-guests.service kvmkeep-recover.service kvmkeep-watch.timer "
    "kvmkeep-event-lifecycle.service kvmkeep-event-io-error.service "
    "kvmkeep-event-agent-lifecycle.service"
)


@pytest.fixture(scope="module")
def site(the_lab: Lab) -> Iterator[Host]:
    """Return a host on which alpha needs beta; both start with it, by kvmkeep's units."""
    host = sites.day(the_lab)
    before = host.foreign_things()
    host.put_spec({**GUESTS, "alpha": NEEDY})
    done = host.kvmkeep("install-units", "--yes")
    assert done.returncode == 0, done.stderr
    yield host
    assert host.foreign_things() == before


def test_the_units_are_at_work_and_libvirt_starts_none_of_ours(site: Host) -> None:
    assert site.must(f"systemctl is-enabled {UNITS}").split() == ["enabled"] * 6
    site.must("systemctl is-active kvmkeep-guests.service kvmkeep-watch.timer")
    site.must(f"systemd-analyze verify --man=no {UNITS}")
    assert "alpha" not in site.must("virsh list --all --autostart --name")
    assert "beta" not in site.must("virsh list --all --autostart --name")
    assert site.kvmkeep("plan", "--exit-code").returncode == 0
    refused = site.run("systemctl stop kvmkeep-guests.service")
    assert refused.returncode != 0, "a slip would shut all guests down"
    assert site.must("virsh domstate alpha").strip() == "running"


@pytest.mark.long
def test_libvirts_word_that_a_guest_died_is_enough_without_the_timer(site: Host) -> None:
    listeners = "kvmkeep-event-lifecycle.service kvmkeep-event-io-error.service"
    site.must("systemctl stop kvmkeep-watch.timer")
    idle = "! systemctl is-active --quiet kvmkeep-watch.service"
    site.until(f"{idle} && systemctl is-active {listeners}", limit=60, what="all only listen")
    before = site.must("cat /run/libvirt/qemu/alpha.pid")
    site.must("kill -KILL $(cat /run/libvirt/qemu/alpha.pid)")
    other = f"test $(cat /run/libvirt/qemu/alpha.pid 2>/dev/null || echo {before.strip()}) != {before.strip()}"
    site.until(other, limit=180, what="alpha is started again")
    site.until(f"ip netns exec campus ping -c 1 -W 2 {ALPHA}", limit=120, what="alpha answers")
    site.until(idle, limit=120, what="the look is over")
    site.must("systemctl restart libvirtd")
    site.until(f"systemctl is-active {listeners}", limit=60, what="they listen again")
    site.must("systemctl start kvmkeep-watch.timer")


@pytest.mark.long
def test_a_guest_that_dies_is_up_again_after_a_look(site: Host) -> None:
    """It is the other guest: one that has just been started again would rest for a minute."""
    alpha = site.qemu_pid("alpha")
    site.must("kill -KILL $(cat /run/libvirt/qemu/beta.pid)")
    site.until("virsh domstate --reason beta | grep crashed", limit=30, what="libvirt sees it")
    site.run("systemctl start kvmkeep-watch.service")
    # A look that was under way did not see it yet: the timer brings the next one.
    site.until("virsh list --name | grep beta", limit=180, what="beta is started again")
    site.until(f"ip netns exec campus ping -c 1 -W 2 {BETA}", limit=120, what="beta answers")
    assert site.qemu_pid("alpha") == alpha


def test_after_a_power_cut_all_are_up_in_the_order_of_their_needs(site: Host) -> None:
    """Half of the mirror fails while the guests are started, and comes back."""
    site.must("sync")
    site.lab.cut()
    site.lab.boot()
    begun = "journalctl -b -u kvmkeep-recover.service -o cat | grep -q 'start it'"
    site.until(begun, limit=300, what="recovery starts the first guest")
    site.must(f"mdadm --quiet {ARRAY} --fail {MEMBER} --remove {MEMBER}")
    site.must(f"mdadm --quiet {ARRAY} --re-add {MEMBER} || mdadm --quiet {ARRAY} --add {MEMBER}")
    recovered(site)
    site.until("grep -q '\\[UU\\]' /proc/mdstat", limit=300, what="both halves are the same again")
    assert steps_of(site, "recover") == [
        "beta: start it",
        "beta: wait until it is ready",
        "alpha: start it",
        "alpha: wait until it is ready",
    ]
    answers(site, ALPHA, BETA)
    assert site.kvmkeep("recover").returncode == 0


@pytest.mark.long
def test_a_reboot_shuts_guests_down_cleanly_and_who_was_off_stays_off(site: Host) -> None:
    done = site.kvmkeep("shutdown", "alpha")
    assert done.returncode == 0, done.stderr
    before = site.boot_id()
    # A spec with a mistake: the last good one counts.
    site.must("echo 'vcpus: many' >> /etc/kvmkeep/guests/alpha.yaml")
    site.run("systemctl reboot")
    changed = f"test $(cat /proc/sys/kernel/random/boot_id) != {shlex.quote(before)}"
    site.until(changed, limit=600, what="the host boots again")
    site.lab.wait()
    recovered(site)
    assert steps_of(site, "shutdown --host") == [
        "beta: ask it to shut down", "beta: wait until it is off",
    ]  # fmt: skip
    last = "grep -a 'shutting down, reason' /var/log/libvirt/qemu/beta.log | tail -n 1"
    assert site.must(last).strip().endswith("reason=shutdown")
    assert site.must("virsh domstate alpha").strip() == "shut off"
    answers(site, BETA)
    told = site.must("journalctl -b -u kvmkeep-recover.service -o cat")
    assert "this goes by the last good one" in told
    assert "guests/alpha.yaml" in told


@pytest.mark.long
def test_without_any_good_spec_the_guests_still_go_down_with_the_host(site: Host) -> None:
    site.must("echo 'vcpus: many' > /etc/kvmkeep/guests/alpha.yaml")
    site.must("virsh start alpha")
    # A guest that boots does not hear its power button.
    site.until(f"ip netns exec campus ping -c 1 -W 2 {ALPHA}", limit=120, what="alpha answers")
    site.must("mv /var/lib/kvmkeep/spec.json /root")
    done = site.kvmkeep("shutdown", "--host")
    site.must("mv /root/spec.json /var/lib/kvmkeep")
    assert done.returncode == 0, done.stderr
    assert "this goes by the guests' own marks alone" in " ".join(done.stderr.split())
    assert steps_of(site, "shutdown --host") == [
        "alpha: ask it to shut down: no spec tells what needs it",
        "alpha: wait until it is off",
        "beta: ask it to shut down: no spec tells what needs it",
        "beta: wait until it is off",
    ], "alpha was started last"
    site.put_spec({**GUESTS, "alpha": NEEDY})
    site.must("kvmkeep start alpha beta")


@pytest.mark.long
def test_libvirt_gets_back_what_was_taken(site: Host) -> None:
    site.put_spec({**GUESTS, "alpha": NEEDY})
    done = site.kvmkeep("uninstall-units", "--yes")
    assert done.returncode == 0, done.stderr
    flagged = site.must("virsh list --all --autostart --name").split()
    assert {"alpha", "beta"} <= {*flagged}
    assert site.must("ls /etc/systemd/system | grep kvmkeep || true") == ""
    assert site.must("virsh domstate beta").strip() == "running"
    assert site.kvmkeep("plan", "--exit-code").returncode == 0
