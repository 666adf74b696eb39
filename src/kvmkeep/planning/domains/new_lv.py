"""The names that a guest's LVs get when it is renamed.

They come from the disk that an LV is, which its tag tells, and not from how its name begins: a
guest `web` that becomes `web-old` has a root disk whose new name looks like one of web's others.
"""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.facts import Volume
from kvmkeep.model.names import TAG_DISK, lv_name
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import ROOT_DISK, Disk, FileDisk, Guest
from kvmkeep.model.units import GuestName, Label
from kvmkeep.planning.scene import Scene

_BETWEEN = ("-", "+")
"""What a snapshot's name, or that of what a disk grows by, has after its disk's."""


def new_lv(scene: Scene, guest: Guest, new: GuestName, volume: Volume) -> str:
    """Return the name that an LV gets; one that is not named after the guest keeps its own.

    So does one that the spec names, and its snapshots, and one that has its new name already.
    """
    base = scene.volumes.get(volume.origin, volume)
    if any(disk.named and disk.lv == base.name for disk in guest.volumes):
        return volume.name
    disk = Label(tag_value(base, TAG_DISK) or ROOT_DISK)
    before, after = _names(scene, guest.name, new, disk)
    begins = [one for one in (before, after) if _is_of(volume.name, one)]
    if max(begins, key=len, default=after) == after:
        return volume.name
    return after + volume.name.removeprefix(before)


def new_disk(scene: Scene, old: GuestName, new: GuestName, disk: Disk) -> Disk:
    """Return the same of a disk as the spec has it."""
    if isinstance(disk, FileDisk) or disk.named:
        return disk
    before, after = _names(scene, old, new, disk.name)
    return replace(disk, lv=after) if disk.lv == before else disk


def _names(scene: Scene, old: GuestName, new: GuestName, disk: Label) -> tuple[str, str]:
    prefix = scene.spec.storage.lv_prefix
    return lv_name(prefix, old, disk), lv_name(prefix, new, disk)


def _is_of(lv: str, disk: str) -> bool:
    return lv == disk or lv.startswith(tuple(disk + one for one in _BETWEEN))
