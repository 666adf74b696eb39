"""Our own look at images: what is plain is used, all else refused, and nothing crashes."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvmkeep.host.image_header import HEAD_SIZE, LARGEST, read_header
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.model.units import Size

MIB = 1 << 20
GIB = 1 << 30
BOOT = bytes(510) + b"\x55\xaa"
GPT = bytes(512) + b"EFI PART"


def qemu_img(*words: str) -> bytes:
    done = MachineDoor().run(Command(argv=("qemu-img", *words), why="make an image"))
    assert done.ok, done.tail
    return done.stdout


def qcow2(directory: Path, *words: str, size: str = "64M") -> Path:
    path = directory / "image.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", *words, str(path), size)
    return path


def looked_at(path: Path) -> tuple[str, Size, str]:
    return verdict(path.read_bytes()[:HEAD_SIZE], path.stat().st_size)


def verdict(head: bytes, size: int) -> tuple[str, Size, str]:
    header = read_header(head, size)
    return header.format, header.virtual_size, header.refused


def patched(path: Path, offset: int, form: str, *numbers: int) -> tuple[str, Size, str]:
    head = bytearray(path.read_bytes()[:HEAD_SIZE])
    struct.pack_into(form, head, offset, *numbers)
    return verdict(bytes(head), path.stat().st_size)


# --- raw


@pytest.mark.parametrize("head", [BOOT, GPT], ids=["MBR", "GPT"])
def test_a_raw_disk(head: bytes) -> None:
    assert verdict(head.ljust(4096, b"\0"), GIB) == ("raw", Size(GIB), "")


def test_a_raw_disk_that_was_cut_off() -> None:
    assert "not complete" in verdict(BOOT, GIB + 100)[2]


def test_a_raw_disk_that_nothing_boots_from() -> None:
    assert "neither a boot sector nor a partition table" in verdict(bytes(4096), GIB)[2]


def test_a_raw_disk_beyond_all_bounds() -> None:
    form, size, refused = verdict(BOOT, 60 << 40)
    assert (form, size) == ("raw", LARGEST)
    assert refused == f"its size of 60 TiB ({60 << 40} bytes) is more than 16 TiB"
    # A sparse file on XFS may say it has nearly 8 EiB.
    assert verdict(BOOT, 7 << 60)[2] == f"its size of 7 EiB ({7 << 60} bytes) is more than 16 TiB"


@pytest.mark.parametrize(("head", "size"), [(b"", 0), (b"", 512), (BOOT, 0), (BOOT, -1)])
def test_an_empty_file(head: bytes, size: int) -> None:
    assert verdict(head, size) == ("", Size(0), "it is empty")


# --- qcow2, as qemu-img makes it


@pytest.mark.parametrize("compat", ["0.10", "1.1"], ids=["v2", "v3"])
def test_a_qcow2_disk(tmp_path: Path, compat: str) -> None:
    path = qcow2(tmp_path, "-o", f"compat={compat}", size="10G")
    assert looked_at(path) == ("qcow2", Size(10 * GIB), "")
    said = json.loads(qemu_img("info", "-f", "qcow2", "--output=json", str(path)))
    assert said["virtual-size"] == 10 * GIB


@pytest.mark.parametrize(
    "options",
    [
        "cluster_size=512",
        "cluster_size=2M",
        "lazy_refcounts=on",
        "extended_l2=on,cluster_size=128k",
        "compression_type=zstd",
        "refcount_bits=1",
        "preallocation=metadata",
    ],
)
def test_options_of_qcow2_that_are_harmless(tmp_path: Path, options: str) -> None:
    assert looked_at(qcow2(tmp_path, "-o", options)) == ("qcow2", Size(64 * MIB), "")


def test_a_disk_with_content(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(BOOT + bytes(range(256)) * 4096)
    for words in (("-c",), ()):
        path = tmp_path / "disk.qcow2"
        qemu_img("convert", *words, "-f", "raw", "-O", "qcow2", str(raw), str(path))
        assert looked_at(path) == ("qcow2", Size(raw.stat().st_size), "")


def test_a_backing_file(tmp_path: Path) -> None:
    base = tmp_path / "base.raw"
    base.write_bytes(bytes(MIB))
    path = qcow2(tmp_path, "-b", str(base), "-F", "raw")
    assert looked_at(path)[2] == "it has a backing file, so it is not complete in itself"


def test_a_data_file(tmp_path: Path) -> None:
    path = qcow2(tmp_path, "-o", f"data_file={tmp_path}/data.raw,data_file_raw=on")
    assert looked_at(path)[2] == "its data lie in another file"
    # The flag is one sign of it, the name in an extension of the header another.
    assert patched(path, 72, ">Q", 0)[2] == "its data lie in another file"


def test_a_snapshot_inside(tmp_path: Path) -> None:
    path = qcow2(tmp_path)
    qemu_img("snapshot", "-c", "one", str(path))
    assert looked_at(path)[2] == "it holds 1 internal snapshots"


def test_an_encrypted_disk(tmp_path: Path) -> None:
    path = qcow2(tmp_path)
    assert patched(path, 32, ">I", 2)[2] == "it is encrypted"
    # The header of LUKS has an extension of its own.
    assert patched(path, 112, ">IIQQ", 0x0537BE77, 16, 0x30000, 0x1F8000)[2] == "it is encrypted"


def test_a_bomb_of_60_tib(tmp_path: Path) -> None:
    path = qcow2(tmp_path, "-o", "cluster_size=2M", size="60T")
    form, size, refused = looked_at(path)
    assert (form, size) == ("qcow2", LARGEST)
    assert refused == f"a disk of 60 TiB ({60 << 40} bytes) is more than 16 TiB"


# --- qcow2 that lies. Offsets: QEMU's docs/interop/qcow2.txt.


@pytest.mark.parametrize(
    ("offset", "form", "number", "refused"),
    [
        (4, ">I", 1, "it is qcow version 1; only 2 and 3 are used"),
        (4, ">I", 0xFFFFFFFF, "it is qcow version 4294967295; only 2 and 3 are used"),
        (20, ">I", 8, "its cluster size makes no sense"),
        (20, ">I", 0xFFFFFFFF, "its cluster size makes no sense"),
        (24, ">Q", 0, "a disk of 0 bytes makes no sense"),
        (24, ">Q", 1000, "a disk of 1000 bytes makes no sense"),
        (
            24,
            ">Q",
            (1 << 64) - 512,
            f"a disk of 15 EiB ({(1 << 64) - 512} bytes) is more than 16 TiB",
        ),
        (24, ">Q", 1 << 40, "its L1 table does not fit its size"),
        (36, ">I", 0, "its L1 table does not fit its size"),
        (36, ">I", 0xFFFFFFFF, "its L1 table does not fit its size"),
        (40, ">Q", 1 << 60, "it ends before its tables: it is not complete (truncated?)"),
        (48, ">Q", 1 << 60, "it ends before its tables: it is not complete (truncated?)"),
        (72, ">Q", 1, "it was not closed cleanly (its dirty bit is set)"),
        (72, ">Q", 2, "it is marked as corrupt"),
        (72, ">Q", 1 << 40, "it uses features that are not known here (0x10000000000)"),
        (72, ">Q", 8, "its qcow2 header makes no sense"),
        (96, ">I", 7, "its qcow2 header makes no sense"),
        (100, ">I", 0, "its qcow2 header makes no sense"),
        (100, ">I", 105, "its qcow2 header makes no sense"),
        (100, ">I", 0xFFFFFFF8, "its qcow2 header makes no sense"),
        (104, ">B", 1, "its qcow2 header makes no sense"),
        (112, ">II", (0x12345678, 0xFFFFFFF0), "its qcow2 header makes no sense"),
    ],
)
def test_a_header_that_lies(
    tmp_path: Path, offset: int, form: str, number: int | tuple[int, ...], refused: str
) -> None:
    numbers = number if isinstance(number, tuple) else (number,)
    assert patched(qcow2(tmp_path), offset, form, *numbers)[2] == refused


def test_a_refcount_table_that_is_too_large(tmp_path: Path) -> None:
    assert "refcount" in patched(qcow2(tmp_path), 56, ">I", 0xFFFFFFFF)[2]


def test_extended_entries_need_larger_clusters(tmp_path: Path) -> None:
    path = qcow2(tmp_path, "-o", "cluster_size=8k", size="4M")
    assert patched(path, 72, ">Q", 16)[2] == "its qcow2 header makes no sense"


@pytest.mark.parametrize("kept", [4, 20, 71, 72, 100, 103])
def test_a_header_that_is_cut_off(tmp_path: Path, kept: int) -> None:
    head = qcow2(tmp_path).read_bytes()[:kept]
    assert verdict(head, kept) == ("qcow2", Size(0), "its qcow2 header is cut off")


def test_a_disk_that_is_cut_off(tmp_path: Path) -> None:
    head = qcow2(tmp_path).read_bytes()[:1024]
    assert verdict(head, 1024)[2] == "it ends before its tables: it is not complete (truncated?)"


def test_a_header_that_fills_its_cluster_needs_no_end_mark(tmp_path: Path) -> None:
    path = qcow2(tmp_path, "-o", "cluster_size=512", size="1M")
    head = bytearray(path.read_bytes()[:512])
    struct.pack_into(">I", head, 100, 112)
    struct.pack_into(">II", head, 112, 0x12345678, 512 - 120)
    assert verdict(bytes(head), path.stat().st_size)[2] == ""
    struct.pack_into(">II", head, 112, 0x12345678, 512 - 128)
    struct.pack_into(">II", head, 504, 0x12345678, 8)
    assert verdict(bytes(head), path.stat().st_size)[2] == "its qcow2 header makes no sense"


# --- what is no disk image, or not one of ours


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhdx", "qed", "parallels", "qcow"])
def test_disks_of_others(tmp_path: Path, form: str) -> None:
    path = tmp_path / "disk"
    qemu_img("create", "-q", "-f", form, str(path), "64M")
    _, _, refused = looked_at(path)
    assert refused.startswith("it is ")
    assert "only" in refused


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"KDMV", "VMDK"),
        (b"# Disk DescriptorFile\nversion=1\n", "descriptor of a VMware disk"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>\n", "VDI"),
        (bytes(0x40) + b"\x7f\x10\xda\xbe", "VDI"),
        (b"vhdxfile", "VHDX"),
        (b"conectix", "VHD"),
        (b"LUKS\xba\xbe", "LUKS"),
        (b"\x1f\x8b\x08", "packed with gzip"),
        (b"\xfd7zXZ\0", "packed with xz"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd"),
        (b"BZh9", "packed with bzip2"),
        (b"PK\x03\x04", "a zip archive"),
        (bytes(0x101) + b"ustar", "a tar archive"),
        (bytes(0x8001) + b"CD001", "a CD or DVD"),
        (b"\x7fELF", "a program"),
        (b"#!/bin/sh\n", "a script"),
        (b"<!DOCTYPE html>\n<html><title>404</title></html>\n", "a web page (HTML)"),
        (b"\n <HTML></html>" + bytes(1 << 20), "a web page (HTML)"),
        (b'{"error": "not found"}', "an error page of a web server"),
        (b'json:{"driver":"file","filename":"/etc/shadow"}', "text"),
    ],
)
def test_what_is_no_disk_image(head: bytes, part: str) -> None:
    form, size, refused = verdict(head.ljust(HEAD_SIZE, b"\0") if b"\0" in head else head, MIB)
    assert (form, size) == ("", Size(0))
    assert part in refused


def test_an_iso_that_also_boots_from_a_disk_is_still_an_iso() -> None:
    head = BOOT.ljust(0x8001, b"\0") + b"CD001"
    assert "a CD or DVD" in verdict(head, GIB)[2]


# --- anything

HEADS = st.binary(max_size=700) | st.binary(max_size=700).map(lambda rest: b"QFI\xfb" + rest)
V3 = st.tuples(
    st.integers(2, 3), st.integers(0, 3), st.integers(0, 30), st.integers(0, 1 << 64 - 1),
    st.integers(0, 70), st.integers(0, 1 << 20), st.binary(max_size=200),
).map(
    lambda n: struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", n[0], 0, 0, n[2], n[3], 0, n[5], 0, 0,
                          0, 0, 0, n[1] * 8, 0, 0, 4, 104 + n[4]) + n[6]
)  # fmt: skip


@given(HEADS | V3, st.integers(-1, 1 << 66))
@example(b"QFI\xfb\0\0\0\3" + b"\xff" * 600, 1 << 20)
@example(b"QFI\xfb\0\0\0\2" + b"\xff" * 64, 1 << 20)
def test_no_bytes_break_the_reader(head: bytes, size: int) -> None:
    header = read_header(head, size)
    assert header.refused.isprintable()
    assert header.format in {"", "raw", "qcow2"}
    assert header.virtual_size <= LARGEST
    assert header.refused or header.virtual_size > Size(0)
