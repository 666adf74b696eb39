"""Our own look at the first bytes of a disk image, before any tool opens it.

Formats are told by their magic numbers. A qcow2 header can make qemu open other files of the
host or allocate without bounds; whatever is not plain is refused. Sources: QEMU's
docs/interop/qcow2.txt and block/*.c, file(1)'s magic numbers.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from kvmkeep.model.image_facts import Header
from kvmkeep.model.spec import Format
from kvmkeep.model.units import Size

HEAD_SIZE = 1 << 16
"""How many of the first bytes are looked at."""

LARGEST = Size(16 << 40)
"""What a guest's disk may be at most: a larger one is a mistake or an attack."""

_SECTOR = 512
_QCOW2 = b"QFI\xfb"

# Offset, magic, what it is.
_OTHERS = (
    (0, b"KDMV", "a VMware disk (VMDK)"),
    (0, b"COWD", "a VMware disk (VMDK)"),
    (0, b"# Disk DescriptorFile", "the descriptor of a VMware disk (VMDK)"),
    (0, b"vhdxfile", "a Hyper-V disk (VHDX)"),
    (0, b"conectix", "a Virtual PC disk (VHD)"),
    (0, b"<<< ", "a VirtualBox disk (VDI)"),
    (0x40, b"\x7f\x10\xda\xbe", "a VirtualBox disk (VDI)"),
    (0, b"QED\0", "a QED disk"),
    (0, b"WithoutFreeSpace", "a Parallels disk"),
    (0, b"WithouFreSpacExt", "a Parallels disk"),
    (0, b"LUKS\xba\xbe", "encrypted (LUKS)"),
    (0, b"\x1f\x8b", "packed with gzip"),
    (0, b"\xfd7zXZ\0", "packed with xz"),
    (0, b"\x28\xb5\x2f\xfd", "packed with zstd"),
    (0, b"BZh", "packed with bzip2"),
    (0, b"\x04\x22\x4d\x18", "packed with lz4"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0x101, b"ustar", "a tar archive"),
    (0x8001, b"CD001", "a CD or DVD (ISO 9660)"),
    (0, b"\x7fELF", "a program (ELF)"),
    (0, b"#!", "a script"),
)


def read_header(head: bytes, size: int) -> Header:
    """Judge an image by its first `HEAD_SIZE` bytes and its size in bytes. Never raises."""
    if size <= 0 or not head:
        return _refused("", "it is empty")
    if head.startswith(_QCOW2):
        return _qcow2(head, size)
    for offset, magic, name in _OTHERS:
        if head[offset : offset + len(magic)] == magic:
            return _refused("", f"it is no disk image but {name}" if _no_disk(name) else _is(name))
    if head[:256].lstrip().lower().startswith((b"<!doctype", b"<html")):
        return _refused("", "it is a web page (HTML) and no disk image")
    if _is_text(head):
        return _refused("", "it is text (an error page of a web server?) and no disk image")
    return _raw(head, size)


def _is(name: str) -> str:
    return f"it is {name}; only raw and qcow2 are used"


def _no_disk(name: str) -> bool:
    return any(word in name for word in ("archive", "program", "script", "descriptor", "CD or DVD"))


def _raw(head: bytes, size: int) -> Header:
    if size % _SECTOR:
        refused = f"its size of {size} bytes is no multiple of {_SECTOR}: it is not complete"
    elif size > LARGEST.bytes:
        refused = f"its size of {_told(size)} is more than {LARGEST}"
    elif head[510:512] != b"\x55\xaa" and head[_SECTOR : _SECTOR + 8] != b"EFI PART":
        refused = "it has neither a boot sector nor a partition table, so no guest boots from it"
    else:
        refused = ""
    return Header(format=Format.RAW.value, virtual_size=_size(size), refused=refused)


def _is_text(head: bytes) -> bool:
    start = head[:256].removeprefix(b"\xef\xbb\xbf")
    return len(start) > 0 and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)


# --- qcow2

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_V3_LENGTH = 104

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_KNOWN = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2

_EXT_END = 0
_EXT_DATA_FILE = 0x44415441
_EXT_ENCRYPTION = 0x0537BE77

# block/qcow2.h: QCOW_MAX_L1_SIZE and QCOW_MAX_REFTABLE_SIZE.
_MAX_L1 = 32 << 20
_MAX_REFCOUNT_TABLE = 8 << 20


class _Qcow2(Struct, frozen=True, kw_only=True):
    version: int
    backing_offset: int
    cluster_bits: int
    size: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    incompatible: int
    refcount_order: int
    length: int
    compression: int


def _qcow2(head: bytes, size: int) -> Header:
    if len(head) < _V2.size:
        return _refused(Format.QCOW2.value, "its qcow2 header is cut off")
    version = int.from_bytes(head[4:8], "big")
    if version not in {2, 3}:
        return _refused(Format.QCOW2.value, f"it is qcow version {version}; only 2 and 3 are used")
    if version == 3 and len(head) < _V3_LENGTH:
        return _refused(Format.QCOW2.value, "its qcow2 header is cut off")
    image = _parse(head, version)
    refused = _unsafe(image) or _unsound(image, size) or _bad_extension(head, image)
    return Header(format=Format.QCOW2.value, virtual_size=_size(image.size), refused=refused)


def _parse(head: bytes, version: int) -> _Qcow2:
    (_, _, backing, _, bits, size, encryption, l1_entries, l1_offset, refcount_offset,
     refcount_clusters, snapshots, _) = _V2.unpack_from(head)  # fmt: skip
    incompatible, _, _, order, length = (0, 0, 0, 4, _V2.size)
    if version == 3:
        incompatible, _, _, order, length = _V3.unpack_from(head, _V2.size)
    return _Qcow2(
        version=version,
        backing_offset=backing,
        cluster_bits=bits,
        size=size,
        encryption=encryption,
        l1_entries=l1_entries,
        l1_offset=l1_offset,
        refcount_offset=refcount_offset,
        refcount_clusters=refcount_clusters,
        snapshots=snapshots,
        incompatible=incompatible,
        refcount_order=order,
        length=length,
        compression=head[_V3_LENGTH] if length > _V3_LENGTH and len(head) > _V3_LENGTH else 0,
    )


def _unsafe(image: _Qcow2) -> str:
    """Say what would make qemu read something else than this file, or can't be trusted."""
    flags = image.incompatible
    unknown = flags & ~_KNOWN
    return _first(
        (image.backing_offset, "it has a backing file, so it is not complete in itself"),
        (flags & _DATA_FILE, "its data lie in another file"),
        (image.encryption, "it is encrypted"),
        (unknown, f"it uses features that are not known here ({unknown:#x})"),
        (flags & _CORRUPT, "it is marked as corrupt"),
        (flags & _DIRTY, "it was not closed cleanly (its dirty bit is set)"),
        (image.snapshots, f"it holds {image.snapshots} internal snapshots"),
    )


def _unsound(image: _Qcow2, size: int) -> str:
    """Say which number of the header can't be true for a file of this size."""
    if not 9 <= image.cluster_bits <= 21:
        return "its cluster size makes no sense"
    cluster = 1 << image.cluster_bits
    entry = 16 if image.incompatible & _EXTENDED_L2 else 8
    per_l2 = (cluster // entry) * cluster
    l1_bytes = image.l1_entries * 8
    table = image.refcount_clusters * cluster
    # A refcount table may reach into a hole at the end, but begins before it.
    ends = max(image.l1_offset + l1_bytes, image.refcount_offset + cluster)
    return _first(
        (image.size > LARGEST.bytes, f"a disk of {_told(image.size)} is more than {LARGEST}"),
        (image.size % _SECTOR or not image.size, f"a disk of {image.size} bytes makes no sense"),
        (not _sound_header(image, cluster), "its qcow2 header makes no sense"),
        (l1_bytes > _MAX_L1, "its L1 table does not fit its size"),
        (image.l1_entries < -(-image.size // per_l2), "its L1 table does not fit its size"),
        (not 0 < table <= _MAX_REFCOUNT_TABLE, "its refcount table makes no sense"),
        (image.l1_offset % cluster or image.refcount_offset % cluster, "its tables lie askew"),
        (not image.l1_offset or not image.refcount_offset, "its tables lie over its header"),
        (ends > size, "it ends before its tables: it is not complete (truncated?)"),
    )


def _told(size: int) -> str:
    """Return a size in words; a header may hold one larger than any Size."""
    for unit, name in ((1 << 60, "EiB"), (1 << 40, "TiB"), (1 << 30, "GiB")):
        if size >= unit:
            return f"{size // unit} {name} ({size} bytes)"
    return f"{size} bytes"


def _first(*reasons: tuple[int, str]) -> str:
    return next((reason for holds, reason in reasons if holds), "")


def _sound_header(image: _Qcow2, cluster: int) -> bool:
    compressed = bool(image.incompatible & _COMPRESSION)
    return (
        image.refcount_order <= 6
        and image.length >= (_V2.size if image.version == 2 else _V3_LENGTH)
        and image.length % 8 == 0
        and image.length <= min(cluster, HEAD_SIZE)
        and compressed == (image.compression == 1)
        and not (image.incompatible & _EXTENDED_L2 and image.cluster_bits < 14)
    )


def _bad_extension(head: bytes, image: _Qcow2) -> str:
    """Walk the header's extensions: those that name other files or keys are refused."""
    position = image.length
    end = min(len(head), 1 << image.cluster_bits)
    while position + 8 <= end:
        kind, length = struct.unpack_from(">II", head, position)
        if kind == _EXT_END:
            return ""
        if kind == _EXT_DATA_FILE:
            return "its data lie in another file"
        if kind == _EXT_ENCRYPTION:
            return "it is encrypted"
        position += 8 + (length + 7) // 8 * 8
    # A header that fills the first cluster needs no end mark, but nothing reaches beyond it.
    return "" if position == 1 << image.cluster_bits else "its qcow2 header makes no sense"


def _refused(form: str, reason: str) -> Header:
    return Header(format=form, virtual_size=Size(0), refused=reason)


def _size(number: int) -> Size:
    """Return a size that foreign bytes claim; one beyond all bounds is refused elsewhere."""
    return Size(min(number, LARGEST.bytes))
