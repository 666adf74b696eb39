from __future__ import annotations

import subprocess  # noqa: TID251 - runs the tools themselves
from pathlib import Path

import pytest
from fakes.host import CLOUD, FakeFile, FakeHost, FakeImage, digest_of
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Algorithm, Checksum, ChecksumList, FirstBoot, Format, Image, Packing
from kvmkeep.model.store import fetched_path, list_path, unpacked_path
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.images.files import check_or_drop
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import StepError, carry_out, reach

URL = "https://images.example.org/debian.raw"


def plan(host: FakeHost, image: Image) -> Plan:
    wanted = spec(guest(), images=(image,))
    return make_plan(wanted, host.facts(wanted))


def reasons(host: FakeHost, image: Image) -> str:
    return "\n".join(f"{one.subject}: {one.reason}" for one in plan(host, image).refusals)


def image_steps(host: FakeHost, image: Image) -> list[str]:
    steps = [step for step in plan(host, image).steps if step.noun == "images"]
    return [f"{step.what.partition(' ')[0]}{'?' if step.assumes else ''}" for step in steps]


def program(host: FakeHost, image: Image, name: str) -> Command:
    """The first command of that program, in the steps about images."""
    actions = (a for step in plan(host, image).steps for a in step.actions)
    return next(a for a in actions if isinstance(a, Command) and name in a.argv)


def packed_host(packing: str) -> tuple[FakeHost, Image]:
    host = FakeHost()
    plain = host.add_image("/tmp/plain", FakeImage("raw", 2 * GIB, CLOUD))
    host.put("/srv/packed", packing.encode() + b":" + plain)
    return host, replace(IMAGE, source="/srv/packed", packing=Packing(packing))


@pytest.mark.parametrize("packing", ["gz", "xz", "zst"])
def test_each_packing_is_unpacked_within_a_limit(packing: str) -> None:
    host, image = packed_host(packing)
    unpack = program(host, image, "prlimit")
    assert unpack.argv[1] == f"--fsize={5 * GIB}"
    assert bool(unpack.stdout_to) == (packing != "zst")
    reach(host, spec(guest(), images=(image,)))


def test_rounds_of_a_remote_image_with_an_unsigned_list() -> None:
    host = FakeHost()
    sums = ChecksumList(source=f"{URL}.sums", signature="", keyring="")
    image = replace(IMAGE, source=URL, check=sums)
    assert image_steps(host, image) == ["get", "fetch?", "look?"]
    assert "it is not signed" in plan(host, image).steps[0].why


def test_rounds_of_a_packed_local_image_with_a_local_list() -> None:
    host, image = packed_host("xz")
    sums = ChecksumList(source="/srv/SUMS", signature="/srv/SUMS.gpg", keyring="/etc/k.gpg")
    image = replace(image, check=sums)
    assert image_steps(host, image) == ["get", "check?", "unpack?", "look?"]
    host.put("/srv/SUMS", b"sums")
    host.put("/srv/SUMS.gpg", b"signed:")
    host.lists[b"sums"] = f"sha256:{digest_of(host.files['/srv/packed'].content)}"
    wanted = spec(guest(), images=(image,))
    reach(host, wanted)
    assert list_path(image) in host.files
    assert make_plan(wanted, host.facts(wanted)).empty


def test_list_that_does_not_name_the_image_is_refused() -> None:
    host, image = packed_host("xz")
    image = replace(image, check=ChecksumList(source="/srv/SUMS", signature="", keyring=""))
    host.put(list_path(image), b"something else")
    assert reasons(host, image) == "image debian: the list does not name the image"
    assert "get" not in image_steps(host, image)


def test_download_is_checked_before_it_gets_its_name() -> None:
    check = Checksum(algorithm=Algorithm.SHA256, digest="ab" * 32)
    image = replace(IMAGE, source=URL, check=check)
    step = plan(FakeHost(), image).steps[0]
    names = [a.argv[0] for a in step.actions if isinstance(a, Command)]
    assert names == ["install", "prlimit", "sha256sum", "sync", "mv"]
    sums = step.actions[2]
    assert isinstance(sums, Command)
    assert sums.stdin.startswith(b"ab" * 32 + b"  /var/lib/kvmkeep/images/")
    assert sums.stdin.endswith(b".part\n")


def test_sha512() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    image = replace(IMAGE, check=Checksum(algorithm=Algorithm.SHA512, digest="cd" * 64))
    assert program(host, image, "sha512sum").stdin == b"cd" * 64 + b"  /srv/debian.raw\n"


def test_openssl_computes_a_checksum_where_it_is_there() -> None:
    host, image = checked(IMAGE.source)
    host.tools["openssl"] = "/usr/bin/openssl"
    command = program(host, image, "openssl")
    assert command.argv[1:] == ("dgst", "-sha256", "-r", IMAGE.source)
    assert command.expect == f"{'ab' * 32} *{IMAGE.source}"


def test_curl_fetches_nothing_but_http_and_no_more_than_fits() -> None:
    check = Checksum(algorithm=Algorithm.SHA256, digest="ab" * 32)
    curl = program(FakeHost(), replace(IMAGE, source=URL, check=check), "prlimit")
    assert curl.argv[1:3] == (f"--fsize={5 * GIB}", "--")
    assert curl.proxied
    assert "If this site has a proxy" in curl.meanings[0].sentence
    assert curl.argv[3:5] == ("curl", "--disable"), "curl(1): this must come first"
    assert curl.argv[curl.argv.index("--proto") + 1] == "=http,https"
    assert curl.argv[curl.argv.index("--max-filesize") + 1] == str(5 * GIB)


def of_two_moments() -> tuple[FakeHost, Image, bytes]:
    """A mirror whose list is older than its image."""
    host = FakeHost()
    old = host.add_image("/tmp/old", FakeImage("raw", GIB, CLOUD))
    new = host.add_image("/tmp/new", FakeImage("raw", 2 * GIB, CLOUD))
    host.lists = {b"old": f"sha256:{digest_of(old)}", b"new": f"sha256:{digest_of(new)}"}
    host.web = {URL: new, f"{URL}.sums": b"old"}
    check = ChecksumList(source=f"{URL}.sums", signature="", keyring="")
    return host, replace(IMAGE, source=URL, check=check), new


def test_list_older_than_its_image_is_fetched_anew_with_it() -> None:
    host, image, _ = of_two_moments()
    wanted = spec(guest(), images=(image,))
    with pytest.raises(StepError, match="grep"):
        reach(host, wanted)
    assert not [path for path in host.files if path.startswith("/var/lib/kvmkeep/images/debian-")]
    assert image_steps(host, image)[:2] == ["get", "fetch?"]
    host.web[f"{URL}.sums"] = b"new"
    reach(host, wanted)


def test_fetched_file_that_no_longer_fits_its_list_is_fetched_anew_with_it() -> None:
    host, image, new = of_two_moments()
    host.web[f"{URL}.sums"] = b"new"
    wanted = spec(guest(), images=(image,))
    for step in make_plan(wanted, host.facts(wanted)).certain[:1]:
        carry_out(host, step)
    carry_out(host, make_plan(wanted, host.facts(wanted)).certain[0])
    host.put(fetched_path(image), host.files["/tmp/old"].content)
    with pytest.raises(StepError, match="grep"):
        reach(host, wanted)
    assert image_steps(host, image)[:2] == ["get", "fetch?"]
    reach(host, wanted)
    assert host.files[fetched_path(image)].content == new


@pytest.mark.parametrize("packing", ["gz", "xz", "zst"])
def test_part_of_an_image_that_could_not_be_unpacked_goes(packing: str) -> None:
    host, image = packed_host(packing)
    step = next(s for s in plan(host, image).steps if s.what.startswith("unpack "))
    part = unpacked_path(image, host.look(image.source).fingerprint) + ".part"
    host.put(part, b"as much as there was room for")
    host.put(image.source, b"another file")
    with pytest.raises(StepError):
        carry_out(host, replace(step, probe=None))
    assert part not in host.files


def test_image_that_does_not_fit_is_refused_before_it_is_brought() -> None:
    host, image = packed_host("xz")
    large = replace(image, source="/srv/large")
    host.files["/srv/large"] = replace_size(host.files["/srv/packed"], 3 * GIB)
    host.images_free = Size(3 * GIB)
    assert reasons(host, image) == ""
    assert reasons(host, large) == (
        "image debian: it is brought to /var/lib/kvmkeep/images and it is larger than 3 GiB, but"
        " there 3 GiB are free, of which 512 MiB stay so"
    )
    host.images_free = Size(4 * GIB)
    assert reasons(host, large) == ""
    remote = replace(IMAGE, source=URL)
    host.images_free = Size(1)
    assert "but there 1 B are free" in reasons(host, remote)
    host.images_free = None
    assert reasons(host, remote) == ""


def test_image_that_is_used_where_it_lies_needs_no_room() -> None:
    host = FakeHost()
    host.images_free = Size(1)
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    assert reasons(host, IMAGE) == ""


OUTGROWN = (
    "No more than 5 GiB of it is written: the largest root disk of its guests and 1 GiB."
    " If the image is larger, make disks.root larger."
)


@pytest.mark.parametrize("packing", ["xz", "gz", "zst", ""])
def test_an_image_that_is_larger_than_its_disk_is_told_as_that(packing: str) -> None:
    """The kernel ends who writes more, and gzip and zstd die of it without a word."""
    host, image = packed_host(packing) if packing else (FakeHost(), replace(IMAGE, source=URL))
    *_, meaning = program(host, image, "prlimit").meanings
    assert (meaning.words, meaning.sentence) == ("", OUTGROWN)


def test_no_more_is_written_of_an_image_than_leaves_room() -> None:
    half = 512 << 20
    for packing, image_format, limit in (
        ("xz", Format.RAW, 2 * GIB), ("gz", Format.QCOW2, 2 * GIB), ("zst", Format.QCOW2, 2 * GIB),
        ("zst", Format.RAW, 5 * GIB),
    ):  # fmt: skip
        host, image = packed_host(packing)
        host.images_free = Size(2 * GIB + half)
        unpack = program(host, replace(image, format=image_format), "prlimit")
        assert unpack.argv[1] == f"--fsize={limit}"
        (meaning,) = unpack.meanings
        assert meaning.sentence == (
            OUTGROWN
            if limit == 5 * GIB
            else "No more than 2 GiB of it may be written, or /var/lib/kvmkeep/images would have less"
            " than 512 MiB free. If it is larger, make room there: df -h /var/lib/kvmkeep/images"
        )
    host.images_free = Size(GIB + half)
    curl = program(host, replace(IMAGE, source=URL), "prlimit")
    assert curl.argv[curl.argv.index("--max-filesize") + 1] == str(GIB)
    assert curl.why == "fetch the image, at most 1 GiB"
    assert curl.meanings[-1].sentence.startswith("No more than 1 GiB of it may be written")


def test_images_that_may_not_fit_together_are_brought_one_after_the_other() -> None:
    host, image = packed_host("xz")
    host.put("/srv/other", host.files["/srv/packed"].content)
    other = replace(image, name=Label("other"), source="/srv/other")
    second = guest("db", image=other.name)
    wanted = spec(guest(), second, images=(image, other))
    for free, assumed in ((GIB << 6, set()), (8 * GIB, {"room is left for it"})):
        host.images_free = Size(free)
        unpacks = [
            one for one in make_plan(wanted, host.facts(wanted)).steps if "unpack" in one.what
        ]
        assert [one.subject for one in unpacks] == ["image debian", "image other"]
        assert unpacks[0].assumes == ""
        assert {unpacks[1].assumes} - {""} == assumed
    reach(host, wanted)


def replace_size(file: FakeFile, size: int) -> FakeFile:
    return FakeFile(file.content, file.inode, file.stamp, size=size)


def test_armored_keyring_is_refused_with_what_to_type() -> None:
    host, image, _ = of_two_moments()
    for keyring, binary in (
        ("/etc/k.asc", "/etc/k-keyring.gpg"), ("/etc/a b.gpg", "'/etc/a b-keyring.gpg'"),
    ):  # fmt: skip
        check = ChecksumList(source=f"{URL}.sums", signature="inline", keyring=keyring)
        host.put(keyring, b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
        (refusal,) = plan(host, replace(image, check=check)).refusals
        assert refusal.reason.startswith(f"its keyring {keyring} is armored")
        assert refusal.hint.startswith("gpg --dearmor < ")
        assert refusal.hint.endswith(f" > {binary}, and name that file")


def test_new_checksum_for_the_same_url_fetches_the_new_file() -> None:
    host, image, new = of_two_moments()
    old = host.files["/tmp/old"].content

    def sums(content: bytes) -> Image:
        check = Checksum(algorithm=Algorithm.SHA256, digest=digest_of(content))
        return replace(image, check=check)

    host.web[URL] = old
    reach(host, spec(guest(), images=(sums(old),)))
    host.web[URL] = new
    done = reach(host, spec(guest(), guest("shop", nics=()), images=(sums(new),)))
    assert [step.what.partition(" ")[0] for step in done if step.noun == "images"] == [
        "fetch", "check", "look",
    ]  # fmt: skip


def test_local_file_stays_where_only_its_list_does_not_fit() -> None:
    host, image, _ = of_two_moments()
    image = replace(image, source="/tmp/new")
    wanted = spec(guest(), images=(image,))
    with pytest.raises(StepError, match="grep"):
        reach(host, wanted)
    assert "/tmp/new" in host.files
    host.web[f"{URL}.sums"] = b"new"
    reach(host, wanted)


def test_failed_checksum_says_what_comes_next() -> None:
    host, image, _ = of_two_moments()
    wanted = spec(guest(), images=(image,))
    carry_out(host, make_plan(wanted, host.facts(wanted)).steps[0])
    (meaning,) = program(host, image, "-aqsE").meanings
    assert meaning.sentence.endswith("The next run fetches the list and the image anew.")
    (meaning,) = program(*checked("/srv/debian.raw"), "sha256sum").meanings
    assert meaning.sentence.startswith("Put the right file there")
    (meaning,) = program(*checked(URL), "sha256sum").meanings
    assert "write the checksum of that" in meaning.sentence


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("fast", [True, False])
def test_real_tools_tell_a_wrong_file_from_a_right_one(
    tmp_path: Path, *, fast: bool, good: bool
) -> None:
    image, sums, found = (str(tmp_path / name) for name in ("a\\b", "a.sums", "a.found"))
    for path in (image, sums):
        Path(path).write_bytes(b"image")
    digest = f"sha256:{digest_of(b'image' if good else b'other')}"
    codes = []
    for command in check_or_drop(digest, image, found, (image, sums), "", fast=fast):
        done = subprocess.run(command.argv, check=False, capture_output=True)
        codes.append(done.returncode)
        if command.stdout_to:
            Path(command.stdout_to).write_bytes(done.stdout)
    assert codes == [0, 0, int(not good) * 2, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == (["a.sums", "a\\b"] if good else [])


def checked(source: str) -> tuple[FakeHost, Image]:
    host = FakeHost()
    host.add_image("/srv/debian.raw", FakeImage("raw", GIB, CLOUD))
    check = Checksum(algorithm=Algorithm.SHA256, digest="ab" * 32)
    return host, replace(IMAGE, source=source, check=check)


def test_password_in_a_url_is_refused() -> None:
    image = replace(IMAGE, source="https://me:secret@images.example.org/x")
    text = reasons(FakeHost(), image)
    assert "its URL holds a user or password" in text
    assert "secret" not in text


def test_what_is_no_regular_file_is_refused() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    host.files[IMAGE.source].kind = "fifo"
    assert "/srv/debian.raw is no regular file but a fifo" in reasons(host, IMAGE)


def test_header_decides_before_any_tool_opens_the_image() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("qcow2", GIB, CLOUD))
    assert "it is qcow2, but the spec says raw" in reasons(host, IMAGE)
    assert reasons(host, replace(IMAGE, format=Format.QCOW2)) == ""
    host.add_image(IMAGE.source, FakeImage("qcow2", GIB, CLOUD, refused="it names a data file"))
    assert reasons(host, replace(IMAGE, format=Format.QCOW2)) == (
        f"image debian: {IMAGE.source}: it names a data file"
    )


def test_image_that_formats_disks_is_told_of() -> None:
    host = FakeHost()
    baking = replace(CLOUD, bakes_disks=True)
    host.add_image(IMAGE.source, FakeImage("raw", GIB, baking))
    host.run(plan(host, IMAGE).steps[0].actions[1])
    check = "the spec gives no checksum: the file is used as it is"
    first, second = plan(host, IMAGE).notes
    assert first.text == check
    assert "format a second disk" in second.text


def test_images_that_no_new_guest_needs_are_left_alone() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    other = replace(IMAGE, name=Label("other"), source=URL)
    wanted = spec(guest(), images=(IMAGE, other))
    reach(host, wanted)
    del host.files[IMAGE.source]
    assert make_plan(wanted, host.facts(wanted)).empty


def test_guest_that_needs_no_image_of_its_own_facts() -> None:
    wanted = spec(guest(first_boot=FirstBoot.NONE))
    host = FakeHost()
    facts = replace(host.facts(wanted), images=())
    assert "there is no file" in make_plan(wanted, facts).refusals[0].reason


def test_guests_that_are_certain_come_before_assumptions() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest("a"))
    host.run(make_plan(wanted, host.facts(wanted)).steps[0].actions[1])
    check = Checksum(algorithm=Algorithm.SHA256, digest="ab" * 32)
    other = replace(IMAGE, name=Label("other"), source=URL, check=check)
    wanted = spec(
        guest("b", image=Label("other")), guest("a"), guest("c", needs=("b",)),
        images=(IMAGE, other),
    )  # fmt: skip
    found = make_plan(wanted, host.facts(wanted))
    subjects = list(dict.fromkeys(step.subject for step in found.certain))
    assert subjects == ["image other", "network public", "guest a"]
    later = found.steps[len(found.certain) :]
    assert {step.subject for step in later if step.assumes} == {"image other", "guest b", "guest c"}
    waits = [step.subject for step in later if step.what.startswith("wait ")]
    assert waits == ["guest b", "guest a", "guest c"]
