"""Storage: MD arrays, volume groups, logical volumes."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.host import lvm, mdadm
from kvmkeep.model.facts import GROUPS, VOLUMES, Array, Volume, VolumeGroup
from kvmkeep.observe.notebook import Notebook


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
