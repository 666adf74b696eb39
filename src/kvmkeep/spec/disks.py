"""Sizes of the spec, and the guests' disks with their logical volumes."""

from __future__ import annotations

import re

from kvmkeep.model.names import lv_name
from kvmkeep.model.spec import ROOT_DISK, Disk, Storage
from kvmkeep.model.units import GuestName, Size, check_lv_name, parse_size, printable
from kvmkeep.spec.claims import Claims
from kvmkeep.spec.document import GuestFile, HostFile, StorageSection
from kvmkeep.spec.source import Path, Source

_MIB = 1 << 20
_LVM_CHARACTERS = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*")
_LONGEST_DM_NAME = 127
"""Device mapper's limit, DM_NAME_LEN of dm-ioctl.h without the closing zero."""


def parse_amount(text: str) -> Size:
    """Accept a size that is a whole number of MiB: `10GB` is rarely what was meant."""
    size = parse_size(text)
    if size.bytes % _MIB:
        meant = re.sub(r"\s*([KMGT])B$", r"\1iB", text.strip())
        exact = f"{-(-size.bytes // _MIB)}MiB"
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
    sizes: dict[str, str | None],
    storage: Storage | None,
    claims: Claims,
) -> tuple[Disk, ...]:
    """Return a guest's disks, the root disk first; wrong ones are told and left out."""
    if ROOT_DISK not in sizes:
        source.wrong(("disks",), "the disk root is missing (such as disks: {root: 20GiB})")
    disks: list[Disk] = []
    for name, text in sizes.items():
        path: Path = ("disks", name)
        label = source.label(path)
        size = source.parse(path, parse_amount, text)
        if label is None or guest is None or storage is None:
            continue
        lv = lv_name(storage.lv_prefix, guest, label)
        try:
            check_lv_name(lv)
            _check_device(storage.vg, lv)
        except ValueError as error:
            source.wrong_key(path, str(error))
            continue
        claims.volume(lv, source.key(*path), f"disk {label} of guest {guest}")
        if size is not None:
            disks.append(Disk(name=label, lv=lv, size=size))
    return tuple(sorted(disks, key=lambda disk: disk.name != ROOT_DISK))


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
    name = f"{vg.replace('-', '--')}-{lv.replace('-', '--')}"
    if len(name) > _LONGEST_DM_NAME:
        raise ValueError(
            f"the volume {vg}/{lv} has a name too long for device mapper (shorten the guest's "
            "or the disk's name)"
        )
