"""Backups of a running guest with three disks: made, made again, and what goes wrong meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import leaks
import pytest
from backing_up import ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Result

pytestmark = pytest.mark.long

ALPHA = "10.5.68.11"
CANARY = "canary-0f3a77d1"
MIB = 1 << 20
RESTIC = "restic --no-lock --cache-dir=/tmp/restic --repo=/srv/vault --password-file=/root/vault.password"
SPEC = """\
repositories:
  vault: {url: /srv/vault, password_file: /root/vault.password}
  slow: {url: /srv/vault, password_file: /root/vault.password, rate: 4MiB/s}
  small: {url: /mnt/small/vault, password_file: /root/vault.password}
  far: {url: "sftp:root@localhost:/srv/far", password_file: /root/vault.password, rate: 4MiB/s}
"""


def backups(site: Host) -> list[dict[str, Any]]:
    return json.loads(ours(site, "backup", "list", "--json", "--repository", "vault"))["backups"]


def into(site: Host, repository: str) -> None:
    """Have the spec back alpha up into a repository."""
    site.must(
        "cd /etc/kvmkeep/guests && sed -i '/^backup:/d' alpha.yaml &&"
        f" echo 'backup: {{repository: {repository}}}' >> alpha.yaml"
    )


def cgroup(site: Host, process: str) -> str:
    """Return the control group of a process, as a path below the mount of cgroup v2."""
    return site.must(f"cat /proc/{process}/cgroup").strip().removeprefix("0::")


def nothing_is_left(site: Host) -> None:
    """Demand that no set, no file and no process of a backup is there."""
    assert "kvmkeep.backup=" not in site.must("lvs --noheadings -o lv_tags rl_build")
    assert site.run("find /var/lib/kvmkeep/backup -type f").stdout == ""
    assert site.run("pgrep -f '[r]estic --repo|[b]locks send'").stdout == ""


@pytest.fixture(scope="module", autouse=True)
def vault(site: Host) -> Iterator[None]:
    """Make the repositories, and watch for the password in command lines and environments."""
    site.must(f"umask 077; echo {CANARY} > /root/vault.password")
    site.must("cat >> /etc/kvmkeep/host.yaml", text=SPEC)
    into(site, "vault")
    shown = ("/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ")
    with leaks.watched(site, "/root/vault.password", *shown):
        ours(site, "backup", "init", "vault")
        process = site.qemu_pid("alpha")
        yield
        assert site.qemu_pid("alpha") == process
    assert site.run(f"grep -r -F {CANARY} /var/lib/kvmkeep /var/log /run/kvmkeep").returncode == 1
    assert site.run(f"journalctl | grep -F {CANARY}").returncode == 1


def begin(site: Host, repository: str, *words: str) -> None:
    """Begin a slow backup, and return once a disk is being read."""
    into(site, repository)
    site.must("rm -f /root/code")
    line = " ".join(("kvmkeep", "backup", "run", "alpha", *words))
    site.must(f"({line}; echo $? > /root/code) >/root/said 2>&1 </dev/null & echo $! > /root/run")
    site.until("pgrep -f '[b]locks send'", limit=300, what="a disk to be read")


def ended(site: Host) -> Result:
    site.until("test -s /root/code", limit=600, what="the backup to end")
    return site.run("cat /root/said; exit $(cat /root/code)")


def test_other_verbs_work_meanwhile_and_a_killed_run_makes_no_backup(site: Host) -> None:
    begin(site, "slow")
    # It shares the processors with the guests, and not with what is beside their slice.
    place = cgroup(site, "$(pgrep -f -o '[b]locks send')")
    assert place.startswith("/machine.slice/run-")
    assert site.must(f"cat /sys/fs/cgroup{place}/cpu.weight").strip() == "10"
    assert site.must("cat /proc/$(pgrep -f -o '[b]locks send')/oom_score_adj").strip() == "1000"
    assert cgroup(site, "$(pgrep -f -o '[r]estic --repo=/srv/vault')") == place
    assert cgroup(site, site.qemu_pid("alpha")).startswith("/machine.slice/machine-")
    assert site.kvmkeep("backup", "run", "alpha").returncode == 6
    ours(site, "autostart", "alpha", "on")
    assert site.kvmkeep("watch").returncode in {0, 9}
    assert "kvmkeep.backup=slow" in site.must("lvs --noheadings -o lv_tags rl_build")
    site.must("pkill -KILL -P $(cat /root/run) -f 'backup run'")
    site.until("! pgrep -f '[r]estic --repo|[b]locks send'", limit=60, what="its processes to end")
    assert backups(site) == []
    # The next test's run finds what this one left.
    assert "kvmkeep.backup=slow" in site.must("lvs --noheadings -o lv_tags rl_build")
    into(site, "vault")


def test_a_running_guest_is_backed_up_and_the_second_time_nearly_nothing_is_added(
    site: Host,
) -> None:
    site.ssh("root", ALPHA, "echo first > /root/mark; echo DATA | dd of=/dev/vdb conv=fsync; sync")
    ours(site, "backup", "run", "alpha")
    (first,) = backups(site)
    assert (first["guest"], first["consistency"]) == ("alpha", "frozen")
    assert first["size"] == (256 + 64 + 32) * MIB
    nothing_is_left(site)
    # What the killed run had stored is gone as well: three disks and a manifest are there.
    assert len(json.loads(site.must(f"{RESTIC} snapshots --json"))) == 4
    # Nobody writes to the disk `data`, so what was stored is what it holds.
    (data,) = [one for one in first["disks"] if one["disk"] == "data"]
    stored = site.must(f"{RESTIC} dump {data['object']} {data['path']} | sha256sum")
    assert stored.split()[0] == site.must("sha256sum < /dev/rl_build/vm-alpha-data").split()[0]
    manifest = json.loads(ours(site, "backup", "show", "alpha", "--json"))["manifest"]
    assert [one["disk"] for one in manifest["disks"]] == ["root", "data", "logs"]
    inside = site.must(f"{RESTIC} ls {first['manifest']}")
    for name in ("manifest.json", "domain.xml", "guest.yaml", "host.yaml", "root.blocks"):
        assert name in inside
    # As one would type it where there is no kvmkeep.
    assert first["manifest"] in site.must(f"{RESTIC} snapshots --tag guest=alpha --json")
    folder = f"/var/lib/kvmkeep/backup/alpha/{first['moment']}"
    xml = site.must(f"{RESTIC} dump {first['manifest']} {folder}/domain.xml")
    assert "<name>alpha</name>" in xml
    site.must(
        f"{RESTIC} dump {first['manifest']} {folder} > /root/stored.tar &&"
        " grep -q -a -F '<name>alpha</name>' /root/stored.tar &&"
        " ! grep -q -a -F -f /root/vault.password /root/stored.tar; rc=$?; rm /root/stored.tar; exit $rc"
    )
    site.ssh("root", ALPHA, "dd if=/dev/urandom of=/dev/vdb bs=1M count=1 conv=fsync; sync")
    ours(site, "backup", "run", "--all")
    _, second = backups(site)
    assert second["added"] < 24 * MIB
    nothing_is_left(site)


def test_a_wrong_password_is_told_before_anything_is_done(site: Host) -> None:
    site.must("cp -p /root/vault.password /root/right; echo wrong > /root/vault.password")
    done = site.kvmkeep("backup", "run", "alpha")
    site.must("mv /root/right /root/vault.password")
    assert done.returncode == 5, done.stderr
    assert "the password in /root/vault.password is not its password" in done.stderr
    nothing_is_left(site)


def test_a_repository_that_gets_full_makes_no_backup(site: Host) -> None:
    site.must(
        "truncate -s 16M /root/small.img && mkfs.ext4 -q /root/small.img && mkdir -p /mnt/small &&"
        " mount -o loop /root/small.img /mnt/small"
    )
    into(site, "small")
    missing = site.kvmkeep("backup", "run", "alpha")
    assert missing.returncode == 5
    assert "kvmkeep backup init small" in missing.stderr
    ours(site, "backup", "init", "small")
    site.ssh("root", ALPHA, "dd if=/dev/urandom of=/dev/vdb bs=1M count=40 conv=fsync; sync")
    done = site.kvmkeep("backup", "run", "alpha")
    assert done.returncode == 7, done.stderr
    assert "no space left on device" in done.stderr.lower()
    assert "kvmkeep backup forget --all && kvmkeep backup prune" in " ".join(done.stderr.split())
    assert "was not backed up" in done.stderr
    nothing_is_left(site)
    used = "df --block-size=1 --output=used /mnt/small | tail -1"
    full = int(site.must(used))
    ours(site, "backup", "prune", "small")
    assert int(site.must(used)) <= full
    site.must(
        "truncate -s 512M /root/small.img &&"
        " losetup --set-capacity $(findmnt --noheadings --output SOURCE /mnt/small) &&"
        " resize2fs $(findmnt --noheadings --output SOURCE /mnt/small)"
    )
    ours(site, "backup", "run", "alpha")
    nothing_is_left(site)
    into(site, "vault")
    site.must("umount /mnt/small")


def test_a_snapshot_that_overflows_makes_no_backup(site: Host) -> None:
    before = len(backups(site))
    begin(site, "slow", "--size", "8MiB")
    site.ssh("root", ALPHA, "dd if=/dev/urandom of=/root/big bs=1M count=24; sync; rm /root/big")
    done = ended(site)
    into(site, "vault")
    assert done.returncode == 7, done.stdout
    assert "can't be read" in done.stdout
    assert len(backups(site)) == before
    nothing_is_left(site)


def test_a_repository_on_another_machine_that_dies_in_the_middle(site: Host) -> None:
    site.must(
        "test -e /root/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519;"
        " cat /root/.ssh/id_ed25519.pub >> /root/.ssh/authorized_keys;"
        " ssh-keyscan -t ed25519 localhost > /root/.ssh/known_hosts"
    )
    ours(site, "backup", "init", "far")
    begin(site, "far")
    site.until("pkill -x sftp-server", limit=60, what="the far end to be there")
    done = ended(site)
    assert done.returncode == 7, done.stdout
    assert "was not backed up" in done.stdout
    nothing_is_left(site)
    site.must("mv /root/.ssh/known_hosts /root/.ssh/known")
    into(site, "far")
    unseen = site.kvmkeep("backup", "run", "alpha")
    site.must("mv /root/.ssh/known /root/.ssh/known_hosts")
    assert unseen.returncode == 5, unseen.stderr
    assert "can't be reached or read" in unseen.stderr
    ours(site, "backup", "run", "alpha")
    into(site, "vault")
    told = ours(site, "backup", "list", "--json", "--repository", "far")
    assert len(json.loads(told)["backups"]) == 1
    nothing_is_left(site)
