"""Backups of alpha on the lab's host, and what must never be left of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labhost import Host

    from lab.machine import Result

LONG = 1500


def ours(site: Host, *words: str) -> str:
    done = site.kvmkeep(*words, limit=LONG)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def fails(site: Host, code: int, *words: str) -> str:
    """Demand that kvmkeep ends so, and return what it said, on one line."""
    done = site.kvmkeep(*words, limit=LONG)
    print(done.stdout, done.stderr)  # noqa: T201 - seen where the test fails
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return " ".join(done.stderr.split())


def backups(site: Host) -> list[dict[str, Any]]:
    return json.loads(ours(site, "backup", "list", "--json"))["backups"]


def store(site: Host, **words: str | bool) -> None:
    """Have the spec back alpha up into that repository."""
    vault = json.dumps({"password_file": "/root/vault.password", **words})
    site.must(
        "cd /etc/kvmkeep && sed -i '/^repositories:/d' host.yaml && sed -i '/^backup:/d' guests/alpha.yaml &&"
        " cat >> host.yaml && echo 'backup: {repository: vault, keep: {last: 1}}' >> guests/alpha.yaml",
        text=f"repositories: {{vault: {vault}}}\n",
    )


def keys(site: Host, **variables: str) -> None:
    site.must(
        "umask 077; cat > /root/backup.keys",
        text="".join(f"{name}={variables[name]}\n" for name in variables),
    )


def nothing_is_left(site: Host) -> None:
    """Demand that no set, no file and no process of a backup or a proof is there."""
    assert "kvmkeep.backup=" not in site.must("lvs --noheadings -o lv_tags rl_build")
    assert site.run("find /var/lib/kvmkeep/backup -type f").stdout == ""
    assert site.run("pgrep -a -x restic; pgrep -a -f '[b]locks send|[b]in/borg '").stdout == ""
    assert (
        site.run("virsh list --all --name | grep proof; grep /run/kvmkeep /proc/mounts").stdout
        == ""
    )


def begin(site: Host) -> None:
    """Begin a slow backup, and return once its first disk is stored and the next is read."""
    site.must("rm -f /root/code")
    site.must(
        "(kvmkeep backup run alpha; echo $? > /root/code) >/root/said 2>&1 </dev/null & echo $! > /root/run"
    )
    done = "find /var/lib/kvmkeep/backup -name '*.blocks.done' | grep ."
    site.until(f"{done} && pgrep -f '[b]locks send'", limit=LONG, what="a disk to be stored")


def ended(site: Host) -> Result:
    site.until("test -s /root/code", limit=LONG, what="the backup to end")
    done = site.run("cat /root/said; exit $(cat /root/code)")
    print(done.stdout)  # noqa: T201 - seen where the test fails
    return done
