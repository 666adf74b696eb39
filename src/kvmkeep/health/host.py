"""The host itself: its filesystems, its clock, and whatever could not be observed."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.names import STATE_DIR
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import Space

_LITTLE, _VERY_LITTLE = 10.0, 5.0
"""Percent of a filesystem that are left."""
_PLENTY = Size(10 << 30)
"""So much is enough, however small a part of the filesystem it is."""
_WRITTEN = frozenset({"/", "/run", "/var", "/var/log", "/var/lib", "/var/lib/libvirt", STATE_DIR})

_LOGS = "/var/log"
_OLD_KERNELS = "old kernels: apt-get autoremove --purge, or dnf remove --oldinstallonly"


def host_findings(patient: Patient) -> Iterator[Finding]:
    """Return what is wrong with the host."""
    spaces = patient.vitals.spaces
    for space in spaces:
        yield from _space(space, logs=space.mount == _mount_of(_LOGS, spaces))
    if patient.vitals.synchronized is False:
        yield Finding(
            name="clock-not-synchronized",
            severity=Severity.WARNING,
            subject="clock",
            what="nobody keeps the host's clock right",
            why="guests start with it: databases, certificates and Kerberos trust it",
            todo="timedatectl; systemctl enable --now chronyd, or chrony, or systemd-timesyncd",
        )
    for problem in (*patient.facts.problems, *patient.vitals.problems):
        yield Finding(
            name="not-seen",
            severity=Severity.UNKNOWN,
            subject=problem.what,
            what=f"it can't be looked at: {problem.reason}",
            why="what is not seen may be well or not",
            todo=problem.hint,
        )


def _mount_of(path: str, spaces: tuple[Space, ...]) -> str:
    """Return the filesystem on which a path lies."""
    above = (one.mount for one in spaces if f"{path}/".startswith(f"{one.mount.rstrip('/')}/"))
    return max(above, key=len, default="")


def _space(space: Space, *, logs: bool) -> Iterator[Finding]:
    subject = f"filesystem {space.mount}"
    if space.read_only and space.mount in _WRITTEN:
        yield Finding(
            name="filesystem-read-only",
            severity=Severity.CRITICAL,
            subject=subject,
            what="it is read-only",
            why="the kernel makes it so after an error of the disk; nothing can be kept any more",
            todo="dmesg; smartctl --all on its disks; then repair it from a rescue system",
        )
        return
    left = space.free_percent
    few_inodes = 100.0 * space.inodes_free < _LITTLE * space.inodes
    if left >= _LITTLE or (space.free >= _PLENTY and not few_inodes):
        return
    what = f"{space.free} of {space.size} are left"
    if few_inodes:
        what += f", and {space.inodes_free} of {space.inodes} inodes"
    yield Finding(
        name="filesystem-full",
        severity=Severity.CRITICAL if left < _VERY_LITTLE else Severity.WARNING,
        subject=subject,
        what=what,
        why="libvirt loses sight of its guests when it can't write, and logs end"
        if space.mount in _WRITTEN
        else "updates of the system fail",
        todo=f"du --one-file-system --human-readable --max-depth=2 {space.mount}"
        + ("; journalctl --vacuum-size=500M" if logs else "")
        + (f"; {_OLD_KERNELS}" if space.mount == "/boot" else ""),
    )
