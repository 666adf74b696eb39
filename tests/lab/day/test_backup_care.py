"""The care of backups on a real host: who is due, what is kept, pruned, checked; and the timers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from backing_up import backups, ours

if TYPE_CHECKING:
    from labhost import Host

pytestmark = pytest.mark.long

SPEC = """\
repositories:
  vault: {url: /srv/vault, password_file: /root/vault.password}
"""
POLICY = "backup: {repository: vault, schedule: minutely, keep: {last: 1}}"


def findings(site: Host) -> dict[str, dict[str, str]]:
    """Return what `check` says of backups, by its names."""
    told = json.loads(site.kvmkeep("check", "--json").stdout)["findings"]
    return {one["name"]: one for one in told if one["name"].startswith("backup")}


def test_who_is_due_what_is_kept_and_what_check_says(site: Host) -> None:
    site.must("umask 077; head -c 33 /dev/urandom | base64 > /root/vault.password")
    site.must("cat >> /etc/kvmkeep/host.yaml", text=SPEC)
    site.must(f"echo '{POLICY}' >> /etc/kvmkeep/guests/alpha.yaml")
    told = findings(site)
    assert told["backup-missing"]["subject"] == "guest alpha"
    assert told["backups-not-scheduled"]["todo"] == "kvmkeep install-units"
    ours(site, "backup", "init", "vault")
    ours(site, "backup", "run", "--due")
    (first,) = backups(site)
    assert "backup-missing" not in findings(site)
    row = site.kvmkeep("list", "-l", "alpha").stdout
    assert "backup" in row.lower()
    assert "0 h" in row
    ours(site, "install-units", "--yes")
    timers = site.must("systemctl list-timers --all --no-pager")
    for name in ("kvmkeep-backup.timer", "kvmkeep-prove.timer", "kvmkeep-prune.timer"):
        assert name in timers
        site.must(f"systemd-analyze verify --man=no {name.replace('timer', 'service')}")
    # The timer of the backups comes each minute: what it starts is what is waited for here.
    site.until(
        "kvmkeep backup list > /root/list; grep -q alpha@ /root/list &&"
        f" ! grep -q {first['moment']} /root/list",
        limit=900,
        what="a newer backup, and the older one forgotten",
    )
    site.must("systemctl stop kvmkeep-backup.timer")
    site.until(
        "systemctl show -p ActiveState kvmkeep-backup.service | grep -q =inactive",
        limit=900,
        what="the end of the run of backups",
    )
    (second,) = backups(site)
    assert second["moment"] > first["moment"]
    assert site.run("systemctl is-failed --quiet kvmkeep-backup.service").returncode != 0
    refused = site.kvmkeep("backup", "forget", f"alpha@{second['moment']}", "--yes")
    assert refused.returncode == 4
    assert "the last one" in refused.stderr
    ours(site, "backup", "prune")
    ours(site, "backup", "verify", "--data", "100")
    assert "backups-not-scheduled" in findings(site)  # its timer was stopped
    site.must("find /srv/vault/data -type f -size +100k -print -quit | xargs truncate -s -1k")
    bad = site.kvmkeep("backup", "verify", "--data", "100")
    assert bad.returncode == 7, bad.stderr
    ours(site, "uninstall-units", "--yes")
    assert site.run("ls /etc/systemd/system | grep kvmkeep-backup").stdout == ""
