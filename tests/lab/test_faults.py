"""Killed anywhere, run again, it converges: a sample of every kind of step, on the real thing."""

from __future__ import annotations

import pytest
from labhost import HOST_YAML, QUICK, TINY_YAML, Host
from stand_in import plant

GUESTS = {
    "tiny": TINY_YAML.replace("ADDRESS", "10.5.68.5").replace("256MiB}", "256MiB, data: 64MiB}")
}
KILLER = """\
#!/bin/bash
# Stands in the place of a program: when the line matches, kills kvmkeep before or after it.
# What undoes a killed run's network change has systemd as its parent, and is let through.
read -r when pattern < /run/kill-at
run() { (exec -a "$0" "$0.real" "$@"); }
parent=$(tr '\\0' ' ' < /proc/$PPID/cmdline)
if [[ $parent == *'kvmkeep apply'* && "${0##*/} $*" == *$pattern* ]] &&
    mkdir /run/killed 2>/dev/null; then
    [[ $when == after ]] && run "$@"
    [[ $when == fail ]] && exit 77
    pkill -KILL -f '[k]vmkeep apply'
    [[ $when == during ]] && run "$@"
    exit 1
fi
exec -a "$0" "$0.real" "$@"
"""
# In the order in which a run comes by: each run gets as far as the next of them.
POINTS = [
    ("after", "guestfish --ro"),
    ("before", "nmcli connection add"),
    ("after", "nmcli --wait"),
    ("before", "CheckpointDestroy"),
    ("after", "lvcreate"),
    ("during", "qemu-img convert"),
    ("before", "blkdiscard"),
    ("after", "virsh define"),
    ("after", "xorriso"),
    ("fail", "virsh start"),
    ("after", "virsh start"),
    ("before", "guest-ping"),
    ("after", "--eject"),
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


LATE = TINY_YAML.replace("ADDRESS", "10.5.68.6").replace(
    "nics: [", "nics: [{network: late, address: 10.9.0.6/24}, "
)
LATE_HOST = HOST_YAML.replace(
    "networks:\n", f"networks:\n  late: {{vlan: 2400, cidr: 10.9.0.0/24{QUICK}}}\n"
)
STRIKER = """\
#!/bin/bash
# Stands in the place of a program: kills a daemon before a command that needs it, once each.
shopt -s nullglob
for strike in /run/strikes/*; do
    read -r daemon pattern < "$strike"
    if [[ "${0##*/} $*" == *$pattern* ]] && mv "$strike" /run/struck/ 2>/dev/null; then
        systemctl kill --signal=KILL "$daemon"
    fi
done
exec -a "$0" "$0.real" "$@"
"""
STRIKES = (
    "NetworkManager nmcli connection add",
    "NetworkManager CheckpointDestroy",
    "libvirtd virsh define",
    "virtlogd virsh start",
    "libvirtd virsh start",
    "libvirtd guest-ping",
    "libvirtd --eject",
)
RUNS = 2 * len(STRIKES)
"""A strike may end a run, and the next may have to wait until what it left has passed."""


def arm(host: Host, when: str, pattern: str) -> None:
    """Say at which command the next run is struck, once."""
    host.must("rm -rf /run/killed; cat > /run/kill-at", text=f"{when} {pattern}\n")


@pytest.mark.long
@pytest.mark.parametrize("points", [POINTS])
def test_killed_at_each_kind_of_step_and_run_again_it_reaches_the_goal(
    host: Host, points: list[tuple[str, str]]
) -> None:
    host.put_spec(GUESTS)
    arm(host, "never", "nothing")
    plant(host, KILLER, PROGRAMS)
    for when, pattern in points:
        arm(host, when, pattern)
        broken = host.kvmkeep("apply", "--yes")
        struck = host.run("test -e /run/killed").returncode == 0
        told = f"{when} {pattern}\n{broken.stdout}{broken.stderr}"
        assert struck, f"no command matched: {told}"
        assert (broken.returncode == 7) == (when == "fail"), told
        assert broken.returncode != 0, told
        assert "Traceback" not in told
        if when == "fail":
            assert "kvmkeep apply" in broken.stderr, told
    host.apply()
    assert host.must("virsh domstate tiny").strip() == "running"
    assert host.ssh("root", "10.5.68.5", "hostname").strip() == "tiny"
    tags = host.must("lvs --noheadings -o lv_tags rl_build/vm-tiny rl_build/vm-tiny-data")
    assert "state" not in tags
    assert host.must("ls /var/lib/kvmkeep/seed").strip() == ""
    assert ".part" not in host.must("find /var/lib/kvmkeep /root/kvm")
    assert sorted(host.must("virsh list --all --name").split()) == ["legacy", "tiny"]
    checkpoints = "busctl get-property org.freedesktop.NetworkManager /org/freedesktop/NetworkManager org.freedesktop.NetworkManager Checkpoints"
    assert host.must(checkpoints).split() == ["ao", "0"]
    assert host.kvmkeep("plan", "--exit-code").returncode == 0


@pytest.mark.long
def test_daemons_killed_at_the_steps_that_need_them_cost_a_run_at_most(host: Host) -> None:
    """A guest on a new network is made while NetworkManager, libvirtd and virtlogd die."""
    host.put_spec(GUESTS)
    host.apply()
    process = host.qemu_pid("tiny")
    host.put_spec({**GUESTS, "late": LATE}, LATE_HOST)
    host.must("rm -rf /run/strikes /run/struck; mkdir /run/strikes /run/struck")
    for number, strike in enumerate(STRIKES):
        host.must(f"cat > /run/strikes/{number}", text=f"{strike}\n")
    plant(host, STRIKER, PROGRAMS)
    told = []
    for _ in range(RUNS):
        done = host.kvmkeep("apply", "--yes")
        told.append(f"{done.returncode}\n{done.stdout}{done.stderr}")
        assert "Traceback" not in told[-1]
        if done.returncode == 0:
            break
        assert done.returncode in {5, 7}, told[-1]
        assert "kvmkeep apply" in done.stderr or done.returncode == 5, told[-1]
    assert done.returncode == 0, told[-1]
    assert host.must("ls /run/strikes") == "", "\n\n".join(told)
    assert host.qemu_pid("tiny") == process
    assert host.must("virsh domstate late").strip() == "running"
    assert host.ssh("root", "10.5.68.6", "hostname").strip() == "late"
    assert host.must("ls /var/lib/kvmkeep/seed").strip() == ""
    assert host.kvmkeep("plan", "--exit-code").returncode == 0
