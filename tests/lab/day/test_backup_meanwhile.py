"""What an administrator does to a guest while it is backed up: refused, or the backup ends right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.lab.day.test_backup import (
    CANARY,
    RESTIC,
    SPEC,
    backups,
    begin,
    ended,
    into,
    nothing_is_left,
    ours,
)

if TYPE_CHECKING:
    from labhost import Host

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", autouse=True)
def repository(site: Host) -> None:
    site.must(f"umask 077; echo {CANARY} > /root/vault.password")
    site.must("cat >> /etc/kvmkeep/host.yaml", text=SPEC)
    into(site, "vault")
    ours(site, "backup", "init", "vault")


def the_next_one_works(site: Host) -> None:
    """Demand that the next run makes a backup, and that the repository holds no part of another."""
    into(site, "vault")
    before = len(backups(site))
    ours(site, "backup", "run", "alpha")
    assert len(backups(site)) == before + 1
    # Three disks and a manifest each.
    assert len(json.loads(site.must(f"{RESTIC} snapshots --json"))) == 4 * (before + 1)
    nothing_is_left(site)


def test_a_guest_that_is_shut_down_meanwhile_is_backed_up(site: Host) -> None:
    begin(site, "slow")
    ours(site, "shutdown", "alpha")
    done = ended(site)
    assert done.returncode == 0, done.stdout
    assert site.must("virsh domstate alpha").strip() == "shut off"
    assert len(backups(site)) == 1
    nothing_is_left(site)
    ours(site, "start", "alpha")
    the_next_one_works(site)


def test_a_guest_that_is_backed_up_is_not_removed_and_not_even_shut_down(site: Host) -> None:
    process = site.qemu_pid("alpha")
    before = len(backups(site))
    begin(site, "slow")
    refused = site.kvmkeep("remove", "--yes", "--shutdown", "alpha")
    assert refused.returncode == 4, refused.stderr
    assert "something has rl_build/vm-alpha-" in " ".join(refused.stderr.split())
    assert site.qemu_pid("alpha") == process
    done = ended(site)
    assert done.returncode == 0, done.stdout
    assert len(backups(site)) == before + 1
    nothing_is_left(site)


def test_a_guest_that_is_renamed_meanwhile_is_not_backed_up(site: Host) -> None:
    before = len(backups(site))
    ours(site, "shutdown", "alpha")
    begin(site, "slow")
    ours(site, "rename", "--yes", "alpha", "gamma")
    done = ended(site)
    assert done.returncode == 7, done.stdout
    assert "guest alpha was not backed up" in " ".join(done.stdout.split())
    assert len(backups(site)) == before
    nothing_is_left(site)
    ours(site, "rename", "--yes", "gamma", "alpha")
    ours(site, "start", "alpha")
    the_next_one_works(site)
