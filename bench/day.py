"""An administrator's day, in the lab: snapshot, revert, clone and growth of a guest's three disks.

The other side is what one would type, without any look before or after. Both begin with the
same running guest, and where it has to be back in the end, it is waited for in the same way.
How long the guest stood still is told by libvirt's own events.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from bench.clock import interleaved
from bench.figure import BenchError, Figure, Sample, Unit, compared
from bench.lab_spec import host_yaml
from bench.labhost import LabHost, shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PART = "day"
_MOST = 3
_PLACE = "/root/bench-day"
_SPEC = f"{_PLACE}/spec"
_EVENTS = f"{_PLACE}/events"
_NAME, _COPY = "bench-day", "bench-copy"
_DISKS = ("", "-data", "-logs")
_PING = '{"execute":"guest-ping"}'
_GUEST = """\
image: tiny
vcpus: 1
memory: 256MiB
disks: {{root: 1GiB, data: 256MiB, logs: 128MiB}}
nics: [{{network: internal, address: 10.5.68.7/24}}]
login: {{user: root, ssh_keys: ["{key}"]}}
run: {{start_timeout: 20min}}
"""


def _each(line: str) -> str:
    """Return a line of shell for each disk of the guest; `@` is what its LV's name ends with."""
    return "\n".join(line.replace("@", disk) for disk in _DISKS)


def _ready(name: str) -> str:
    ping = f"virsh -q qemu-agent-command {name} '{_PING}' >/dev/null 2>&1"
    return f"for _ in $(seq 600); do {ping} && break; sleep 1; done; {ping}"


_OFF = f"until [ \"$(virsh domstate {_NAME})\" = 'shut off' ]; do sleep 1; done"
_FREEZE, _THAW = (
    f'virsh -q qemu-agent-command {_NAME} \'{{"execute":"guest-fsfreeze-{word}"}}\''
    for word in ("freeze", "thaw")
)
_BARE_SNAPSHOT = f"""
{_FREEZE} && virsh -q suspend {_NAME}
{_each(f"lvcreate -q -s -l 100%ORIGIN -n vm-{_NAME}@-bare rl_build/vm-{_NAME}@")}
virsh -q resume {_NAME} && {_THAW}
"""
_DD_BACK = f"""
virsh -q shutdown {_NAME}; {_OFF}
{_each(f"dd if={_PLACE}/disk@.img of=/dev/rl_build/vm-{_NAME}@ bs=4M conv=fsync status=none")}
virsh -q start {_NAME}; {_ready(_NAME)}
"""
_DATA = f"/dev/rl_build/vm-{_NAME}-data"


def _inside(command: str) -> str:
    """Return what runs a command in the guest, over its VLAN."""
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    there = f"ip netns exec campus ssh -i {_PLACE}/key {options} root@10.5.68.7"
    return f"{there} 'export PATH=/sbin:/bin:/usr/sbin:/usr/bin; {command}'"


_BARE_GROWTH = f"""
lvextend -q -L +32m rl_build/vm-{_NAME}-data
virsh -q blockresize {_NAME} {_DATA} $(blockdev --getsize64 {_DATA})b
{_inside("resize2fs /dev/vdb")}
"""
_SYSPREP = "machine-id,ssh-hostkeys,net-nmconn,dhcp-client-state,logfiles"
_BARE_CLONE = f"""
virsh -q suspend {_NAME}
lvcreate -q -y -Wy -n vm-{_COPY} -L 1g rl_build
lvcreate -q -y -Wy -n vm-{_COPY}-data -L 256m rl_build
lvcreate -q -y -Wy -n vm-{_COPY}-logs -L 128m rl_build
{_each(f"qemu-img convert -n -U -f raw -O raw /dev/rl_build/vm-{_NAME}@ /dev/rl_build/vm-{_COPY}@")}
virsh -q resume {_NAME}
virt-sysprep -q --format raw -a /dev/rl_build/vm-{_COPY} --operations {_SYSPREP}
virsh dumpxml --inactive {_NAME} | sed -e 's/{_NAME}/{_COPY}/g' -e '/<uuid>/d' \\
  -e '/<mac address/d' -e '/<metadata>/,/<\\/metadata>/d' >{_PLACE}/copy.xml
virsh -q define {_PLACE}/copy.xml; virsh -q start {_COPY}; {_ready(_COPY)}
"""
_UNDO_COPY = f"""
virsh destroy {_COPY}; virsh undefine {_COPY}
{_each(f"lvremove -q -y rl_build/vm-{_COPY}@")}
rm -f {_SPEC}/guests/{_COPY}.yaml /root/kvm/{_COPY}.xml /var/log/libvirt/qemu/{_COPY}-console.log*
udevadm settle
"""
_UNDO_SETS = f"""
for lv in $(lvs --noheadings -o lv_name --select 'origin=~"^vm-{_NAME}"' rl_build); do
  lvremove -q -y rl_build/$lv
done
udevadm settle
"""
_MERGED = """
until [ -z "$(lvs -a --noheadings -o lv_name --select lv_merging=merging rl_build)" ]; do
  sleep 1
done
"""
_UNDO = f"""
{_UNDO_COPY}
virsh destroy {_NAME}; virsh undefine {_NAME}
{_UNDO_SETS}
{_each(f"lvremove -q -y rl_build/vm-{_NAME}@")}
for name in virbr1.2368 ens802f1.2368; do nmcli connection delete "$name"; done
rm -rf /root/kvm/{_NAME}.xml /var/log/libvirt/qemu/{_NAME}-console.log* {_PLACE}
"""


def measure(host: LabHost, repetitions: int) -> Iterator[Figure]:
    """Measure all of it, several times; what was measured stays where a later one fails."""
    most = max(1, min(_MOST, repetitions))
    try:
        _prepare(host)
        # Growth comes last: the other sides know the disks' first sizes.
        for part in (_snapshots, _reverts, _clones, _growths):
            yield from part(host, most)
    finally:
        host.quietly(_UNDO)


def _snapshots(host: LabHost, repetitions: int) -> list[Figure]:
    still: dict[str, list[float]] = {"ours": [], "theirs": []}
    sides: dict[str, Callable[[], float]] = {
        "theirs": lambda: _timed(host, _BARE_SNAPSHOT, _UNDO_SETS, still["theirs"]),
        "ours": lambda: _timed(host, _ours(f"snapshot create {_NAME}"), _UNDO_SETS, still["ours"]),
    }
    times = interleaved(sides, repetitions)
    return [
        compared(
            PART,
            "snapshot of a running guest, three disks",
            "virsh, lvcreate",
            times["ours"],
            times["theirs"],
            remark="kvmkeep's side starts Python, looks at the host before and after, and has a "
            "guard that thaws the guest if kvmkeep is killed",
        ),
        _pause("of it the guest stood still", "virsh, lvcreate", still),
    ]


def _reverts(host: LabHost, repetitions: int) -> list[Figure]:
    def ours() -> float:
        host.must(_ours(f"snapshot create {_NAME}"))
        told = host.must(_ours(f"snapshot list --json {_NAME}"))
        name = json.loads(told)["sets"][-1]["set"]
        return _timed(host, _ours(f"snapshot revert --yes --shutdown {_NAME} {name}"), _MERGED)

    times = interleaved(
        {"ours": ours, "theirs": lambda: _timed(host, _DD_BACK, "true")}, repetitions
    )
    return [
        compared(
            PART,
            "revert of three disks (1.4 GiB), until the guest is ready again",
            "shutdown, dd back of images, start",
            times["ours"],
            times["theirs"],
            remark="LVM still copies old blocks back while the guest runs again",
        )
    ]


def _clones(host: LabHost, repetitions: int) -> list[Figure]:
    still: dict[str, list[float]] = {"ours": [], "theirs": []}
    clone = _ours(f"clone --yes {_NAME} {_COPY} --address internal=10.5.68.8/24")
    sides: dict[str, Callable[[], float]] = {
        "theirs": lambda: _timed(host, _BARE_CLONE, _UNDO_COPY, still["theirs"]),
        "ours": lambda: _timed(host, clone, _UNDO_COPY, still["ours"]),
    }
    times = interleaved(sides, repetitions)
    against = "qemu-img convert, virt-sysprep, virsh (as virt-clone)"
    return [
        compared(
            PART,
            "clone of a running guest, three disks, until it is ready",
            against,
            times["ours"],
            times["theirs"],
            remark="virt-clone itself is not in the lab; as it does, the other side suspends the "
            "guest while its disks are copied. Its clone has the guest's addresses",
        ),
        _pause("of it the guest stood still", against, still),
    ]


def _growths(host: LabHost, repetitions: int) -> list[Figure]:
    def ours() -> float:
        size = int(host.must(f"blockdev --getsize64 {_DATA}")) >> 20
        host.must(f"sed -i 's/data: [0-9]*MiB/data: {size + 32}MiB/' {_SPEC}/guests/{_NAME}.yaml")
        return _timed(host, _ours("apply --yes"), "true")

    mount = "mkdir -p /mnt && mount -t ext4 /dev/vdb /mnt"
    host.must(_inside(f"/sbin/mke2fs -q -t ext4 /dev/vdb && {mount}"))
    times = interleaved(
        {"ours": ours, "theirs": lambda: _timed(host, _BARE_GROWTH, "true")}, repetitions
    )
    return [
        compared(
            PART,
            "growth of a mounted disk of a running guest",
            "lvextend, virsh blockresize, ssh resize2fs",
            times["ours"],
            times["theirs"],
            remark="kvmkeep's side looks at the host before and after, zeroes what the LV gets, "
            "and looks in the guest whether the room is there",
        )
    ]


def _pause(name: str, against: str, still: dict[str, list[float]]) -> Figure:
    ours, theirs = (Sample(tuple(still[side]), Unit.SECONDS) for side in ("ours", "theirs"))
    return compared(PART, name, against, ours, theirs)


def _prepare(host: LabHost) -> None:
    host.quietly(_UNDO)
    key = host.key_pair(_PLACE)
    host.put(f"{_SPEC}/host.yaml", host_yaml())
    host.put(f"{_SPEC}/guests/{_NAME}.yaml", _GUEST.format(key=key))
    host.must(_ours("apply --yes"))
    host.must(f"virsh -q shutdown {_NAME}; {_OFF}")
    host.must(_each(f"dd if=/dev/rl_build/vm-{_NAME}@ of={_PLACE}/disk@.img bs=4M status=none"))
    host.must(f"virsh -q start {_NAME}; {_ready(_NAME)}")


def _ours(words: str) -> str:
    return f"kvmkeep --spec {_SPEC} {words}"


def _timed(host: LabHost, lines: str, undo: str, still: list[float] | None = None) -> float:
    """Return the seconds that some lines take; note those in which the guest stood still."""
    host.must(
        f"virsh event --domain {_NAME} --event lifecycle --loop --timestamp >{_EVENTS} 2>&1"
        f" </dev/null & echo $! >{_PLACE}/watcher"
    )
    log = f"{_PLACE}/log"
    # A shell of its own: `set -e` means nothing on the left of `||` (bash(1)).
    run = f"bash -ec {shlex.quote(lines)} >{log} 2>&1 </dev/null"
    timed = f"{run} || {{ tail -n 30 {log} >&2; exit 1; }}"
    try:
        seconds = host.time([shell(timed)], cold=False)[0]
    finally:
        host.must(f"kill $(cat {_PLACE}/watcher); true")
    if still is not None:
        still.append(_stood_still(host.must(f"cat {_EVENTS}")))
    host.quietly(undo)
    return seconds


def _stood_still(events: str) -> float:
    """Return the seconds between two events: 2026-11-23 07:10:34.123+0000: event 'lifecycle' ..."""
    found = [
        re.search(rf"(\d+):(\d+):(\d+\.\d+)\+.*'{_NAME}': {word}", events)
        for word in ("Suspended", "Resumed")
    ]
    if None in found:
        raise BenchError(f"libvirt told of no suspending and resuming:\n{events}")
    begin, end = (
        int(one[1]) * 3600 + int(one[2]) * 60 + float(one[3]) for one in found if one is not None
    )
    return (end - begin) % 86400
