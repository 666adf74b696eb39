"""Storage: MD arrays, volume groups, logical volumes."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from kvmkeep.host import lvm, mdadm
from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import GROUPS, VOLUMES, Array, Volume, VolumeGroup
from kvmkeep.observe.notebook import Notebook

_SETTLE = Command(
    argv=("udevadm", "settle", "--timeout=5"), why="let udev end its look at the disks", timeout=10
)

_TWINS = (
    "see which is which: vgs -o +vg_uuid,pv_name; then pull the other server's disk, "
    "or rename its group: vgrename UUID NEW-NAME"
)


class Storage(Struct, frozen=True, kw_only=True):
    """What the host keeps its data on."""

    arrays: tuple[Array, ...]
    guest_arrays: tuple[Array, ...]
    groups: tuple[VolumeGroup, ...]
    volumes: tuple[Volume, ...]


def observe_storage(notebook: Notebook, vg: str) -> Storage:
    """Return arrays, groups and volumes as far as they can be seen; `vg` is the spec's group."""
    arrays: tuple[Array, ...] = notebook.ask("MD arrays", mdadm.arrays, ())
    groups: tuple[VolumeGroup, ...] = notebook.ask(GROUPS, lvm.groups, ())
    twins = [uuid for one in groups if one.name == vg and len(one.uuids) > 1 for uuid in one.uuids]
    if not twins:
        volumes: tuple[Volume, ...] = notebook.ask(VOLUMES, lvm.volumes, ())
        inside = _of_guests(arrays, volumes, vg)
        return Storage(
            arrays=tuple(one for one in arrays if one not in inside),
            guest_arrays=inside,
            groups=groups,
            volumes=volumes,
        )
    # Such as a disk of a server that was installed alike. LVM shows the LVs of both, and refuses
    # to change any by the group's name (DESCRIPTION in vgrename(8)).
    reason = f"{len(twins)} volume groups are named {vg}: {', '.join(twins)}"
    for what in (GROUPS, VOLUMES):
        notebook.note(what, reason, _TWINS)
    return Storage(arrays=arrays, guest_arrays=(), groups=groups, volumes=())


def _of_guests(
    arrays: tuple[Array, ...], volumes: tuple[Volume, ...], vg: str
) -> tuple[Array, ...]:
    """Return the arrays that the host has from guests' disks: no group rests on its own LVs.

    udev gives mdadm each LV on which it finds a member of an array (64-md-raid-assembly.rules),
    as an administrator of a guest may have written it.
    """
    inside = {one.kernel_name for one in volumes if one.vg == vg}
    return tuple(one for one in arrays if one.members and inside.issuperset(one.members))


def settled(
    notebook: Notebook, volumes: tuple[Volume, ...], domains: Iterable[Domain]
) -> tuple[Volume, ...]:
    """Return the LVs, looked at again where a guest that is off has one that is open.

    Who closes a device that was written to has udev look at it, which opens it for a moment
    (OPTIONS "watch" in udev(7)); and the guest may have ended after the first look.
    """
    off = (one for one in domains if one.state is DomainState.SHUTOFF)
    disks = {disk.device for one in off for disk in one.disks}
    if not any(one.opened and one.device in disks for one in volumes):
        return volumes
    notebook.door.run(_SETTLE)
    return notebook.ask(VOLUMES, lvm.volumes, ())
