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


class Storage(Struct, frozen=True, kw_only=True):
    """What the host keeps its data on."""

    arrays: tuple[Array, ...]
    groups: tuple[VolumeGroup, ...]
    volumes: tuple[Volume, ...]


def observe_storage(notebook: Notebook) -> Storage:
    """Return arrays, groups and volumes as far as they can be seen."""
    return Storage(
        arrays=notebook.ask("MD arrays", mdadm.arrays, ()),
        groups=notebook.ask(GROUPS, lvm.groups, ()),
        volumes=notebook.ask(VOLUMES, lvm.volumes, ()),
    )


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
