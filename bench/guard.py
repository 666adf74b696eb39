"""What a backup costs, the guest that it is of as well, and how soon one is proven, in the lab.

The guest writes and waits until it is on the disk, again and again, while its backup runs and while
none does. The other side of a first backup is virtnbdbackup's full one. That of the proof is what
shows as much by hand: bring the disks back, and start a guest from them.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from typing import TYPE_CHECKING

from bench.clock import interleaved
from bench.figure import BenchError, Figure, compared
from bench.lab_spec import host_yaml
from bench.labhost import LabHost, shell

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = "guard"
GOAL_P99 = 1.2
GOAL_PROOF = 1.0

_MOST = 2
_PLACE = "/root/bench-guard"
_SPEC = f"{_PLACE}/spec"
_NAME, _COPY = "bench-guard", "bench-back"
_DISKS = {"root": "", "data": "-data"}
_OTHER = "virtnbdbackup/trixie"
"""2.28. Debian 12's own, 1.9.15, skips LVs whatever is said (its issue 111)."""
_LEAST = 200
"""Of fewer writes, no hundredth part can be told."""
_REPOSITORY = f"""\
repositories:
  vault: {{url: {_PLACE}/vault, password_file: {_PLACE}/password}}
"""
_GUEST = """\
image: tiny
vcpus: 1
memory: 256MiB
disks: {{root: 1GiB, data: 256MiB}}
nics: [{{network: internal, address: 10.5.68.7/24}}]
login: {{user: root, ssh_keys: ["{key}"]}}
run: {{start_timeout: 20min}}
backup: {{repository: vault}}
"""
_KVMKEEP = f"kvmkeep --spec {_SPEC}"
_RESTIC = f"restic --quiet --no-lock --repo={_PLACE}/vault --password-file={_PLACE}/password"
_SSH = (
    f"ip netns exec campus ssh -i {_PLACE}/key -o StrictHostKeyChecking=no"
    " -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@10.5.68.7"
)
_WRITES = """
export PATH=/sbin:/bin:/usr/sbin:/usr/bin
rm -f /run/stop; i=0
while [ ! -e /run/stop ] && [ $i -lt 1000 ]; do
  before=$EPOCHREALTIME
  dd if=/dev/zero of=/dev/vdb bs=4k count=1 seek=$((i % 16384)) conv=notrunc,fsync 2>/dev/null
  echo "write $before $EPOCHREALTIME"
  i=$((i + 1))
done
"""
_UNDO_COPY = f"""
virsh destroy {_COPY}; virsh undefine {_COPY}
for disk in {" ".join(f"vm-{_COPY}{end}" for end in _DISKS.values())}; do
  lvremove -q -y rl_build/$disk
done
rm -f /var/log/libvirt/qemu/{_COPY}-console.log*; udevadm settle
"""
_UNDO = f"""
{_UNDO_COPY}
virsh destroy {_NAME}; virsh undefine {_NAME}
for disk in {" ".join(f"vm-{_NAME}{end}" for end in _DISKS.values())}; do
  lvremove -q -y rl_build/$disk
done
for name in virbr1.2368 ens802f1.2368; do nmcli connection delete "$name"; done
rm -rf /root/kvm/{_NAME}.xml /var/log/libvirt/qemu/{_NAME}-console.log* {_PLACE}
"""


def measure(host: LabHost, repetitions: int) -> Iterator[Figure]:
    """Measure all, a few times."""
    most = max(1, min(_MOST, repetitions))
    try:
        _prepare(host)
        yield _writes(host, most)
        yield _first_backups(host, most)
        yield _proofs(host, most)
    finally:
        host.quietly(_UNDO)


def _prepare(host: LabHost) -> None:
    host.quietly(_UNDO)
    key = host.key_pair(_PLACE)
    host.must(f"umask 077; head -c 33 /dev/urandom | base64 > {_PLACE}/password")
    host.put(f"{_SPEC}/host.yaml", host_yaml(", forward_delay: 2") + _REPOSITORY)
    host.put(f"{_SPEC}/guests/{_NAME}.yaml", _GUEST.format(key=key))
    host.must(f"{_KVMKEEP} apply --yes && {_KVMKEEP} backup init vault")
    host.install(_OTHER)


def _writes(host: LabHost, repetitions: int) -> Figure:
    """Compare the slowest hundredth of a guest's writes beside a backup with that without."""

    def written(before: str) -> float:
        return p99(host.must(f"{before}{_SSH} {shlex.quote(_WRITES)}; wait"))

    def ours() -> float:
        run = f"{_KVMKEEP} backup run {_NAME} >{_PLACE}/log 2>&1"
        return written(f"({run}; {_SSH} touch /run/stop) & ")

    times = interleaved({"theirs": lambda: written(""), "ours": ours}, repetitions)
    return compared(
        PART,
        "p99 of a guest's 4 KiB write with fsync, its backup running",
        "no backup",
        times["ours"],
        times["theirs"],
        limit=GOAL_P99,
        remark="each write is to a part of the disk that was not written since the snapshot, so "
        "LVM copies what was there first, and is a dd of its own, whose start counts; guest, "
        "kvmkeep and restic share one emulated processor",
    )


def p99(said: str) -> float:
    """Return the 99th percentile of what each write took, in seconds."""
    times = re.findall(r"^write ([0-9.]+) ([0-9.]+)$", said, re.MULTILINE)
    found = sorted(float(after) - float(before) for before, after in times)
    if len(found) < _LEAST:
        raise BenchError(f"only {len(found)} writes were seen:\n{said[-500:]}")
    return found[math.ceil(0.99 * len(found)) - 1]


def _first_backups(host: LabHost, repetitions: int) -> Figure:
    """Compare the first backup of a running guest with virtnbdbackup's full one."""
    empty = f"rm -rf {_PLACE}/vault {_PLACE}/full && {_KVMKEEP} backup init vault"

    def seconds(line: str) -> float:
        return host.time([shell(line)], [shell(empty)])[0]

    times = interleaved(
        {
            "theirs": lambda: seconds(f"virtnbdbackup -d {_NAME} -l copy --raw -o {_PLACE}/full"),
            "ours": lambda: seconds(f"{_KVMKEEP} backup run {_NAME}"),
        },
        repetitions,
    )
    return compared(
        PART,
        "first backup of a running guest with two disks (1.25 GiB)",
        "virtnbdbackup -l copy --raw",
        times["ours"],
        times["theirs"],
        remark="the other side copies to a directory: nothing is packed, encrypted or hashed, and "
        "raw disks have no later run that is shorter",
    )


def _proofs(host: LabHost, repetitions: int) -> Figure:
    """Compare a proof with bringing the disks back and starting a guest from them."""
    host.must(f"{_KVMKEEP} backup run {_NAME}")
    shown = json.loads(host.must(f"{_KVMKEEP} backup show {_NAME} --json"))["manifest"]["disks"]
    lines = [
        _brought_back(one["disk"], one["object"], one["path"], one["size"]["bytes"])
        for one in shown
    ]
    by_hand = "\n".join((*lines, _STARTED))

    def theirs() -> float:
        seconds = host.time([shell(f"set -e; {by_hand}")], cold=True)[0]
        host.quietly(_UNDO_COPY)
        return seconds

    times = interleaved(
        {
            "theirs": theirs,
            "ours": lambda: host.time([shell(f"{_KVMKEEP} backup prove {_NAME}")], cold=True)[0],
        },
        repetitions,
    )
    return compared(
        PART,
        "proof of a guest with two disks (1.25 GiB)",
        "restic dump | dd, virsh define, start, agent answers",
        times["ours"],
        times["theirs"],
        limit=GOAL_PROOF,
        remark="the proof checks the repository and each block, and the filesystems in a virtual "
        "machine of libguestfs; the other side looks at nothing but the agent",
    )


def _brought_back(disk: str, one: str, path: str, size: int) -> str:
    volume = f"vm-{_COPY}{_DISKS[disk]}"
    write = "bs=4M conv=fsync iflag=fullblock status=none"
    return (
        f"lvcreate -q -y -Wy -n {volume} -L {size}b rl_build\n"
        f"{_RESTIC} dump {one} {path} | dd of=/dev/rl_build/{volume} {write}"
    )


_STARTED = f"""
virsh dumpxml --inactive {_NAME} | sed -e 's/{_NAME}/{_COPY}/g' -e '/<uuid>/d' \\
  -e '/<interface/,/<\\/interface>/d' -e '/<metadata>/,/<\\/metadata>/d' >{_PLACE}/back.xml
virsh -q define {_PLACE}/back.xml; virsh -q start {_COPY}
ping() {{ virsh -q qemu-agent-command {_COPY} '{{"execute":"guest-ping"}}' >/dev/null 2>&1; }}
for _ in $(seq 900); do ping && break; sleep 1; done; ping
"""
