"""The manifest of a backup: what is stored of it last of all, and makes it one."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.units import Size

MANIFEST_FORMAT = 1
MANIFEST = "manifest.json"
"""The manifest's name, among the files that are stored with it."""
DOMAIN_XML = "domain.xml"
NVRAM = "nvram.fd"
GUEST_SPEC = "guest.yaml"
HOST_SPEC = "host.yaml"
TEMPLATE = "template.xml"
"""The site's own base template, where it has one: the host file leads to it."""


class DiskRecord(Struct, frozen=True, kw_only=True):
    """A disk in a manifest; `blocks` is the name of its block list, of that `blocks_sha256`.

    `source` is its path in the guest's definition, which is stored beside it.
    """

    disk: str
    source: str
    size: Size
    object: str
    path: str
    blocks: str
    blocks_sha256: str
    read: Size
    added: Size


class Versions(Struct, frozen=True, kw_only=True):
    """What made a backup."""

    kvmkeep: str
    engine: str
    libvirt: str
    emulator: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup is: the last that is stored of it, as `manifest.json`.

    `xml`, `nvram`, `guest_spec`, `host_spec` and `template` are names of files beside it, or
    empty. `started` and `ended` are those of the reading, UTC in ISO 8601.
    """

    format: int
    host: str
    guest: str
    identity: str
    uuid: str
    moment: str
    level: str
    disks: tuple[DiskRecord, ...]
    xml: str
    nvram: str
    guest_spec: str
    host_spec: str
    versions: Versions
    started: str
    ended: str
    template: str = ""
