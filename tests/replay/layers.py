"""What is laid below the volume group of the lab's host, to log its writes and to write them again.

The mirror itself stays as it was at the beginning: all that is written goes to a snapshot of it, in
memory (dmsetup(8), snapshot). The log goes there too. The directories whose files must agree with the
group are mounted from a volume in it, so that there is one order for all that is written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.replay import log
from tests.replay.log import FUA, Entry

if TYPE_CHECKING:
    from labhost import Host

DIRECTORIES = ("/var/lib/kvmkeep", "/etc/libvirt/qemu", "/etc/kvmkeep", "/root/kvm")
_BELOW, _MEMORY, _STATE = "/dev/md0", "/mnt/replay", "/mnt/state"
_LOG, _SCRIPT = f"{_MEMORY}/log", "/root/replay.py"
_SERVICES = (
    "libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"
    " virtlogd.service virtlogd.socket"
)
_ONLY = 'devices {\\n  global_filter = [ "a|^/dev/mapper/replay$|", "r|.*|" ]\\n}\\n'
"""LVM sees the same group on the mirror, and on each layer: it may look at the uppermost only."""
_HOME = "mount /dev/rl_build/home /home"
_BIND = "\n".join(
    (
        f"mount /dev/rl_build/state {_STATE}",
        *(f"mount --bind {_STATE}{path} {path}" for path in DIRECTORIES),
    )
)
_UP = f"""
pvscan -q --cache > /dev/null; vgchange -qay rl_build > /dev/null; udevadm settle
{_HOME}
"""
_START = "systemctl start virtlogd.socket libvirtd.socket libvirtd"
_OFF = f"""
for one in $(virsh list --name 2>/dev/null); do virsh destroy $one > /dev/null; done
systemctl stop {_SERVICES} 'kvmkeep-*' 2>/dev/null
rm -rf /run/kvmkeep /run/libvirt/qemu
for path in {" ".join(DIRECTORIES)} {_STATE} /home; do ! mountpoint -q $path || umount $path; done
set -e
vgchange -qan rl_build > /dev/null 2>&1 || true; ! dmsetup ls | grep ^rl_build
test ! -e /dev/mapper/replay || dmsetup remove --retry replay
"""
"""As the power leaves it: nothing runs, and /run is empty."""


def _snapshot(name: str, of: str) -> str:
    """Return the lines that lay a snapshot of a device, with what is written to it in memory."""
    return f"""
n=$(blockdev --getsz {of})
truncate -s 2G {_MEMORY}/{name}
dmsetup create {name} --table "0 $n snapshot {of} $(losetup --find --show {_MEMORY}/{name}) N 8"
"""


def _gone(name: str) -> str:
    """Return the lines that take such a snapshot away."""
    file = f"{_MEMORY}/{name}"
    return f"""
test ! -e /dev/mapper/{name} || dmsetup remove --retry {name}
test ! -e {file} || losetup --detach $(losetup --noheadings --output NAME --associated {file})
rm -f {file}
"""


_LAY = f"""
{_OFF}
mkdir -p {_MEMORY} {_STATE} {" ".join(DIRECTORIES)}; mount -t tmpfs -o size=5G none {_MEMORY}
modprobe --all dm-log-writes dm-snapshot
{_snapshot("below", _BELOW)}
truncate -s 4G {_LOG}
dmsetup create replay --table "0 $n log-writes /dev/mapper/below $(losetup --find --show {_LOG})"
printf '{_ONLY}' > /etc/lvm/lvmlocal.conf
{_UP}
lvcreate -qqy -Wy -n state -L 96m rl_build; mkfs.ext4 -q /dev/rl_build/state
mount /dev/rl_build/state {_STATE}
for path in {" ".join(DIRECTORIES)}; do mkdir -p {_STATE}$path; cp -a $path/. {_STATE}$path; done
umount {_STATE}
{_BIND}
sync
{_START}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The numbers of a deed's first entry, and of the one at which it was acknowledged."""

    begin: int
    end: int
    moments: tuple[int, ...]
    """After so many entries another state is on the disk: LVM's metadata, or the files'."""


class Layers:
    """The layers of a host that is only for this: its guests are off, and it is thrown away."""

    def __init__(self, host: Host) -> None:
        """Lay them; from now on all is logged."""
        self._host = host
        self._at = 0
        host.put(_SCRIPT, Path(log.__file__).read_text())
        host.must(_LAY)

    def mark(self, word: str) -> None:
        """Write a word into the log, after all that was written before."""
        self._host.must(f"sync; dmsetup message replay 0 mark {word}")

    def ended(self) -> dict[str, Span]:
        """End the logging; return what it has of each deed: from `begin:NAME` to `end:NAME`."""
        words = self._host.must(
            "dmsetup table rl_build-state; pvs --noheadings --nosuffix --units s -o pe_start"
        )
        first, many, *_, begin, metadata = words.split()
        state = range(int(begin), int(begin) + int(many) - int(first))
        self._host.must(f"{_OFF}{_gone('below')}mkdir -p {_MEMORY}")
        self._host.must(_snapshot("at", _BELOW))
        # Through its file: what a block device's own cache has of it is what was there before.
        said = self._host.must(f"python3 {_SCRIPT} list {_LOG}")
        return _spans([Entry(**one) for one in json.loads(said)], state, int(metadata))

    def go(self, number: int) -> None:
        """Have the host as if the power had gone after so many entries, and come back."""
        host = self._host
        host.must(f"{_OFF}{_gone('replay')}")
        if number < self._at:
            host.must(f"set -e{_gone('at')}{_snapshot('at', _BELOW)}")
            self._at = 0
        host.must(f"python3 {_SCRIPT} write {_LOG} /dev/mapper/at {self._at} {number}", limit=600)
        self._at = number
        host.must(f"set -e{_snapshot('replay', '/dev/mapper/at')}{_UP}{_BIND}\n{_START}")


def _spans(entries: list[Entry], state: range, metadata: int) -> dict[str, Span]:
    at = {entry.mark: entry.number for entry in entries if entry.mark}
    spans = {}
    for name in (mark.removeprefix("begin:") for mark in at if mark.startswith("begin:")):
        begin, end = at[f"begin:{name}"], at[f"end:{name}"]
        moments = (
            entry.number + 1
            for entry in entries[begin:end]
            if entry.writes
            and (entry.sector < metadata or (entry.flags & FUA and entry.sector in state))
        )
        spans[name] = Span(begin=begin, end=end, moments=tuple(moments))
    return spans
