"""What guests rest on fails, or they fail themselves: the others run on, and it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites
from findings import check
from labhost import TINY_YAML
from recovery import answers, recovered, steps_of
from sites import ALPHA, BETA, GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Lab

pytestmark = pytest.mark.long

GAMMA = "10.5.68.13"
THREE = {**GUESTS, "gamma": TINY_YAML.replace("ADDRESS", GAMMA)}
ARRAY, MEMBER = "/dev/$(awk '/^md/ {print $1}' /proc/mdstat)", "/dev/vdc"
FAILING = f"""\
#!/bin/bash
# Stands in the place of qemu-img: while it writes, half of the mirror fails, once.
"$0.real" "$@" &
if [[ $1 == convert ]] && mkdir /run/failed 2>/dev/null; then
    mdadm --quiet {ARRAY} --fail {MEMBER}
fi
wait $!
"""
PAUSES = (0, 60, 300, 900)
"""Seconds between a restart and the next one."""
SHARE = "/srv/share"
DISK = "rl_build-vm--alpha--data"
SWAP = f"dmsetup suspend --noflush {DISK}; dmsetup resume {DISK}"


@pytest.fixture(scope="module")
def site(the_lab: Lab) -> Iterator[Host]:
    """Return a host with kvmkeep's units at work."""
    host = sites.day(the_lab)
    before = host.foreign_things()
    done = host.kvmkeep("install-units", "--yes")
    assert done.returncode == 0, done.stderr
    yield host
    assert host.foreign_things() == before


@pytest.fixture
def three(site: Host) -> Host:
    """Return that host with three guests that run, and need nothing of each other."""
    site.put_spec(THREE)
    site.apply()
    site.must("kvmkeep start alpha beta gamma")
    return site


def needs(guest: str, words: str) -> str:
    """Return a guest's file with more about how it runs."""
    return THREE[guest].replace("run: {", f"run: {{{words}, ")


def running(site: Host) -> set[str]:
    return set(site.must("virsh list --name").split())


def test_a_guest_whose_disk_gave_an_error_goes_on_where_it_stopped(site: Host) -> None:
    process = site.qemu_pid("alpha")
    site.must(
        f"dmsetup table {DISK} > /root/table;"
        f"echo 0 $(blockdev --getsz /dev/mapper/{DISK}) error | dmsetup load {DISK}; {SWAP}"
    )
    write = "printf of-alpha | dd of=/dev/vdb bs=512 conv=sync,fsync; echo $? > /tmp/wrote"
    site.ssh("root", ALPHA, f"({write}) < /dev/null > /dev/null 2>&1 &")
    site.until(
        "virsh domstate --reason alpha | grep 'paused (I/O error)'", limit=60, what="it stops"
    )
    told = "it stands still since one of its disks gave an error"
    log = "journalctl -b -u kvmkeep-watch.service -o cat"
    site.until(f"{log} | grep '{told}'", limit=180, what="a look tells of it")
    _, found = check(site)
    trouble = found["guest-io-error", "guest alpha"]
    assert trouble["severity"] == "critical"
    look = trouble["todo"].partition(";")[0]
    assert look == "virsh domblkerror alpha"
    assert "vdb" in site.must(look)
    assert trouble["todo"].endswith("kvmkeep resume alpha")

    again = site.kvmkeep("resume", "alpha")
    assert again.returncode == 8, f"nothing was mended yet: {again.stdout}{again.stderr}"
    assert "guest alpha: let it go on" in again.stderr
    site.must(f"dmsetup load {DISK} /root/table; {SWAP}")
    site.must("kvmkeep resume alpha")
    answers(site, ALPHA)
    site.ssh("root", ALPHA, "until test -e /tmp/wrote; do sleep 1; done; grep -x 0 /tmp/wrote")
    assert site.must(f"dd if=/dev/mapper/{DISK} bs=4096 count=1 iflag=direct").startswith(
        "of-alpha"
    )
    assert site.qemu_pid("alpha") == process
    assert site.kvmkeep("plan", "--exit-code").returncode == 0


def test_a_disk_fails_while_a_guest_is_made(site: Host) -> None:
    site.must(
        "path=$(command -v qemu-img); mv $path $path.real; cat > $path; chmod 755 $path",
        text=FAILING,
    )
    site.put_spec(THREE)
    site.apply()
    site.must("test -d /run/failed; grep '\\[U_\\]\\|\\[_U\\]' /proc/mdstat")
    assert running(site) == {"alpha", "beta", "gamma"}
    assert site.ssh("root", GAMMA, "hostname").strip() == "gamma"
    _, found = check(site)
    assert [one["severity"] for key, one in found.items() if key[0] == "array-degraded"] == [
        "critical"
    ]
    more = THREE["gamma"].replace("256MiB}", "256MiB, more: 32MiB}")
    site.put_spec({**THREE, "gamma": more})
    refused = site.kvmkeep("apply", "--yes")
    assert refused.returncode == 4, refused.stderr
    assert "no new disk is written to it" in " ".join(refused.stderr.split())
    site.must(f"mdadm --quiet {ARRAY} --remove {MEMBER}")
    site.must(f"mdadm --quiet {ARRAY} --re-add {MEMBER} || mdadm --quiet {ARRAY} --add {MEMBER}")
    site.until("grep -q '\\[UU\\]' /proc/mdstat", limit=300, what="both halves are the same again")
    site.until("! grep -q recovery /proc/mdstat", limit=60, what="the array is at rest")
    site.put_spec(THREE)
    site.apply()
    assert site.kvmkeep("plan", "--exit-code").returncode == 0
    site.must("path=$(command -v qemu-img); mv $path.real $path")


@pytest.mark.usefixtures("three")
def test_a_boot_holds_back_only_who_lacks_something(site: Host) -> None:
    """A share that alpha needs is not mounted, and beta's disk has another name."""
    site.put_spec({**THREE, "alpha": needs("alpha", f"needs: [{SHARE}]")})
    site.must(f"mkdir -p {SHARE}; lvrename --quiet rl_build vm-beta lost; sync")
    site.lab.cut()
    site.lab.boot()
    told = recovered(site, 9)
    told = " ".join(told.split())
    assert f"held back: guest alpha: it needs {SHARE}, where nothing is mounted" in told
    assert "held back: guest beta: the guest" in told
    assert "its LV rl_build/vm-beta is gone" in told
    assert steps_of(site, "recover") == ["gamma: start it", "gamma: wait until it is ready"]
    assert running(site) == {"gamma"}
    answers(site, GAMMA)
    code, found = check(site)
    assert code == 2
    assert found["mount-missing", "guest alpha"]["severity"] == "critical"
    assert found["guest-off", "guest beta"]["severity"] == "critical"

    site.must(f"mount -t tmpfs share {SHARE}")
    site.until("virsh list --name | grep -x alpha", limit=240, what="a look starts alpha")
    assert "beta" not in running(site)
    site.must("lvrename --quiet rl_build lost vm-beta")
    done = site.kvmkeep("recover")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    answers(site, ALPHA, BETA, GAMMA)
    site.put_spec(THREE)
    assert site.kvmkeep("plan", "--exit-code").returncode == 0


def dies(site: Host, guest: str) -> None:
    process = site.qemu_pid(guest)
    site.must(f"kill -KILL {process}")
    seen = f"virsh domstate --reason {guest} | grep crashed"
    other = f"test $(cat /run/libvirt/qemu/{guest}.pid || echo {process}) != {process}"
    site.until(f"{seen} || {other}", limit=30, what="libvirt sees it")


def is_up_again(site: Host, guest: str) -> None:
    site.run("systemctl start kvmkeep-watch.service")
    site.until(f"virsh list --name | grep -x {guest}", limit=240, what="it is started again")
    # Whoever looked then also waits for it.
    idle = "! systemctl is-active --quiet kvmkeep-watch.service"
    site.until(idle, limit=300, what="the look is over")


@pytest.mark.usefixtures("three")
def test_a_guest_that_dies_again_and_again_is_held_until_it_is_started(site: Host) -> None:
    """The clock is put forward meanwhile: the pauses between the restarts are long."""
    for number, pause in enumerate(PAUSES):
        dies(site, "gamma")
        if pause > PAUSES[1]:
            told = " ".join(site.kvmkeep("watch").stderr.split())
            assert f"it died again after {number} restarts; the next one is in" in told
            assert "gamma" not in running(site)
        site.must(f"date --set '{pause + 1} seconds'")
        is_up_again(site, "gamma")
    dies(site, "gamma")
    held = f"held: it died again after {len(PAUSES)} restarts"
    site.until("kvmkeep check | grep 'guest gamma: it died again'", limit=180, what="gamma is held")
    site.must("date --set '2 hours'")
    done = site.kvmkeep("watch")
    assert done.returncode == 9, done.stderr
    assert held in " ".join(done.stderr.split())
    assert "gamma" not in running(site)
    assert check(site)[1]["guest-crash-loop", "guest gamma"]["severity"] == "critical"
    assert {"alpha", "beta"} <= running(site)

    site.must("kvmkeep start gamma")
    answers(site, GAMMA)
    assert ("guest-crash-loop", "guest gamma") not in check(site)[1]
    dies(site, "gamma")
    is_up_again(site, "gamma")
