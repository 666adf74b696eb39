"""A guest's disk as libguestfs is given it: the LV itself while the guest is off, else a snapshot.

libguestfs's appliance is a small virtual machine: no filesystem of a guest is mounted by the
host's kernel, and a volume group inside the disk, even one with the host's name, stays in there.
"""

from __future__ import annotations

import shlex

from msgspec import Struct

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import STATE_LOOK, TAG_OURS, TAG_REVERT, lv_path, lv_tags
from kvmkeep.model.plan import Noun, Refusal, Step
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import Size
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.disks.stage import Stage, stage
from kvmkeep.planning.disks.storage import activation
from kvmkeep.planning.lvm import removal, selected, selection, who_has
from kvmkeep.planning.running.saved import saved_refusals
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, active, owned, users

_SHARE = 10
_LEAST = Size(256 << 20)
"""The snapshot's size: a tenth of the disk, but not less than this. It lives for minutes."""


class DiskReader(Struct, frozen=True, kw_only=True):
    """Where a disk may be read, what comes before that, and what after it in any case."""

    path: str
    before: tuple[Command, ...]
    after: tuple[Command, ...]
    probe: Command
    through: str


def reading(scene: Scene, guest: Guest, tag: str = "") -> DiskReader:
    """Return how a guest's root disk is read; a guest that runs goes on running.

    The snapshot gets a further `tag`.
    """
    domain = scene.own_domain(guest)
    if domain is None or not active(domain):
        return DiskReader(
            path=scene.path(guest.root),
            before=activation(scene, guest),
            after=(),
            probe=unused(scene, guest),
            through="",
        )
    name = _snapshot(guest)
    return DiskReader(
        path=lv_path(scene.spec.storage.vg, name),
        before=(_create(scene, guest, tag),),
        after=_removal(scene.full_name(name)),
        probe=is_guest(guest),
        through=" through a snapshot, while the guest runs",
    )


def unused(scene: Scene, guest: Guest) -> Command:
    """Succeed only while the root LV is ours and nobody has it open (lvs(8))."""
    select = f"{selection(lv_tags(guest.name, guest.root.name))} && lv_device_open!=open"
    why = "see that the LV is ours, and that nobody has it open"
    return selected(scene.full_name(guest.root.lv), select, why)


def leftovers(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what removes the snapshot that a killed look has left."""
    left = look_snapshot(scene, guest)
    if left is None or left.opened:
        return ()
    return (
        Step(
            noun=Noun.STORAGE,
            subject=f"guest {guest.name}",
            what=f"delete the snapshot {left.full_name}",
            why="a look that was interrupted has left it",
            actions=_removal(left.full_name),
        ),
    )


def look_snapshot(scene: Scene, guest: Guest) -> Volume | None:
    """Return the snapshot that was made for looking, if there is one."""
    found = (scene.volumes.get(name) for name in (_snapshot(guest), f"{guest.root.lv}-look"))
    return next((one for one in found if one is not None and _is_look(guest, one)), None)


def reading_refusals(scene: Scene, guest: Guest) -> tuple[Refusal, ...]:
    """Return why a guest's disk can't be read."""
    refusal = not_a_guest(scene, guest) or _disk_refusal(scene, guest)
    if refusal is not None:
        return (refusal,)
    domain, volume = scene.domains[guest.name], scene.volume(guest.root)
    left = look_snapshot(scene, guest) or scene.volumes.get(_snapshot(guest))
    subject = f"guest {guest.name}"
    if not active(domain) or volume is None or scene.group is None:
        return (*_open(scene, guest),) if volume is not None and not active(domain) else ()
    if left is not None and not _is_look(guest, left):
        hint = f"look at it: lvs -o +lv_tags {left.full_name}"
        reason = f"the LV {left.full_name} is not a snapshot of ours"
        return (Refusal(subject=subject, reason=reason, hint=hint),)
    if left is not None and left.opened:
        reason = f"somebody looks into its disk through {left.full_name}"
        hint = "leave that `kvmkeep shell` first"
        return (Refusal(subject=subject, reason=reason, hint=hint),)
    free = scene.group.free + (left.size if left is not None else Size(0))
    free = free.minus(scene.spec.host.storage_reserve)
    if free < _size(scene, guest):
        reason = (
            f"it runs, and the snapshot to look through needs {_size(scene, guest)} of the volume "
            f"group, of which {free} may be used"
        )
        hint = f"shut it down first: kvmkeep shutdown {guest.name}"
        return (Refusal(subject=subject, reason=reason, hint=hint),)
    return ()


def writing_refusals(scene: Scene, guest: Guest) -> tuple[Refusal, ...]:
    """Return why a guest's disk can't be changed: it must be ours, and nobody may use it."""
    refusal = not_a_guest(scene, guest) or _disk_refusal(scene, guest)
    if refusal is not None:
        return (refusal,)
    subject = f"guest {guest.name}"
    domain = scene.domains[guest.name]
    if active(domain):
        reason = "it is not off; its disk can't be changed beside it"
        hint = f"shut it down first: kvmkeep shutdown {guest.name}"
        return (Refusal(subject=subject, reason=reason, hint=hint),)
    saved = saved_refusals(domain)
    if saved:
        return saved
    volume = scene.volume(guest.root)
    to = "" if volume is None else tag_value(volume, TAG_REVERT)
    if to:
        reason = f"its revert to {to} is not done, and would undo the change"
        hint = f"finish that: kvmkeep snapshot revert {guest.name} {to}"
        return (Refusal(subject=subject, reason=reason, hint=hint),)
    return (*_open(scene, guest),)


def _open(scene: Scene, guest: Guest) -> tuple[Refusal, ...]:
    volume = scene.volume(guest.root)
    others = [name for name in users(scene, guest.root) if name != guest.name]
    subject = f"guest {guest.name}"
    if others:
        reason = f"domain {others[0]} has its disk {guest.root.lv} as well"
        hint = f"take it from that domain: virsh dumpxml {shlex.quote(others[0])}"
        return (Refusal(subject=subject, reason=reason, hint=hint),)
    if volume is not None and volume.opened:
        reason = f"it is off, but something has {volume.full_name} open"
        return (Refusal(subject=subject, reason=reason, hint=who_has(volume.full_name)),)
    return ()


def _disk_refusal(scene: Scene, guest: Guest) -> Refusal | None:
    subject = f"guest {guest.name}"
    lv = scene.full_name(guest.root.lv)
    volume = scene.volume(guest.root)
    if volume is None:
        return Refusal(subject=subject, reason=f"its LV {lv} is gone", hint="see: kvmkeep plan")
    if not owned(volume, guest, guest.root):
        reason = f"the LV {lv} is not ours"
        return Refusal(subject=subject, reason=reason, hint=f"see: lvs -o +lv_tags {lv}")
    if stage(scene, guest, guest.root) is not Stage.SERVICE:
        reason = "its first boot is not done yet"
        return Refusal(subject=subject, reason=reason, hint="finish that: kvmkeep apply")
    if volume.merging:
        reason = f"{lv} is being reverted to a snapshot"
        hint = "wait until `kvmkeep snapshot list` shows no revert any more"
        return Refusal(subject=subject, reason=reason, hint=hint)
    return None


def _is_look(guest: Guest, volume: Volume) -> bool:
    marks = (*lv_tags(guest.name, guest.root.name), STATE_LOOK)
    return volume.origin == guest.root.lv and all(mark in volume.tags for mark in marks)


def _snapshot(guest: Guest) -> str:
    # With a `-`, as in older versions, it might be the disk `look`, or of the guest `web-look`.
    return f"{guest.root.lv}+look"


def _size(scene: Scene, guest: Guest) -> Size:
    size = scene.lv_size(guest.root)
    return scene.rounded(min(size, max(_LEAST, Size(size.bytes // _SHARE))))


def _create(scene: Scene, guest: Guest, tag: str) -> Command:
    tags = (*lv_tags(guest.name, guest.root.name), STATE_LOOK, *((tag,) if tag else ()))
    return Command(
        argv=(
            "lvcreate", "--snapshot", "--permission", "r", "--chunksize", "256k",
            "--size", f"{_size(scene, guest).bytes}b", "--name", _snapshot(guest),
            *(word for tag in tags for word in ("--addtag", tag)),
            scene.full_name(guest.root.lv),
        ),
        why="take a snapshot: the disk as it is at this moment",
    )  # fmt: skip


def _removal(lv: str) -> tuple[Command, ...]:
    why = "remove the snapshot, if it is one that was made for looking"
    return removal(lv, (TAG_OURS, STATE_LOOK), why)
