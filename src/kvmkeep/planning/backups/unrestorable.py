"""Why disks can't come back from a backup: all reasons at once, each with what to do about it."""

from __future__ import annotations

from kvmkeep.model.backup_manifest import DiskRecord
from kvmkeep.model.plan import Reason
from kvmkeep.model.spec import LvDisk
from kvmkeep.model.trash import is_trash, trash_entries
from kvmkeep.model.units import Size
from kvmkeep.planning.backups.fetch import gone
from kvmkeep.planning.backups.restoring import RestoreWork
from kvmkeep.planning.lvm import who_has
from kvmkeep.planning.running.saved import saved_reasons
from kvmkeep.planning.scene import active, owned
from kvmkeep.planning.trash.moves import trouble

MAKE_ROOM = "empty the trash (`kvmkeep trash list`), or extend the group (vgextend)"


def unrestorable(work: RestoreWork) -> list[Reason]:
    """Return why a guest or its disks can't come back."""
    scene, guest = work.scene, work.guest
    domain = scene.domains.get(guest.name)
    found: list[Reason] = []
    if domain is not None and scene.own_domain(guest) is None:
        found.append(("the domain of that name is not ours", f"virsh dumpxml {guest.name}"))
    elif domain is not None and active(domain):
        found.append(
            ("it runs, on the disks that would go", f"shut it down: kvmkeep shutdown {guest.name}")
        )
    else:
        found += saved_reasons(domain)
    twin = scene.domains_by_uuid.get(guest.uuid)
    if twin is not None and twin.name != guest.name:
        found.append((f"the domain {twin.name} has its UUID", "rename or remove that one first"))
    if work.restoring.subject.manifest.uuid != guest.uuid:
        hint = "correct `identity`, or `host.name`"
        hint += "" if work.restoring.file else "; or make a new guest of it: --as NAME"
        found.append(("the backup is of a guest with another UUID", hint))
    else:
        found += work.definition.reasons
    lost = gone(work.restoring.subject)
    hint = f"choose another one: kvmkeep backup list {guest.name}"
    found += [
        (f"its disk {disk.name} is gone from the repository", hint)
        for disk in work.disks
        if disk.name in lost
    ]
    for record, disk in work.pairs:
        found += _of_disk(work, record, disk)
    for volume in work.leaving:
        found += trouble(scene, volume, guest.name, running=False)
    return [*found, *_of_trash(work), *_of_room(work)]


def _of_disk(work: RestoreWork, record: DiskRecord, disk: LvDisk) -> list[Reason]:
    volume = work.scene.volumes.get(disk.lv)
    ours = volume is None or owned(volume, work.guest, disk) or volume in work.leaving
    if volume is not None and not ours:
        hint = f"look at: lvs -o +lv_tags {volume.full_name}"
        return [(f"the LV {volume.full_name} is not that disk of it", hint)]
    begun = work.made(disk)
    if begun is not None and begun.size < record.size:
        reason = f"{begun.full_name}, which a restore has begun, is smaller than {record.size}"
        return [(reason, f"remove it: lvremove {begun.full_name}")]
    if begun is not None and begun.opened:
        return [(f"something has {begun.full_name} open", who_has(begun.full_name))]
    return []


def _of_trash(work: RestoreWork) -> list[Reason]:
    entries = trash_entries(
        work.scene.facts.volumes, work.scene.spec.storage.vg, work.scene.facts.trash
    )
    name = f"{work.guest.name}-{work.stamp}"
    begun = any(is_trash(one) for one in work.leaving)
    if work.leaving and not begun and any(one.name == name for one in entries):
        return [(f"there is a {name} in the trash", "wait a minute")]
    return []


def _of_room(work: RestoreWork) -> list[Reason]:
    group = work.scene.group
    if group is None:
        return []
    new = (work.scene.rounded(disk.size).bytes for _, disk in work.pairs if work.made(disk) is None)
    needed = Size(sum(new))
    reserve = work.scene.spec.host.storage_reserve
    free = group.free.minus(reserve)
    if needed <= free:
        return []
    reason = f"it needs {needed} beside what is there, but {free} of {group.name} may be used "
    reason += f"({reserve} are the host's reserve)"
    return [(reason, MAKE_ROOM + (_in_place(work) if work.leaving else ""))]


def _in_place(work: RestoreWork) -> str:
    """Return how its present disks make room themselves: as a guest that is lost, it comes back."""
    if work.restoring.only or work.restoring.file:
        return ""
    name = work.guest.name
    return (
        f"; or, if its present disks may go for good: kvmkeep remove {name}, then destroy them "
        f"(kvmkeep trash empty NAME), then: kvmkeep backup restore {name}"
    )
