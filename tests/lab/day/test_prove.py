"""A guest's backup is started beside the guest, which can't notice it, and nothing stays behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from labhost import Host

    from lab.machine import Result

pytestmark = pytest.mark.long

ALPHA = "10.5.68.11"
REPOSITORY = "\nrepositories: {vault: {url: /srv/vault, password_file: /root/backup.password}}\n"
BACKUP = "\nbackup: {repository: vault, check: [/bin/grep, -q, precious, /root/mark]}\n"
PROOF = "kvmkeep-proof-alpha"
LONG = 900


@pytest.fixture(scope="module")
def backed_up(site: Host) -> Host:
    """Return the host with a backup of alpha, made while it ran, and changed since."""
    site.must(f"cat >> /etc/kvmkeep/host.yaml <<'E'{REPOSITORY}E")
    site.must(f"cat >> /etc/kvmkeep/guests/alpha.yaml <<'E'{BACKUP}E")
    site.must("umask 077; echo canary-of-the-repository > /root/backup.password")
    site.ssh("root", ALPHA, "echo precious > /root/mark; sync")
    site.must("kvmkeep backup init vault && kvmkeep backup run alpha", limit=LONG)
    site.ssh("root", ALPHA, "echo changed > /root/mark; sync")
    return site


def left(site: Host) -> str:
    """Return what there is of a proof beside its verdict."""
    return site.must(
        "lvs --noheadings -o lv_name --select 'lv_tags=~\"kvmkeep.proof\"' rl_build;"
        f"virsh list --all --name | grep {PROOF}; ip -br link | grep kkproof;"
        "grep /run/kvmkeep/proof /proc/mounts; systemctl list-units --plain --no-legend 'kvmkeep-proof*';"
        "find /run/kvmkeep/proof /var/lib/kvmkeep/proof -mindepth 2 2>/dev/null;"
        f"ls /var/log/libvirt/qemu | grep {PROOF}; pgrep -a restic; true"
    ).strip()


def verdict(site: Host) -> dict[str, Any]:
    proof: dict[str, Any] = json.loads(
        site.must("cat $(ls -t /var/lib/kvmkeep/proofs/alpha/*.json | head -1)")
    )
    return proof


def prove(site: Host) -> Result:
    done = site.kvmkeep("backup", "prove", "alpha", limit=LONG)
    print(done.stdout, done.stderr)  # noqa: T201 - seen where the test fails
    return done


def test_a_killed_proof_is_taken_down_and_the_next_one_is_good(backed_up: Host) -> None:
    site, process = backed_up, backed_up.qemu_pid("alpha")
    site.must("cd / && (setsid kvmkeep backup prove alpha > /root/first.log 2>&1 &)")
    site.until(f"virsh list --name | grep {PROOF}", limit=LONG, what="the guest of the proof runs")
    # It is nobody's guest, and its bridge takes no frame.
    assert PROOF not in site.must("kvmkeep list; kvmkeep list --json; kvmkeep status; true")
    bridge = site.must("ls /sys/class/net | grep kkproof").strip()
    site.until(f"ls /sys/class/net/{bridge}/brif | grep vnet", limit=60, what="its card is a port")
    states = site.must(
        f"cat /sys/class/net/{bridge}/flags /sys/class/net/{bridge}/statistics/rx_packets"
        f" /sys/class/net/{bridge}/brif/*/state; ip -br address show dev {bridge}"
    ).split()
    assert int(states[0], 16) & 1 == 0, "the bridge is up"
    assert states[1:3] == ["0", "0"], states
    assert [one for one in states if "." in one or "::" in one] == []
    site.must("pkill -KILL -f '^/usr/bin/python3 -m kvmkeep backup prove'")
    assert PROOF in left(site)
    done = prove(site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "take down what is left" in done.stderr
    proof = verdict(site)
    rungs = {one["name"]: one["held"] for one in proof["rungs"]}
    assert proof["proven"], proof
    assert all(rungs.values())
    assert {
        "repository", "blocks-root", "blocks-data", "blocks-logs", "partitions", "filesystems",
        "start", "agent", "mounts", "check",
    } <= rungs.keys()  # fmt: skip
    assert "login:" in site.must(f"cat {proof['screen']}")
    assert left(site) == ""
    assert site.qemu_pid("alpha") == process
    assert site.ssh("root", ALPHA, "cat /root/mark").strip() == "changed"
    assert "canary" not in site.must(
        "journalctl --no-pager -b; cat /var/lib/kvmkeep/journal/*; true"
    )


def test_a_flipped_bit_in_the_repository_is_found_and_named(backed_up: Host) -> None:
    site = backed_up
    pack = site.must("ls -S /srv/vault/data/*/* | head -1").strip()
    flip = (
        "import sys; f = open(sys.argv[1], 'r+b'); f.seek(200000); b = f.read(1)[0];"
        "f.seek(200000); f.write(bytes([b ^ 16]))"
    )
    site.must(f'cp -p {pack} /root/pack; chmod u+w {pack}; python3 -c "{flip}" {pack}')
    # A proof waits twice as long for a guest that may not come up from such disks.
    site.must("sed -i 's/start_timeout: 5min/start_timeout: 90s/' /etc/kvmkeep/guests/alpha.yaml")
    done = prove(site)
    site.must("sed -i 's/start_timeout: 90s/start_timeout: 5min/' /etc/kvmkeep/guests/alpha.yaml")
    site.must(f"cp -p /root/pack {pack}")
    assert done.returncode == 9, done.stdout + done.stderr
    fallen = {one["name"]: one["detail"] for one in verdict(site)["rungs"] if not one["held"]}
    assert [name for name in fallen if name.startswith("blocks-")], fallen
    assert [words for words in fallen.values() if "can't be read" in words], fallen
    assert left(site) == ""


def test_a_file_and_a_disk_come_out_of_a_backup_while_the_guest_runs(backed_up: Host) -> None:
    site = backed_up
    site.must(
        "mkdir -p /root/out && kvmkeep backup copy-out alpha /root/mark /root/out", limit=LONG
    )
    assert site.must("cat /root/out/mark").strip() == "precious"
    site.must("kvmkeep backup restore alpha --disk root --to /root/out/root.raw", limit=LONG)
    found = site.must("debugfs -R 'cat /root/mark' '/root/out/root.raw?offset=1048576' 2>/dev/null")
    assert found.strip() == "precious"
    refused = site.kvmkeep("backup", "restore", "alpha", "--yes")
    assert refused.returncode == 4
    assert "it runs" in refused.stderr


def test_a_guest_gets_its_disks_back_and_what_was_there_lies_in_the_trash(backed_up: Host) -> None:
    site = backed_up
    site.must("kvmkeep shutdown alpha", limit=300)
    # A run that is killed in the middle is gone on with.
    site.must("cd / && (setsid kvmkeep backup restore alpha --yes > /root/killed.log 2>&1 &)")
    site.until("pgrep -f '[b]locks receive'", limit=LONG, what="a disk is being written")
    site.must("pkill -KILL -f '^/usr/bin/python3 -m kvmkeep backup restore'")
    assert site.kvmkeep("start", "alpha").returncode == 4
    assert "backup restore alpha@" in " ".join(site.kvmkeep("plan").stdout.split())
    site.must("kvmkeep backup restore alpha --yes", limit=LONG)
    site.must("kvmkeep start alpha", limit=600)
    assert site.ssh("root", ALPHA, "cat /root/mark").strip() == "precious"
    trash = site.must("lvs --noheadings -o lv_name rl_build | grep trash-").split()
    assert len(trash) == 3
    assert site.kvmkeep("plan", "--exit-code").returncode == 0


def test_a_guest_that_is_lost_comes_back_whole(backed_up: Host) -> None:
    site = backed_up
    site.must("kvmkeep shutdown alpha && kvmkeep remove alpha --yes", limit=600)
    assert "alpha" not in site.must("virsh list --all --name; ls /etc/kvmkeep/guests")
    site.must("kvmkeep backup restore alpha --yes", limit=LONG)
    site.must("kvmkeep start alpha", limit=600)
    assert site.ssh("root", ALPHA, "cat /root/mark").strip() == "precious"
    assert site.kvmkeep("plan", "--exit-code").returncode == 0
