"""Killed anywhere, run again, it converges: a sample of every kind of step, on the real thing."""

from __future__ import annotations

import pytest
from labhost import TINY_YAML, Host

GUESTS = {
    "tiny": TINY_YAML.replace("ADDRESS", "10.5.68.5").replace("256MiB}", "256MiB, data: 64MiB}")
}
KILLER = """\
#!/bin/bash
# Stands before the real program: when the line matches, kills kvmkeep before or after it.
read -r when pattern < /run/kill-at
line="$(basename "$0") $*"
real=REAL
if [[ $line == *$pattern* ]] && mkdir /run/killed 2>/dev/null; then
    [[ $when == after ]] && "$real" "$@"
    [[ $when == fail ]] && exit 77
    pkill -KILL -f '[k]vmkeep apply'
    [[ $when == during ]] && exec "$real" "$@"
    exit 1
fi
exec "$real" "$@"
"""
POINTS = [
    ("before", "guestfish"),
    ("after", "guestfish"),
    ("before", "nmcli connection add"),
    ("after", "nmcli connection add"),
    ("after", "nmcli --wait"),
    ("before", "CheckpointDestroy"),
    ("before", "lvcreate"),
    ("after", "lvcreate"),
    ("during", "qemu-img convert"),
    ("after", "qemu-img convert"),
    ("before", "blkdiscard"),
    ("after", "lvchange"),
    ("after", "virsh define"),
    ("before", "xorriso"),
    ("after", "xorriso"),
    ("after", "virsh change-media"),
    ("after", "virsh start"),
    ("before", "guest-ping"),
    ("before", "--eject"),
    ("after", "--eject"),
    ("fail", "qemu-img convert"),
    ("fail", "virsh start"),
    ("fail", "lvcreate"),
]
PROGRAMS = (
    "guestfish",
    "nmcli",
    "busctl",
    "lvcreate",
    "lvchange",
    "qemu-img",
    "blkdiscard",
    "virsh",
    "xorriso",
)


def arm(host: Host, when: str, pattern: str) -> None:
    """Put a killer in front of each program; it strikes once."""
    host.must("rm -rf /run/killed; cat > /run/kill-at", text=f"{when} {pattern}\n")
    for program in PROGRAMS:
        host.must(
            f'test -e /usr/local/bin/{program} || {{ sed "s|REAL|$(command -v {program})|"'
            f" > /usr/local/bin/{program} && chmod 755 /usr/local/bin/{program}; }}",
            text=KILLER,
        )


def disarm(host: Host) -> None:
    """Take the killers away again."""
    host.must("rm -f " + " ".join(f"/usr/local/bin/{program}" for program in PROGRAMS))


def remove_the_guest(host: Host) -> None:
    """Undo by hand what apply made, so that the next point begins from nothing."""
    host.must(
        "virsh destroy tiny; virsh undefine tiny; rm -rf /root/kvm /var/lib/kvmkeep;"
        "for lv in vm-tiny vm-tiny-data; do lvchange -an rl_build/$lv && lvremove rl_build/$lv; done;"
        "for c in virbr1.223 ens802f1.223 virbr1.2368 ens802f1.2368; do nmcli connection delete $c; done; true"
    )


@pytest.mark.parametrize(("when", "pattern"), POINTS)
def test_run_again_after_a_kill_reaches_the_goal(host: Host, when: str, pattern: str) -> None:
    remove_the_guest(host)
    host.put_spec(GUESTS)
    arm(host, when, pattern)
    broken = host.kvmkeep("apply", "--yes")
    struck = host.run("test -e /run/killed").returncode == 0
    disarm(host)
    assert struck, f"no command matched {pattern!r}\n{broken.stdout}{broken.stderr}"
    assert broken.returncode != 0
    if pattern.startswith(("nmcli", "Checkpoint")):
        host.until(
            "! busctl tree org.freedesktop.NetworkManager | grep -q Checkpoint/",
            limit=120,
            what="the rollback",
        )
    host.apply()
    assert host.must("virsh domstate tiny").strip() == "running"
    assert host.ssh("root", "10.5.68.5", "hostname").strip() == "tiny"
    tags = host.must("lvs --noheadings -o lv_tags rl_build/vm-tiny rl_build/vm-tiny-data")
    assert "state" not in tags
    assert host.must("ls /var/lib/kvmkeep/seed").strip() == ""
    assert ".part" not in host.must("find /var/lib/kvmkeep /root/kvm")
    assert host.must("virsh list --all --name").split() == ["tiny", "legacy"]
    assert host.kvmkeep("plan", "--exit-code").returncode == 0
