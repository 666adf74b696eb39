"""Sets of snapshots of a guest with three disks: taken while it runs, and gone back to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from labhost import Host

ALPHA = "10.5.68.11"
ORIGINS = ("vm-alpha", "vm-alpha-data", "vm-alpha-logs")


def ours(site: Host, *words: str) -> str:
    done = site.kvmkeep(*words)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def sets(site: Host) -> dict[str, str]:
    """Return each set of alpha and its trouble."""
    told = json.loads(ours(site, "snapshot", "list", "--json", "alpha"))["sets"]
    return {one["set"]: one["trouble"] for one in told}


def take(site: Host, *words: str) -> str:
    before = sets(site)
    ours(site, "snapshot", "create", "alpha", *words)
    (new,) = sets(site).keys() - before.keys()
    return new


@pytest.fixture(autouse=True)
def no_set_is_left(site: Host):  # noqa: ANN201
    yield
    for name in sets(site):
        ours(site, "snapshot", "delete", "--yes", "alpha", name)
    found = site.must("lvs --noheadings -o lv_name --select 'origin=~\"vm-alpha\"' rl_build")
    assert found.strip() == ""


@pytest.mark.long
def test_a_guest_runs_on_while_a_set_is_taken_and_gets_its_file_back(site: Host) -> None:
    process = site.qemu_pid("alpha")
    site.ssh(
        "root",
        ALPHA,
        "echo before > /root/mark; sync; sleep 3000 >/dev/null 2>&1 & echo $! > /root/pid",
    )
    name = take(site)
    assert site.qemu_pid("alpha") == process
    site.ssh("root", ALPHA, "kill -0 $(cat /root/pid)")
    found = site.must(f"lvs --noheadings -o origin --select 'lv_tags=kvmkeep.set={name}' rl_build")
    assert sorted(found.split()) == sorted(ORIGINS)
    site.ssh("root", ALPHA, "echo after > /root/mark; sync")
    refused = site.kvmkeep("snapshot", "revert", "--yes", "alpha", name)
    assert refused.returncode == 4
    ours(site, "snapshot", "revert", "--yes", "--shutdown", "alpha", name)
    assert site.ssh("root", ALPHA, "cat /root/mark").strip() == "before"
    tags = site.must("lvs --noheadings -o lv_tags rl_build")
    assert "kvmkeep.revert" not in tags
    assert "kvmkeep.start" not in tags


@pytest.mark.long
def test_a_snapshot_that_got_full_is_told_and_not_gone_back_to(site: Host) -> None:
    name = take(site, "--size", "4MiB")
    site.ssh("root", ALPHA, "dd if=/dev/urandom of=/dev/vdc bs=1M count=12 conv=fsync 2>/dev/null")
    assert "Invalid" in site.must(f"dmsetup status | grep 'logs--{name}:'")
    assert sets(site)[name] == "invalid"
    process = site.qemu_pid("alpha")
    refused = site.kvmkeep("snapshot", "revert", "--yes", "--shutdown", "alpha", name)
    assert refused.returncode == 4
    assert "invalid" in refused.stdout + refused.stderr
    assert site.qemu_pid("alpha") == process


@pytest.mark.long
def test_a_guest_runs_on_when_kvmkeep_is_killed_while_it_stands_still(site: Host) -> None:
    process = site.qemu_pid("alpha")
    site.must(
        "kvmkeep snapshot create alpha >/dev/null 2>&1 & run=$!;"
        "until [ $(virsh domstate alpha) = paused ]; do kill -0 $run || exit 1; done;"
        "pkill -KILL -P $run; kill -KILL $run; virsh domstate alpha | grep paused"
    )
    assert "" not in sets(site).values()
    site.until("virsh domstate alpha | grep running", limit=180, what="the guard to let it go")
    thawed = '{"return":"thawed"}'
    status = '{"execute":"guest-fsfreeze-status"}'
    site.until(
        f"virsh qemu-agent-command alpha '{status}' | grep -F '{thawed}'",
        limit=60,
        what="the guard to thaw it",
    )
    assert site.qemu_pid("alpha") == process
    take(site)
    assert set(sets(site).values()) == {""}


@pytest.mark.long
def test_snapshots_grow_in_time_and_what_a_revert_takes_away_is_kept(site: Host) -> None:
    process = site.qemu_pid("alpha")
    write = "dd if=/dev/urandom of=/dev/vdc bs=1M count={} seek={} conv=fsync 2>/dev/null; sync"
    site.ssh("root", ALPHA, "echo old > /root/state; sync; echo OLD | dd of=/dev/vdc conv=fsync")
    name = take(site, "--size", "8MiB")
    logs = f"rl_build/vm-alpha-logs-{name}"
    for seek in (0, 6, 12, 18):
        site.ssh("root", ALPHA, write.format(6, seek))
        ours(site, "snapshot", "watch", "--by", "100", "alpha")
    size = int(site.must(f"lvs --noheadings --units b --nosuffix -o lv_size {logs}"))
    assert size > 24 << 20
    assert sets(site)[name] == ""
    assert site.qemu_pid("alpha") == process
    site.ssh("root", ALPHA, "echo new > /root/state; sync; echo NEW | dd of=/dev/vdc conv=fsync")
    ours(site, "snapshot", "revert", "--yes", "--shutdown", "--keep", "alpha", name)
    assert site.ssh("root", ALPHA, "cat /root/state; head -c 3 /dev/vdc").split() == ["old", "OLD"]
    site.until(
        "! lvs --noheadings -o lv_name --select lv_merging=merging rl_build | grep .",
        limit=120,
        what="the merge to end",
    )
    ((kept, trouble),) = sets(site).items()
    assert trouble == ""
    ours(site, "snapshot", "revert", "--yes", "--shutdown", "alpha", kept)
    assert site.ssh("root", ALPHA, "cat /root/state; head -c 3 /dev/vdc").split() == ["new", "NEW"]
    site.until(
        "! lvs --noheadings -o lv_name --select lv_merging=merging rl_build | grep .",
        limit=120,
        what="the merge to end",
    )
