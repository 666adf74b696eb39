"""Where images' working files lie: the same for the same origin, and for no other."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.image_facts import Fingerprint
from kvmkeep.model.spec import Algorithm, Checksum, ChecksumList, Packing
from kvmkeep.model.store import (
    fetched_path,
    list_path,
    look_path,
    part_path,
    unpacked_path,
    verified_memo,
    verified_path,
)
from tests.unit.planning.build import IMAGE, spec

FILE = Fingerprint(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
LIST = ChecksumList(source="https://a/SHA256SUMS", signature="inline", keyring="/k.gpg")


def test_only_a_list_has_a_place() -> None:
    assert list_path(IMAGE) == ""
    single = Checksum(algorithm=Algorithm.SHA256, digest="0" * 64)
    assert list_path(replace(IMAGE, check=single)) == ""
    assert list_path(replace(IMAGE, check=LIST)).startswith("/var/lib/kvmkeep/images/debian-")


def test_whatever_vouches_for_a_list_changes_its_name() -> None:
    lists = [
        LIST,
        replace(LIST, source="https://b/SHA256SUMS"),
        replace(LIST, signature=""),
        replace(LIST, keyring="/other.gpg"),
    ]
    assert len({list_path(replace(IMAGE, check=each)) for each in lists}) == 4


def test_a_download_is_named_after_its_source() -> None:
    other = replace(IMAGE, source="/srv/other.raw")
    assert fetched_path(IMAGE) != fetched_path(other)
    assert part_path(fetched_path(IMAGE)) == fetched_path(IMAGE) + ".part"


def test_a_download_is_named_after_the_checksum_in_the_spec() -> None:
    digests = ["0" * 64, "1" * 64]
    images = [
        replace(IMAGE, check=Checksum(algorithm=Algorithm.SHA256, digest=digest))
        for digest in digests
    ]
    assert len({fetched_path(image) for image in (IMAGE, *images)}) == 3


def test_what_is_known_of_a_file_is_known_of_no_other() -> None:
    changed = [
        replace(FILE, **{name: 9}) for name in ("device", "inode", "size", "mtime_ns", "ctime_ns")
    ]
    files = [FILE, *changed]
    assert len({look_path(file) for file in files}) == 6
    assert len({verified_path(file, "sha256:00") for file in files}) == 6
    assert len({unpacked_path(IMAGE, file) for file in files}) == 6
    assert verified_path(FILE, "sha256:00") != verified_path(FILE, "sha256:01")
    assert unpacked_path(IMAGE, FILE) != unpacked_path(replace(IMAGE, packing=Packing.XZ), FILE)
    assert verified_memo("sha256:00") == b"sha256:00\n"


def test_a_spec_finds_its_parts() -> None:
    site = spec()
    assert site.image(IMAGE.name) is IMAGE
    assert site.network(site.networks[0].name) is site.networks[0]
