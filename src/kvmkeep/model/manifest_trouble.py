"""A manifest that came out of a repository: names in it are not to lead anywhere else.

Others may share the repository, and know its password. What stands in a manifest becomes names of
files that root reads and writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kvmkeep.model.backup import BackupEntry, blocks_name, flat_path, nested_path
from kvmkeep.model.backup_manifest import (
    DOMAIN_XML,
    GUEST_SPEC,
    HOST_SPEC,
    MANIFEST_FORMAT,
    NVRAM,
    TEMPLATE,
    DiskRecord,
    Manifest,
)
from kvmkeep.model.borg import archive_tags
from kvmkeep.model.units import parse_label

_OBJECT = re.compile(r"[0-9a-f]{8,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def manifest_trouble(manifest: Manifest, entry: BackupEntry) -> str:
    """Return why a manifest is not that of a backup as this kvmkeep makes it; empty if it is."""
    return next(_troubles(manifest, entry), "")


def _troubles(manifest: Manifest, entry: BackupEntry) -> Iterator[str]:
    if manifest.format != MANIFEST_FORMAT:
        yield f"it is of format {manifest.format}, and this kvmkeep knows {MANIFEST_FORMAT}"
    of = (manifest.guest, manifest.identity, manifest.moment)
    if of != (entry.guest, entry.identity, entry.moment):
        yield "it is that of another backup"
    files = {
        DOMAIN_XML: manifest.xml,
        NVRAM: manifest.nvram,
        GUEST_SPEC: manifest.guest_spec,
        HOST_SPEC: manifest.host_spec,
        TEMPLATE: manifest.template,
    }
    for name, told in files.items():
        if told not in {"", name}:
            yield f"it names {told!a:.80} where {name} is expected"
    if len({disk.disk for disk in manifest.disks}) != len(manifest.disks):
        yield "it names a disk twice"
    for disk in manifest.disks:
        yield from _of_disk(manifest.guest, disk)


def _of_disk(guest: str, disk: DiskRecord) -> Iterator[str]:
    try:
        parse_label(disk.disk)
    except ValueError:
        yield f"{disk.disk!a:.80} is no name of a disk"
    for told, names in (
        (disk.blocks, (blocks_name(disk.disk),)),
        (disk.path, (flat_path(guest, disk.disk), nested_path(guest, disk.disk))),
    ):
        if told not in names:
            yield f"it names {told!a:.80} where {names[0]} is expected"
    if _OBJECT.fullmatch(disk.object) is None and archive_tags(disk.object) is None:
        yield f"{disk.object!a:.80} is no object of a repository"
    if _SHA256.fullmatch(disk.blocks_sha256) is None:
        yield f"the block list of disk {disk.disk} has no checksum"
