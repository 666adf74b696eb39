"""Killed anywhere, run again, it converges: a sample of every kind of step, on the real thing."""

from __future__ import annotations

from labhost import TINY_YAML, Host

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


def arm(host: Host, when: str, pattern: str) -> None:
    """Say at which command the next run is struck, once."""
    host.must("rm -rf /run/killed; cat > /run/kill-at", text=f"{when} {pattern}\n")


def plant_killers(host: Host) -> None:
    """Put a killer in the place of each program."""
    for program in PROGRAMS:
        # LVM's programs are told apart by their names, so each keeps its own.
        host.must(
            f"path=$(command -v {program}) && mv $path $path.real && cat > $path && chmod 755 $path",
            text=KILLER,
        )


def test_killed_at_each_kind_of_step_and_run_again_it_reaches_the_goal(host: Host) -> None:
    host.put_spec(GUESTS)
    arm(host, "never", "nothing")
    plant_killers(host)
    for when, pattern in POINTS:
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
