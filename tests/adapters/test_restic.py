"""What restic 0.14 and 0.18 printed, read as facts; and what it should never print."""

from __future__ import annotations

import json

import pytest
from adapters.engines import Says
from adapters.replay import captured, ended
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.host import repositories
from kvmkeep.host.door import Result
from kvmkeep.host.tools import Unanswered
from kvmkeep.model.backup import (
    BackupEntry,
    Fragment,
    RepositoryFacts,
    RepositoryState,
    Stored,
    StoredDisk,
)
from kvmkeep.model.backup_policy import Engine, Repository
from kvmkeep.model.units import Label, Size

VAULT = Repository(
    name=Label("vault"), engine=Engine.RESTIC, url="/srv/vault", password_file="/root/pw"
)
ROOT = "47f7a534fe421e4667aa3c3eaffcf4622a6312e08b6d7e8cfefed76554d64d9b"
OTHER = "25c5ccb24fe20a17971a26884ddacfc8394407cfccc971606e0b3eb996b43c54"
COMMIT = "3654d11205630e876d85b1424856a94a863b5d19ddbb4657ccdc743188c03535"
OLD, NEW = "0.14.0", "0.18.0"
SAYS_VERSION = b"restic 0.14.0 compiled with go1.19.8 on linux/amd64\n"


def says(result: Result) -> Says:
    return Says(result, ended(stdout=SAYS_VERSION))


def look(result: Result) -> RepositoryFacts:
    return repositories.look(says(result), VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]


def refused(kind: str, version: str = OLD, code: int = 1) -> RepositoryFacts:
    return look(ended(code, stderr=captured(f"restic-{kind}", "here", version).encode()))


def disk(one: str, moment: str) -> StoredDisk:
    del moment
    return StoredDisk(disk="root", object=one, path="/web/root.raw", size=Size(5000000))


def test_a_listing() -> None:
    found = look(ended(stdout=captured("restic-snapshots", "here", OLD).encode()))
    assert found == RepositoryFacts(
        name="vault",
        state=RepositoryState.READY,
        version="restic 0.14.0",
        entries=(
            BackupEntry(
                repository="vault",
                guest="web",
                identity="web",
                moment="20261127T1240Z",
                level="frozen",
                manifest=COMMIT,
                path="/var/lib/kvmkeep/backup/web/20261127T1240Z",
                time="2026-11-27T13:09:56Z",
                host="host.example.org",
                size=Size(5000000),
                added=Size(5001000),
                disks=(disk(ROOT, "20261127T1240Z"),),
            ),
        ),
        fragments=(
            Fragment(
                repository="vault",
                host="host.example.org",
                guest="web",
                moment="20261127T1300Z",
                disks=(disk(OTHER, "20261127T1300Z"),),
            ),
        ),
    )


def test_a_listing_of_0_18() -> None:
    found = look(ended(stdout=captured("restic-snapshots", "here", NEW).encode()))
    (one,) = found.entries
    assert (one.guest, one.moment, one.whole) == ("web", "20261127T1240Z", True)
    assert one.path == "/var/lib/kvmkeep/backup/web/20261127T1240Z"
    assert [(disk.disk, disk.path) for disk in one.disks] == [("root", "/web-root.raw")]
    assert found.fragments == ()


@pytest.mark.parametrize(
    ("kind", "version", "said"),
    [
        ("damaged", OLD, "could not load snapshot 0449d3b1: load <snapshot/0449d3b110>"),
        ("unlisted", OLD, "could not load snapshots: "),
        ("damaged", NEW, 'Ignoring "47385f69371bac118df71b25d933968c94797ca5200938b2d02dd9fb8'),
    ],
)
def test_a_listing_that_leaves_something_out_is_none(kind: str, version: str, said: str) -> None:
    listing = captured("restic-snapshots", "here", OLD).encode()
    stderr = captured(f"restic-{kind}", "here", version).encode()
    found = look(ended(stdout=listing, stderr=stderr))
    assert (found.state, found.entries, found.fragments) == (RepositoryState.UNSEEN, (), ())
    assert f"restic lists only a part of it: {said}" in found.said
    assert found.said.endswith("remove /var/cache/kvmkeep/restic")


def test_looking_takes_no_lock() -> None:
    door = says(ended(stdout=b"[]\n"))
    found = repositories.look(door, VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
    assert (found.state, found.entries) == (RepositoryState.READY, ())
    assert "--no-lock" in door.asked[0]


def test_a_long_listing_is_read_whole_and_of_what_is_ours_alone() -> None:
    """The limit of other answers, 16 MiB, is reached by 30 guests in months."""
    tags = ["kvmkeep", "manifest", "guest=web", "level=frozen"]
    one = {"id": "a" * 64, "time": "2026-11-27T13:09:56Z", "paths": ["/x"], "hostname": "h"}
    found = [
        {**one, "tags": [*tags, f"set=2{at:07}T0000Z"], "tree": "b" * 300} for at in range(50_000)
    ]
    door = says(ended(stdout=json.dumps(found).encode()))
    seen = repositories.look(door, VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
    assert (seen.state, len(seen.entries)) == (RepositoryState.READY, 50_000)
    assert door.most == 256 << 20
    assert "--tag=kvmkeep" in door.asked[0]


def test_a_listing_that_was_cut_is_not_read() -> None:
    whole = captured("restic-snapshots", "here", OLD).encode()
    found = look(replace(ended(stdout=whole), cut=(300 << 20) - len(whole)))
    assert (found.state, found.entries, found.fragments) == (RepositoryState.UNSEEN, (), ())
    assert found.said == (
        "restic printed 300 MiB, which is more than is read of it; begin another repository, or "
        "remove its oldest objects with restic itself"
    )


def test_a_file_that_was_cut_is_not_read() -> None:
    door = says(replace(ended(stdout=b"{}"), cut=1))
    with pytest.raises(Unanswered, match="restic printed 3 B, which is more than"):
        repositories.read(door, VAULT, "/usr/bin/kvmkeep", one="a", path="/x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "state", "said"),
    [
        ("absent", RepositoryState.ABSENT, "unable to open config file"),
        ("password", RepositoryState.WRONG_PASSWORD, "wrong password"),
        ("two-keys", RepositoryState.HALF, "is damaged"),
        ("empty-config", RepositoryState.HALF, "config file has zero size"),
        ("rest", RepositoryState.UNSEEN, "connection refused"),
        ("sftp", RepositoryState.UNSEEN, "Connection refused"),
        ("nofile", RepositoryState.UNSEEN, "/nope/pw does not exist"),
        ("rest-absent", RepositoryState.ABSENT, "<config/> does not exist"),
        ("rest-login", RepositoryState.UNSEEN, "401 Unauthorized"),
        ("rest-tls", RepositoryState.UNSEEN, "certificate signed by unknown authority"),
        ("s3-absent", RepositoryState.ABSENT, "The specified key does not exist"),
        ("s3-bucket", RepositoryState.ABSENT, "The specified bucket does not exist"),
        ("s3-key", RepositoryState.UNSEEN, "Access Key Id you provided does not exist in our"),
    ],
)
def test_why_there_is_no_listing(kind: str, state: RepositoryState, said: str) -> None:
    found = refused(kind)
    assert found.state is state
    assert said in found.said


@pytest.mark.parametrize(
    ("kind", "code", "state", "said"),
    [
        ("absent", 10, RepositoryState.ABSENT, "Fatal: repository does not exist: unable to open"),
        ("password", 12, RepositoryState.WRONG_PASSWORD, "Fatal: wrong password or no key found"),
        ("two-keys", 1, RepositoryState.HALF, "Fatal: config or key f2050dcb24797893de9513fa15"),
        ("empty-config", 1, RepositoryState.HALF, "config file has zero size, invalid repository?"),
        ("nofile", 1, RepositoryState.UNSEEN, "Fatal: Resolving password failed: Fatal: /nope/pw"),
    ],
)
def test_why_0_18_gives_no_listing(kind: str, code: int, state: RepositoryState, said: str) -> None:
    found = refused(kind, NEW, code)
    assert (found.state, found.said[: len(said)]) == (state, said)
    assert "{" not in found.said


def test_a_key_that_a_stopped_init_has_left() -> None:
    door = says(ended(1, stderr=captured("restic-absent", "here", OLD).encode()))
    for names, state in (
        (("0906cd6a-tmp-3272686996",), RepositoryState.ABSENT),  # restic takes it for no key
        (("00856fa089388072c1eb75",), RepositoryState.HALF),
    ):
        door.there = {"/srv/vault/keys": names}
        found = repositories.look(door, VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
        assert found.state is state
    assert found.said == "/srv/vault/keys holds 00856fa089388072c1eb75"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (10, RepositoryState.ABSENT),
        (11, RepositoryState.UNSEEN),
        (12, RepositoryState.WRONG_PASSWORD),
        (127, RepositoryState.UNSEEN),
    ],
)
def test_codes_of_newer_versions(code: int, state: RepositoryState) -> None:
    assert look(ended(code)).state is state


def test_one_that_does_not_answer() -> None:
    late = Result(code=-15, stdout=b"", stderr=b"", seconds=180, timed_out=True, ok=False)
    found = look(late)
    assert (found.state, found.said) == (
        RepositoryState.UNSEEN, "restic did not answer within 180 s"
    )  # fmt: skip


def test_what_one_said_before_it_fell_silent() -> None:
    said = b"Load(<key/5e>) returned error, retrying after 1s: connection reset by peer\n"
    found = look(Result(code=-15, stdout=b"", stderr=said, seconds=180, timed_out=True, ok=False))
    assert found.said.startswith("restic did not answer within 180 s: Load(<key/5e>) returned")
    assert "connection reset by peer" in found.said


@pytest.mark.parametrize("told", ["", "null", "{}", '[{"id": 5}]', '[{"id":"a","time":"now"}]'])
def test_what_is_no_listing(told: str) -> None:
    found = look(ended(stdout=told.encode()))
    assert found.state is RepositoryState.UNSEEN
    assert "something else than the JSON expected" in found.said


def test_what_comes_out_can_be_printed() -> None:
    odd = {"id": "a\x1b", "time": "2026-11-27T13:09:56", "paths": ["/x"], "hostname": "\x07"}
    tags = ["kvmkeep", "manifest", "guest=w", "set=20261127T1240Z", "level=\x1b[2J"]
    other = {**odd, "tags": [*tags, "identity=\x1b]0;x"]}
    found = look(ended(stdout=json.dumps([{**odd, "tags": tags}, other]).encode()))
    (one,) = found.entries
    assert all(text.isprintable() for text in (one.manifest, one.host, one.level, one.identity))
    assert one.identity == "w"


def test_a_listing_without_end_or_ground_is_none() -> None:
    whole = json.dumps([{"id": "a", "time": "2026-11-27T13:09:56", "paths": []}] * 9).encode()
    deep = b'[{"id": "a", "x": ' + b"[" * 200_000
    for told in (whole[:60] + b"\n[... left out ...]\n" + whole[-60:], deep):
        found = look(ended(stdout=told))
        assert found.state is RepositoryState.UNSEEN
        assert "answered with something else" in found.said
        assert len(found.said) < 500


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_beyond_all_times_hides_this_repository_alone(time: str) -> None:
    found = look(ended(stdout=json.dumps([{"id": "a", "time": time, "paths": []}]).encode()))
    assert found.state is RepositoryState.UNSEEN
    assert found.said.startswith("restic told what can't be true: ")


@given(st.binary(max_size=300))
def test_anything_is_a_listing_or_none(told: bytes) -> None:
    assert look(ended(stdout=told)).state in RepositoryState
    assert look(ended(1, stderr=told)).state is not RepositoryState.READY


def test_what_was_stored() -> None:
    said = captured("restic-backup", "here", OLD).encode()
    assert repositories.stored(said) == Stored(object="47f7a534", added=Size(5000780))


def test_what_0_18_stored() -> None:
    said = captured("restic-backup", "here", NEW).encode()
    one = "eeb357a9052e5a20f32921f14223604684f96a6810be9a122b88e448b9b94767"
    assert repositories.stored(said) == Stored(object=one, added=Size(5000562))


@pytest.mark.parametrize(
    "said", [b"", b"{}", b"5\n", b'{"snapshot_id": "a", "data_added": -1}', b"saved\n\xff"]
)
def test_that_nothing_was_stored(said: bytes) -> None:
    assert repositories.stored(said) is None


def test_a_file_of_an_object() -> None:
    door = says(ended(stdout=b"{}"))
    read = repositories.read(door, VAULT, "/usr/bin/kvmkeep", one="a1", path="/m.json")  # type: ignore[arg-type]
    assert read == b"{}"
    assert door.asked[0][-5:] == ("dump", "--no-lock", "--", "a1", "/m.json")
    gone = says(ended(1, stderr=b"not found in snapshot"))
    with pytest.raises(Unanswered, match="not found in snapshot"):
        repositories.read(gone, VAULT, "/usr/bin/kvmkeep", one="a1", path="/m.json")  # type: ignore[arg-type]
