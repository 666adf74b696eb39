"""Disks of a domain that others made: their names in a spec, and those that are files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainDisk
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.spec import Disk, FileDisk
from kvmkeep.model.units import MIB, GuestName, Label, Size, parse_label
from kvmkeep.planning.scene import Scene

_LONGEST_PATH = 1024


def file_disk(
    scene: Scene, name: GuestName, disk: DomainDisk, before: list[Disk]
) -> tuple[FileDisk | None, str]:
    """Return a disk in a file as a spec says it, or why a spec can't; empty where it is no file."""
    path = disk.source
    if disk.format != "raw" or not path.startswith("/") or path.startswith("/dev/"):
        return None, ""
    file = scene.disk_files.get(path)
    guest = scene.every_guest.get(name)
    known = next((one for one in guest.files if one.path == path), None) if guest else None
    if known is not None:
        # Its mount may be missing just now; that is a matter of the plan.
        there = known if file is None else replace(known, size=Size(file.fingerprint.size))
        return there, ""
    mounts = (one for one in scene.facts.mounts if path.startswith(f"{one}/"))
    mount = max(mounts, key=len, default="")
    if not mount:
        return None, "it lies on no mount of its own"
    if file is None:
        return None, "there is no such file"
    if wrong := _unfit(file):
        return None, wrong
    stem = posixpath.splitext(posixpath.basename(path))[0]
    label = free_label((stem.removeprefix(f"{name}-"), disk.target), before)
    size = Size(file.fingerprint.size)
    return FileDisk(name=label, path=path, mount=mount, size=size), ""


def _unfit(file: ImageFile) -> str:
    path, size = file.path, file.fingerprint.size
    if file.kind != "file":
        return f"it is no plain file, but: {file.kind}"
    if size == 0 or size % MIB:
        return f"it has {size} bytes, which is no whole number of MiB"
    if not path.isprintable() or posixpath.normpath(path) != path or len(path) > _LONGEST_PATH:
        return "a spec can't say its path"
    return ""


def free_label(names: Iterable[str], before: list[Disk]) -> Label:
    """Return the first name that no disk before has, and that may be one."""
    taken = {one.name for one in before}
    labels = (_label(text) for text in (*names, f"disk{len(before)}"))
    return next(one for one in labels if one and one not in taken)


def _label(text: str) -> Label | None:
    try:
        return parse_label(text)
    except ValueError:
        return None
