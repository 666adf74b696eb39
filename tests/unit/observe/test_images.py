"""Images of the spec: which files are there, what they are, and what was found out before."""

from __future__ import annotations

import pytest
from adapters.replay import FILE, Replay, ended
from msgspec.structs import replace

from kvmkeep.model.image_facts import ImageFacts
from kvmkeep.model.spec import Algorithm, Checksum, ChecksumList, Image, Packing
from kvmkeep.model.store import (
    fetched_path,
    list_path,
    look_path,
    unpacked_path,
    verified_memo,
    verified_path,
)
from kvmkeep.model.units import Size
from kvmkeep.observe.images import free_for, observe_images
from kvmkeep.observe.notebook import Notebook
from kvmkeep.observe.sums import Found, find_sum
from tests.unit.planning.build import IMAGE

HEAD = bytes(510) + b"\x55\xaa"
SHA256, SHA512 = "ab" * 32, "cd" * 64
REMOTE = replace(IMAGE, source="https://example.org/a%20b/debian%2D12.raw?x=1")
LIST = ChecksumList(source="https://example.org/SUMS", signature="", keyring="")


def seen(image: Image, files: dict[str, bytes], **kinds: str) -> ImageFacts:
    door = Replay({}, files)
    door.kinds = {path: kind for path in files for kind in kinds.values()}
    notebook = Notebook(door)
    (found,) = observe_images(notebook, (image,))
    assert notebook.problems == ()
    return found


def test_a_local_image_is_used_where_it_lies() -> None:
    found = seen(IMAGE, {IMAGE.source: HEAD})
    assert found.original is not None
    assert found.usable == found.original
    assert found.header is not None
    assert (found.header.format, found.header.refused) == ("raw", "")
    assert (found.contents, found.verified, found.digest_wanted) == (None, False, "")


def test_a_remote_image_is_looked_for_where_it_is_kept() -> None:
    assert seen(REMOTE, {}).original is None
    found = seen(REMOTE, {fetched_path(REMOTE): HEAD})
    assert found.usable is not None
    assert found.usable.path == fetched_path(REMOTE)


def test_a_packed_image_is_used_once_it_is_unpacked() -> None:
    packed = replace(IMAGE, packing=Packing.ZSTD)
    found = seen(packed, {IMAGE.source: b"packed"})
    assert found.original is not None
    assert (found.usable, found.header) == (None, None)
    path = unpacked_path(packed, FILE)
    found = seen(packed, {IMAGE.source: b"packed", path: HEAD})
    assert found.usable is not None
    assert found.usable.path == path
    assert found.header is not None
    assert seen(packed, {}).usable is None


def free(answer: str | None, *, usable: bool = False, directory: str = "/var/lib") -> Size | None:
    door = Replay({}, {directory: b""})
    if answer is not None:
        door.answers["df",] = ended(stdout=answer.encode())
    notebook = Notebook(door)
    found = seen(IMAGE, {IMAGE.source: HEAD} if usable else {})
    free = free_for(notebook, (IMAGE,), (found,))
    assert notebook.problems == ()
    wanted = ("df", "--block-size=1", "--output=avail", "--", directory)
    assert door.ran == ([] if usable else [wanted])
    return free


def test_room_is_asked_for_only_where_an_image_is_not_there_yet() -> None:
    assert free("Avail\n 4096\n") == Size(4096)
    assert free("Avail\n 4096\n", directory="/var/lib/kvmkeep/images") == Size(4096)
    assert free("Avail\n 4096\n", usable=True) is None


@pytest.mark.parametrize("answer", [None, "", "Avail\n -\n", "Avail\n" + "9" * 40])
def test_room_that_nobody_tells_is_not_known(answer: str | None) -> None:
    assert free(answer) is None


@pytest.mark.parametrize(("answer", "more"), [("96\t/x\n", 96), (None, 0), ("", 0), ("-\t/x\n", 0)])
def test_what_a_killed_run_left_of_an_image_does_not_count_against_it(
    answer: str | None, more: int
) -> None:
    fetched = fetched_path(REMOTE)
    packed = replace(REMOTE, packing=Packing.XZ)
    unpacked = unpacked_path(packed, FILE)
    for image, files, part in (
        (REMOTE, {}, fetched + ".part"),
        (packed, {}, fetched + ".part"),
        (packed, {fetched: b"packed"}, unpacked + ".part"),
        (packed, {fetched: b"packed"}, unpacked + ".part.part"),
    ):
        door = Replay({}, {**files, part: b""})
        door.answers["df",] = ended(stdout=b"Avail\n 4096\n")
        if answer is not None:
            door.answers["du",] = ended(stdout=answer.encode())
        notebook = Notebook(door)
        both = (IMAGE, image)
        door.files[IMAGE.source] = HEAD
        assert free_for(notebook, both, observe_images(notebook, both)) == Size(4096 + more)
        assert door.ran[1:] == [("du", "--block-size=1", "--", part)]
        del door.files[part]
        assert free_for(notebook, both, observe_images(notebook, both)) == Size(4096)


def test_keyring_is_looked_at_while_the_list_is_to_be_fetched() -> None:
    signed = replace(REMOTE, check=replace(LIST, signature="inline", keyring="/k.asc"))
    armored = {"/k.asc": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"}
    assert seen(signed, armored).keyring_is_text
    assert not seen(signed, {"/k.asc": b"\x98\x33\x04"}).keyring_is_text
    assert not seen(signed, {}).keyring_is_text
    assert not seen(replace(signed, check=LIST), armored).keyring_is_text
    assert not seen(signed, {**armored, list_path(signed): b"list"}).keyring_is_text
    assert not seen(IMAGE, armored).keyring_is_text


@pytest.mark.parametrize("kind", ["device", "directory", "fifo", "symlink"])
def test_only_regular_files_are_opened(kind: str) -> None:
    found = seen(IMAGE, {IMAGE.source: HEAD}, kind=kind)
    assert found.original is not None
    assert (found.original.kind, found.header) == (kind, None)
    packed = seen(replace(IMAGE, packing=Packing.XZ), {IMAGE.source: HEAD}, kind=kind)
    assert packed.usable is None


def test_a_look_is_remembered_and_a_broken_one_is_not() -> None:
    whole = b"@kvmkeep look 1 raw\n@kvmkeep end\n"
    assert seen(IMAGE, {IMAGE.source: HEAD, look_path(FILE): whole}).contents is not None
    for broken in (b"", whole[:-5], b"\xff\xfe"):
        assert seen(IMAGE, {IMAGE.source: HEAD, look_path(FILE): broken}).contents is None


def test_a_checksum_of_the_spec_and_its_memo() -> None:
    image = replace(IMAGE, check=Checksum(algorithm=Algorithm.SHA256, digest=SHA256.upper()))
    wanted = f"sha256:{SHA256}"
    found = seen(image, {IMAGE.source: HEAD})
    assert (found.digest_wanted, found.verified) == (wanted, False)
    memo = verified_path(FILE, wanted)
    assert seen(image, {IMAGE.source: HEAD, memo: verified_memo(wanted)}).verified
    assert not seen(image, {IMAGE.source: HEAD, memo: b"sha256:00\n"}).verified
    assert not seen(image, {memo: verified_memo(wanted)}).verified


def test_a_checksum_from_a_list() -> None:
    image = replace(REMOTE, check=LIST)
    assert seen(image, {}).digest_wanted == ""
    files = {list_path(image): f"{SHA256}  ./dir/debian-12.raw\n".encode()}
    assert seen(image, files).digest_wanted == f"sha256:{SHA256}"
    local = replace(IMAGE, check=LIST)
    files = {list_path(local): f"{SHA512} *debian.raw\n".encode()}
    assert seen(local, files).digest_wanted == f"sha512:{SHA512}"
    assert "does not name" in seen(local, {list_path(local): b"\xff"}).digest_problem


@pytest.mark.parametrize(
    ("lines", "digest"),
    [
        (f"{SHA256}  a.img", f"sha256:{SHA256}"),
        (f"{SHA256} *a.img\r\n{SHA512}  a.img", f"sha512:{SHA512}"),
        (f"{SHA256.upper()}  a.img\n{SHA256}  a.img", f"sha256:{SHA256}"),
        (f"SHA512 (a.img) = {SHA512}", f"sha512:{SHA512}"),
        (f"SHA256 (x/a.img) = {SHA256}\n# a comment", f"sha256:{SHA256}"),
    ],
)
def test_lines_of_checksum_lists(lines: str, digest: str) -> None:
    assert find_sum(lines, "a.img") == Found(digest=digest)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", "does not name 'a.img'"),
        (f"{SHA256}  b.img\n{SHA256}  ba.img", "does not name 'a.img'"),
        (f"{SHA256}  a.img\n{'0' * 64}  a.img", "more than one checksum for 'a.img'"),
        (f"{'0' * 32}  a.img", "has no SHA-256 or SHA-512 of 'a.img'"),
        (f"SHA512/256 (a.img) = {SHA256}", "has no SHA-256 or SHA-512 of 'a.img'"),
        (f"SHA512 (a.img) = {SHA256}", "does not name 'a.img'"),
        ("<html>404</html>", "does not name 'a.img'"),
    ],
)
def test_lists_that_give_no_checksum(lines: str, problem: str) -> None:
    found = find_sum(lines, "a.img")
    assert found.digest == ""
    assert problem in found.problem
