"""Files of images that nothing uses any more."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.health import Severity
from kvmkeep.model.image_facts import Fingerprint, ImageFacts, ImageFile
from kvmkeep.model.names import IMAGE_DIR
from kvmkeep.model.spec import Algorithm, Checksum, ChecksumList, Image, Packing
from kvmkeep.model.store import fetched_path, list_path, unpacked_path
from tests.unit.health.build import SPEC, findings, only
from tests.unit.planning.build import IMAGE

FILE = Fingerprint(device=1, inode=2, size=3, mtime_ns=4, ctime_ns=5)
URL = "https://images.example.org/debian.raw.xz"
SUMS = ChecksumList(source=f"{URL}.sums", signature="", keyring="")
PACKED = replace(IMAGE, source=URL, packing=Packing.XZ, check=SUMS)
OWN = ("looks", "verified", "debian.raw", "my-image.img")
"""What is not of a download, nor unpacked by us."""


def known(*, there: bool) -> tuple[ImageFacts, ...]:
    path = fetched_path(PACKED)
    original = ImageFile(path=path, fingerprint=FILE, kind="file") if there else None
    return (
        ImageFacts(
            name="debian", original=original, usable=None, header=None, contents=None,
            digest_wanted="", digest_problem="", verified=False,
        ),
    )  # fmt: skip


def names(*paths: str) -> tuple[str, ...]:
    return (*OWN, *(path.removeprefix(f"{IMAGE_DIR}/") for path in paths))


def found(image: Image, *paths: str, **changes: object) -> list[str]:
    wanted = replace(SPEC, images=(image,))
    told = findings(wanted, image_files=names(*paths), **changes)
    return [one.todo for one in told if one.name == "images-left"]


def test_what_an_image_has_is_used() -> None:
    paths = (fetched_path(PACKED), list_path(PACKED), unpacked_path(PACKED, FILE))
    assert found(PACKED, *paths, images=known(there=True)) == []


def test_file_of_an_older_checksum_is_told_but_nothing_is_wrong() -> None:
    sums = [Checksum(algorithm=Algorithm.SHA256, digest=digit * 64) for digit in "01"]
    old, new = (fetched_path(replace(IMAGE, source=URL, check=one)) for one in sums)
    image = replace(IMAGE, source=URL, check=sums[1])
    assert found(image, old, f"{old}.part", new) == [f"rm -- {old} {old}.part"]
    assert found(image, old, working=True) == []
    told = only(Severity.OK, "images-left", image_files=names(old, new))
    assert told.what == "2 files there are of no image as the spec has it now"


def test_unpacked_file_is_left_alone_while_its_packed_one_is_not_there() -> None:
    path = unpacked_path(PACKED, FILE)
    assert found(PACKED, path, images=known(there=False)) == []
    assert found(PACKED, path, images=()) == []
    other = replace(FILE, size=9)
    assert found(PACKED, unpacked_path(PACKED, other), images=known(there=True)) == [
        f"rm -- {unpacked_path(PACKED, other)}"
    ]
