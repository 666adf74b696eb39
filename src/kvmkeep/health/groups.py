"""Volume groups and logical volumes: lost disks, room, the copy of their state, odd users."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.facts import GROUPS, Volume, VolumeGroup
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.names import TAG_GUEST, TAG_OURS
from kvmkeep.model.snapshot import tag_value
from kvmkeep.planning.lvm import WHERE_IS_IT
from kvmkeep.planning.scene import aliases, users_of

_READ_ONLY = ("r", "R")
"""The second letter of `lv_attr`: read-only, or activated so (lvs(8))."""
_MANY, _LAST_INDEX = 10_000, 90_000
"""LVM writes the number with five digits and sorts by name: from 100000 on it expires nothing."""


def group_findings(patient: Patient) -> Iterator[Finding]:
    """Return what is wrong with volume groups and what lies in them."""
    facts, vg = patient.facts, patient.spec.storage.vg
    if vg and patient.scene.group is None and not patient.unseen(GROUPS):
        yield Finding(
            name="group-absent",
            severity=Severity.CRITICAL,
            subject=f"group {vg}",
            what="there is no such volume group",
            why="all disks of guests lie in it",
            todo=f"{WHERE_IS_IT}; or correct storage.vg in host.yaml",
        )
    for group in facts.groups:
        if group.name == vg and len(group.uuids) > 1:
            yield _twins(group)
        yield from _group(group)
        yield from _nested(patient, group)
    if patient.scene.group is not None:
        yield from _room(patient, patient.scene.group)
    yield from _backups(patient)
    yield from _archives(patient)
    for volume in patient.scene.volumes.values():
        yield from _volume(patient, volume)


def _twins(group: VolumeGroup) -> Finding:
    return Finding(
        name="group-name-twice",
        severity=Severity.CRITICAL,
        subject=f"group {group.name}",
        what=f"{len(group.uuids)} groups have this name: {', '.join(group.uuids)}",
        why="whose volumes are whose can't be told: nothing is changed, or started by itself",
        todo="vgs -o +vg_uuid,pv_name; pull the other server's disk, or rename its group: "
        "vgrename UUID NEW-NAME",
    )


def _group(group: VolumeGroup) -> Iterator[Finding]:
    if group.missing_pvs:
        yield Finding(
            name="group-disk-missing",
            severity=Severity.CRITICAL,
            subject=f"group {group.name}",
            what=f"{group.missing_pvs} of its physical volumes are missing",
            why="logical volumes on them are gone for now, and the group can't be changed",
            todo=f"bring the disk back: pvs; vgs --options +vg_missing_pv_count {group.name}; "
            "cat /proc/mdstat. Do not run vgreduce --removemissing",
        )


def _room(patient: Patient, group: VolumeGroup) -> Iterator[Finding]:
    reserve = patient.spec.host.storage_reserve
    if group.free < reserve:
        yield Finding(
            name="group-full",
            severity=Severity.WARNING,
            subject=f"group {group.name}",
            what=f"only {group.free} are free, less than the reserve of {reserve}",
            why="snapshots can't grow and are lost when they are full; disks can't grow either",
            todo="kvmkeep snapshot list; kvmkeep trash list; or extend the group: vgextend",
        )


def _nested(patient: Patient, group: VolumeGroup) -> Iterator[Finding]:
    """Tell of a group that lies in a guest's disk; its PVs bear the names of LVs."""
    names = {
        name: volume
        for volume in patient.facts.volumes
        for name in aliases(volume.vg, volume.name, "")
    }
    inside = [f"{names[pv].vg}/{names[pv].name}" for pv in group.pvs if pv in names]
    if inside:
        yield Finding(
            name="group-of-guest-visible",
            severity=Severity.WARNING,
            subject=f"group {group.name}",
            what=f"it lies inside {', '.join(inside)}, and the host's LVM sees it",
            why="the host may write to a guest's disk behind its back, and keeps it from going",
            todo=f"vgchange --activate n {group.name}; set devices/scan_lvs=0 in "
            "/etc/lvm/lvm.conf, or take it out of the devices file: lvmdevices --deldev "
            f"{group.pvs[0]}",
        )


def _backups(patient: Patient) -> Iterator[Finding]:
    for one in patient.vitals.backups:
        if one.saved == one.seqno:
            continue
        kept = "is not there" if one.saved < 0 else f"is of state {one.saved}, not {one.seqno}"
        yield Finding(
            name="group-state-not-saved",
            severity=Severity.WARNING,
            subject=f"group {one.vg}",
            what=f"the copy of its state in /etc/lvm/backup/{one.vg} {kept}",
            why="it is what brings logical volumes back after an accident (vgcfgrestore)",
            todo=f"vgcfgbackup {one.vg}; and see why LVM did not: df /etc; lvmconfig backup/backup",
        )


def _archives(patient: Patient) -> Iterator[Finding]:
    for one in patient.vitals.backups:
        find = f"find /etc/lvm/archive -name '{one.vg}_[0-9]*.vg'"
        if one.index >= _LAST_INDEX:
            what = f"its older states in /etc/lvm/archive have come to number {one.index}"
            why = "from number 100000 on LVM deletes none of them, until / is full: "
            why += "then no snapshot, no backup and no growth is possible"
            # With none left it begins at 0 again.
            todo = f"mkdir -p /root/lvm-archive; {find} -exec mv -t /root/lvm-archive {{}} +"
        elif one.archived > _MANY:
            what = f"{one.archived} copies of its older states lie in /etc/lvm/archive"
            why = "each command of LVM reads them all, be it while a guest is suspended"
            todo = f"{find} -mtime +7 -delete"
        else:
            continue
        yield Finding(
            name="group-archive-large",
            severity=Severity.WARNING,
            subject=f"group {one.vg}",
            what=what,
            why=why,
            todo=todo,
        )


def _volume(patient: Patient, volume: Volume) -> Iterator[Finding]:
    subject = f"volume {volume.vg}/{volume.name}"
    users = users_of(patient.scene, volume.name, volume.device)
    if len(users) > 1:
        yield Finding(
            name="volume-shared",
            severity=Severity.CRITICAL,
            subject=subject,
            what=f"it is a disk of {len(users)} domains: {', '.join(users)}",
            why="two guests that write to one disk destroy it",
            todo=f"keep one of them off, and take the disk out of it: "
            f"virsh edit {shlex.quote(users[-1])}",
        )
    if users and not volume.active and not volume.merging:
        yield Finding(
            name="volume-inactive",
            severity=Severity.WARNING,
            subject=subject,
            what=f"it is not active, but a disk of {users[0]}",
            why="the guest can't be started without it",
            todo=f"lvchange --activate y {volume.vg}/{volume.name}",
        )
    if users and volume.attributes[1:2] in _READ_ONLY:
        yield Finding(
            name="volume-read-only",
            severity=Severity.CRITICAL,
            subject=subject,
            what=f"it can't be written, but is a disk of {users[0]}",
            why="the guest can't be started with it, and writes of one that runs may fail",
            todo=f"lvchange --permission rw {volume.vg}/{volume.name}",
        )
    guest = tag_value(volume, TAG_GUEST) if TAG_OURS in volume.tags else ""
    if volume.merge_failed:
        yield Finding(
            name="merge-failed",
            severity=Severity.CRITICAL,
            subject=subject,
            what="the kernel gave up taking it back to a snapshot",
            why="its content is neither the old nor the new one",
            todo="dmesg; keep the guest off, and ask somebody who knows LVM",
        )
    elif volume.merge_waits:
        yield Finding(
            name="merge-waits",
            severity=Severity.WARNING,
            subject=subject,
            what="it is to be taken back to a snapshot, which has not begun",
            why="it will be, without a word, when it is activated next: at the latest at a reboot",
            todo=f"shut {guest or 'its guest'} down, then: "
            f"lvchange --refresh {volume.vg}/{volume.name}",
        )
