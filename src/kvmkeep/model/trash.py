"""The trash: LVs of removed guests under other names, and what else is kept of those guests."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from kvmkeep.model.facts import Volume
from kvmkeep.model.names import STATE_EMPTYING, TAG_GUEST, TAG_OURS, TAG_TRASH, TAG_WAS
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.trash_folder import TrashFolder
from kvmkeep.model.units import Size

_NAME = re.compile(r"(?P<guest>[a-z0-9][a-z0-9-]{0,62})-(?P<stamp>[0-9]{8}T[0-9]{4}Z)")

DEFINITION, SAVED, LOG, AUTOSTART = "domain.xml", "saved.xml", "console.log", "autostart"
"""Files of a folder: libvirt's definition, our copy of it, the console's log, and a file that is
there if the guest started with the host. The guest's file of the spec keeps its name."""
VARIABLES = "nvram.fd"
"""And the variables of its firmware; older entries have none, and theirs stayed in their place."""


class TrashEntry(Struct, frozen=True, kw_only=True):
    """What one removal brought into the trash. `volumes` are snapshots first, then by name.

    `folder` is None where only LVs are kept.
    """

    guest: str
    stamp: str
    volumes: tuple[Volume, ...]
    folder: TrashFolder | None

    @property
    def name(self) -> str:
        """How it is called: `web-20261123T0710Z`."""
        return f"{self.guest}-{self.stamp}"

    @property
    def size(self) -> Size:
        """What it takes of the volume group."""
        return Size(sum(volume.size.bytes for volume in self.volumes))

    @property
    def moving(self) -> bool:
        """Whether a run was stopped that brought it into the trash, or took it out."""
        return any(original_name(volume) == volume.name for volume in self.volumes)

    @property
    def emptying(self) -> bool:
        """Whether its destruction was begun."""
        return any(STATE_EMPTYING in volume.tags for volume in self.volumes)

    @property
    def spec_file(self) -> str:
        """The name of the guest's file of the spec in the folder; empty where there is none."""
        files = self.folder.files if self.folder is not None else ()
        return next((name for name in files if name.endswith(".yaml")), "")


def is_trash(volume: Volume) -> bool:
    """Whether an LV of ours lies in the trash, or is on its way there or back."""
    return TAG_OURS in volume.tags and tag_value(volume, TAG_TRASH) != ""


def original_name(volume: Volume) -> str:
    """Return what an LV in the trash was called."""
    return tag_value(volume, TAG_WAS) or volume.name


def trash_marks(volume: Volume) -> tuple[str, ...]:
    """Return the tags by which an LV in the trash is known again."""
    guest, stamp = tag_value(volume, TAG_GUEST), tag_value(volume, TAG_TRASH)
    return (TAG_OURS, TAG_GUEST + guest, TAG_TRASH + stamp)


def split_name(name: str) -> tuple[str, str] | None:
    """Return the guest and the stamp in the name of an entry, or None if it is none."""
    match = _NAME.fullmatch(name)
    return None if match is None else (match["guest"], match["stamp"])


def trash_entries(
    volumes: Iterable[Volume], vg: str, folders: Iterable[TrashFolder]
) -> tuple[TrashEntry, ...]:
    """Return what lies in the trash, the oldest first."""
    found: dict[str, list[Volume]] = {}
    for volume in volumes:
        name = f"{tag_value(volume, TAG_GUEST)}-{tag_value(volume, TAG_TRASH)}"
        if volume.vg == vg and is_trash(volume) and split_name(name) is not None:
            found.setdefault(name, []).append(volume)
    kept = {folder.name: folder for folder in folders}
    entries: list[TrashEntry] = []
    for name in {*found, *kept}:
        parts = split_name(name)
        if parts is not None:
            inside = sorted(found.get(name, ()), key=lambda one: (not one.origin, one.name))
            entries.append(
                TrashEntry(
                    guest=parts[0],
                    stamp=parts[1],
                    volumes=tuple(inside),
                    folder=kept.get(name),
                )
            )
    return tuple(sorted(entries, key=lambda one: (one.stamp, one.guest)))
