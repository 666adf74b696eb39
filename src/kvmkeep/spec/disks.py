"""Sizes of the spec, and the guests' disks: logical volumes, or files on a mount."""

from __future__ import annotations

import re

from msgspec import Struct

from kvmkeep.model.names import LONGEST_MAPPED_NAME, lv_name, mapped_name
from kvmkeep.model.spec import ROOT_DISK, Disk, FileDisk, LvDisk, Storage
from kvmkeep.model.text import printable
from kvmkeep.model.units import MIB, GuestName, Size, check_lv_name, parse_size
from kvmkeep.spec.claims import Claims
from kvmkeep.spec.guest_document import DiskSection, GuestFile
from kvmkeep.spec.host_document import HostFile, StorageSection
from kvmkeep.spec.source import Path, Source
from kvmkeep.spec.sources import parse_directory, parse_path

_LVM_CHARACTERS = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*")


def parse_amount(text: str) -> Size:
    """Accept a size that is a whole number of MiB: `10GB` is rarely what was meant."""
    size = parse_size(text)
    if size.bytes % MIB:
        meant = re.sub(r"\s*([KMGT])B$", r"\1iB", text.strip())
        exact = f"{-(-size.bytes // MIB)}MiB"
        hint = f"write {exact}" if meant == text.strip() else f"write {meant}, or else {exact}"
        raise ValueError(f"{printable(text)} is not a whole number of MiB ({hint})")
    return size


def resolve_storage(source: Source[HostFile], section: StorageSection) -> Storage | None:
    """Return the volume group and the prefix of the guests' volumes."""
    vg = source.parse(("storage", "vg"), parse_group, section.vg)
    prefix = source.parse(("storage", "lv_prefix"), _parse_prefix, section.lv_prefix)
    if vg is None or prefix is None:
        return None
    return Storage(vg=vg, lv_prefix=prefix)


def resolve_disks(
    source: Source[GuestFile],
    guest: GuestName | None,
    sections: dict[str, str | DiskSection | None],
    storage: Storage | None,
    claims: Claims,
) -> tuple[Disk, ...]:
    """Return a guest's disks, the root disk first; wrong ones are told and left out."""
    if ROOT_DISK not in sections:
        source.wrong(("disks",), "the disk root is missing (such as disks: {root: 20GiB})")
    owner = _Owner(guest=guest, storage=storage, claims=claims)
    disks = [_disk(source, owner, name, section) for name, section in sections.items()]
    found = [disk for disk in disks if disk is not None]
    return tuple(sorted(found, key=lambda disk: disk.name != ROOT_DISK))


class _Owner(Struct, frozen=True, kw_only=True):
    """Whose disks are being read, as far as it is known, and what others have."""

    guest: GuestName | None
    storage: Storage | None
    claims: Claims

    def name(self, path: Path) -> str:
        """Return what a disk is called in a message."""
        return f"disk {path[-1]} of guest {self.guest}"


def _disk(
    source: Source[GuestFile], owner: _Owner, name: str, section: str | DiskSection | None
) -> Disk | None:
    path: Path = ("disks", name)
    guest, storage = owner.guest, owner.storage
    label = source.label(path)
    if not isinstance(section, DiskSection):
        section, at = DiskSection(size=section), path
    else:
        at = (*path, "size")
    size = source.parse(at, parse_amount, section.size)
    if section.file is not None or section.mount is not None:
        file = _file(source, owner, path, section)
        if label is None or size is None or file is None:
            return None
        return FileDisk(name=label, path=file[0], mount=file[1], size=size)
    if label is None or guest is None or storage is None:
        return None
    wanted = lv_name(storage.lv_prefix, guest, label) if section.lv is None else section.lv
    lv = _volume(source, path, wanted, storage)
    if lv is None:
        return None
    owner.claims.volume(lv, source.key(*path), owner.name(path))
    return (
        None if size is None else LvDisk(name=label, lv=lv, size=size, named=section.lv is not None)
    )


def _volume(source: Source[GuestFile], path: Path, lv: str, storage: Storage) -> str | None:
    given = (*path, "lv")
    try:
        check_lv_name(lv)
        _check_device(storage.vg, lv)
    except ValueError as error:
        if source.has(*given):
            source.wrong(given, str(error))
        else:
            source.wrong_key(path, str(error))
        return None
    return lv


def _file(
    source: Source[GuestFile], owner: _Owner, path: Path, section: DiskSection
) -> tuple[str, str] | None:
    """Return the paths of a disk's file and of its mount."""
    if path[-1] == ROOT_DISK:
        hint = "only further disks can be files"
        source.wrong_key(path, f"the disk root is made from the image, on an LV ({hint})")
    if section.lv is not None:
        source.wrong((*path, "lv"), "a disk is either an LV or a file (remove one of them)")
    for key, example in (("file", "/data/vm/web-data.img"), ("mount", "/data")):
        if not source.has(*path, key):
            text = f"{key} is missing: a file is only used on its mount (such as {key}: {example})"
            source.wrong(path, text)
    file = source.parse((*path, "file"), _parse_file, section.file)
    mount = source.parse((*path, "mount"), parse_directory, section.mount)
    if file is None or mount is None:
        return None
    if not file.startswith(f"{mount}/"):
        source.wrong((*path, "file"), f"{printable(file)} does not lie under {printable(mount)}")
        return None
    owner.claims.file(file, source.key(*path), owner.name(path))
    return file, mount


def _parse_file(text: str) -> str:
    """Accept the absolute path of a file."""
    if not text.startswith("/"):
        raise ValueError(f"{printable(text)} is not an absolute path (it begins with /)")
    return parse_path(text, "/")


def parse_group(text: str) -> str:
    """Accept the name of a volume group: lvm(8), "VALID NAMES"."""
    if _LVM_CHARACTERS.fullmatch(text) is None or text in {".", ".."} or len(text) > 127:
        raise ValueError(f"{printable(text)} can't be the name of a volume group")
    return text


def _parse_prefix(text: str) -> str:
    """Accept what LV names may begin with; it may be empty."""
    if text and (_LVM_CHARACTERS.fullmatch(text) is None or len(text) > 32):
        raise ValueError(f"{printable(text)} can't begin the name of a logical volume")
    return text


def _check_device(vg: str, lv: str) -> None:
    """Refuse a volume whose device-mapper name is too long: LVM doubles each '-' in it."""
    if len(mapped_name(vg, lv)) > LONGEST_MAPPED_NAME:
        raise ValueError(
            f"the volume {vg}/{lv} has a name too long for device mapper (shorten the guest's "
            "or the disk's name)"
        )
