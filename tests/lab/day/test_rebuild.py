"""A server is lost; a new one gets its spec, its networks and its guests from the repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites

if TYPE_CHECKING:
    from pathlib import Path

    from labhost import Host

    from lab.machine import Lab

pytestmark = pytest.mark.long

SPEC = """
repositories: {vault: {url: /srv/vault, password_file: /root/backup.password}}
backup: {repository: vault}
"""
URL = ("--url", "/srv/vault", "--password-file", "/root/backup.password")
LONG = 1500


def back_up(site: Host) -> None:
    """Have both guests in the repository; alpha needs beta, and has a file that no image has."""
    site.must(f"cat >> /etc/kvmkeep/host.yaml <<'E'{SPEC}E")
    site.must("sed -i '/^run:/d' /etc/kvmkeep/guests/alpha.yaml")
    site.must("echo 'run: {needs: [beta], autostart: true}' >> /etc/kvmkeep/guests/alpha.yaml")
    site.must("umask 077; echo horse-battery > /root/backup.password")
    site.ssh("root", sites.ALPHA, "echo precious > /root/mark; sync")
    site.must("kvmkeep backup init vault && kvmkeep backup run --all", limit=LONG)
    site.must("cp -r /etc/kvmkeep /root/spec")
    site.must("tar -cf /root/kept.tar -C /srv vault -C /root backup.password spec test-key")


def test_a_host_that_lost_everything_but_its_repository(the_lab: Lab, tmp_path: Path) -> None:
    old = sites.day(the_lab)
    back_up(old)
    uuid = old.must("virsh domuuid alpha; virsh domuuid beta")
    the_lab.copy_out(["/root/kept.tar"], tmp_path)

    new = sites.bare(the_lab)
    before = new.foreign_things()
    the_lab.copy_in([tmp_path / "kept.tar"], "/root")
    new.must("cd /root && tar -xf kept.tar && mv vault /srv/vault")
    assert new.run("ls /etc/kvmkeep/host.yaml").returncode != 0
    assert "alpha@" in new.must(f"kvmkeep backup rebuild {' '.join(URL)} --dry-run")
    # Killed while a disk is written, it goes on with the same line.
    line = f"kvmkeep backup rebuild {' '.join(URL)} --yes"
    new.must(f"cd / && (setsid {line} > /root/killed.log 2>&1 &)")
    new.until("pgrep -f '[b]locks receive'", limit=LONG, what="a disk is being written")
    new.must("pkill -KILL -f '^/usr/bin/python3 -m kvmkeep backup rebuild'")
    done = new.kvmkeep("backup", "rebuild", *URL, "--yes", limit=LONG)
    assert done.returncode == 0, done.stdout + done.stderr

    new.must("diff -r /root/spec /etc/kvmkeep")
    assert sorted(new.must("virsh list --name").split()) == ["alpha", "beta"]
    assert new.must("virsh domuuid alpha; virsh domuuid beta") == uuid
    started = new.must("stat -c '%Y %n' /run/libvirt/qemu/alpha.pid /run/libvirt/qemu/beta.pid")
    assert min(started.splitlines()).endswith("beta.pid"), "what alpha needs starts first"
    assert new.ssh("root", sites.ALPHA, "cat /root/mark").strip() == "precious"
    new.must(f"ip netns exec campus ping -c 3 -i 0.5 -W 5 {sites.BETA}")
    assert "virbr1.2368" in new.must("nmcli --terse --fields NAME connection show --active")
    assert new.kvmkeep("plan", "--exit-code").returncode == 0
    assert new.foreign_things() == before
