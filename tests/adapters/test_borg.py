"""What borg 1.2.9 printed, read as facts; and what it should never print."""

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
    name=Label("vault"), engine=Engine.BORG, url="/srv/vault", password_file="/root/pw"
)
HOST = "+host=host.example.org"
SET = "kvmkeep+guest=web+set=20261127T1240Z"
SIZE = 9437184


def says(result: Result, version: Result | None = None) -> Says:
    return Says(result, version or ended(stdout=b"borg 1.2.9\n"))


def look(result: Result, version: Result | None = None) -> RepositoryFacts:
    return repositories.look(says(result, version), VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]


def listing(*names: str) -> Result:
    archives = [{"name": name, "time": "2026-11-27T22:37:41.000000"} for name in names]
    return ended(stdout=json.dumps({"archives": archives}).encode())


def test_a_listing() -> None:
    def disk(name: str, one: str = SET) -> StoredDisk:
        object_ = f"{one}+disk={name}+size={SIZE}{HOST}"
        return StoredDisk(disk=name, object=object_, path=f"/web/{name}.raw", size=Size(SIZE))

    half = f"kvmkeep+guest=web+set=20261127T1400Z+disk=root+size=5000000{HOST}.checkpoint"
    found = look(ended(stdout=captured("borg-list", "here").encode()))
    assert found == RepositoryFacts(
        name="vault",
        state=RepositoryState.READY,
        version="borg 1.2.9",
        entries=(
            BackupEntry(
                repository="vault",
                guest="web",
                identity="web",
                moment="20261127T1240Z",
                level="frozen",
                manifest=(
                    "kvmkeep+manifest+guest=web+identity=web+set=20261127T1240Z+level=frozen"
                    f"+size={SIZE}+added=4100{HOST}"
                ),
                path="/var/lib/kvmkeep/backup/web/20261127T1240Z",
                time="2026-11-27T22:37:41Z",
                host="host.example.org",
                size=Size(SIZE),
                added=Size(4100),
                disks=(disk("root"), disk("data")),
            ),
        ),
        fragments=(
            Fragment(
                repository="vault",
                host="host.example.org",
                guest="web",
                moment="20261127T1300Z",
                disks=(disk("root", SET.replace("1240", "1300")),),
            ),
            Fragment(
                repository="vault",
                host="host.example.org",
                guest="web",
                moment="20261127T1400Z",
                disks=(
                    StoredDisk(disk="", object=half, path="/web/root.raw", size=Size(0)),
                ),
            ),
        ),
    )  # fmt: skip


def test_a_listing_that_was_cut_is_not_read() -> None:
    door = says(replace(listing(), cut=300 << 20))
    found = repositories.look(door, VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
    assert (found.state, found.said[:21]) == (RepositoryState.UNSEEN, "borg printed 300.0 Mi")
    assert door.most == 256 << 20


def test_a_manifest_that_is_half_stored_makes_no_backup() -> None:
    commit = SET.replace("kvmkeep+", "kvmkeep+manifest+")
    for end in (".checkpoint", ".checkpoint.1"):
        found = look(listing(f"{SET}+disk=root+size=4096{HOST}", f"{commit}{HOST}{end}"))
        assert found.entries == ()
        (fragment,) = found.fragments
        assert len(fragment.disks) == 2


@pytest.mark.parametrize(
    "name",
    [
        "somebodys-own", "kvmkeep+host=h", f"kvmkeep+guest=..+set=20261127T1240Z{HOST}",
        f"{SET}+disk=..{HOST}", f"kvmkeep+guest=web+set=now+disk=root{HOST}",
    ],
)  # fmt: skip
def test_archives_of_others_are_not_ours(name: str) -> None:
    found = look(listing(name))
    assert (found.state, found.entries, found.fragments) == (RepositoryState.READY, (), ())


@pytest.mark.parametrize(
    ("kind", "state", "said"),
    [
        ("absent", RepositoryState.ABSENT, "does not exist"),
        ("empty", RepositoryState.ABSENT, "is not a valid repository"),
        ("password", RepositoryState.WRONG_PASSWORD, "by BORG_PASSCOMMAND"),
        ("nofile", RepositoryState.UNSEEN, "No such file or directory"),
        ("ssh", RepositoryState.UNSEEN, "Connection closed by remote host"),
        ("moved", RepositoryState.UNSEEN, "Repository access aborted"),
        ("no-manifest", RepositoryState.HALF, "Repository has no manifest"),
        ("locked", RepositoryState.UNSEEN, "remove the lock: borg break-lock /srv/vault"),
    ],
)
def test_why_there_is_no_listing(kind: str, state: RepositoryState, said: str) -> None:
    found = look(ended(2, stderr=captured(f"borg-{kind}", "here").encode()))
    assert found.state is state
    assert said in found.said
    assert "{" not in found.said


def test_a_borg_whose_archives_can_be_forged_is_not_asked() -> None:
    door = says(listing(), ended(stdout=b"borg 1.2.4\n"))
    found = repositories.look(door, VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
    assert found.state is RepositoryState.UNFIT
    assert found.said.startswith("/usr/bin/borg: borg 1.2.4 is too old")
    assert "CVE-2023-36811" in found.said
    assert door.asked == [("borg", "--version")]


def test_no_borg_at_all() -> None:
    found = look(listing(), ended(127, stderr=b"borg: not found"))
    assert (found.state, found.said) == (RepositoryState.UNSEEN, "borg: not found")


def test_one_that_does_not_answer() -> None:
    late = Result(code=-15, stdout=b"", stderr=b"", seconds=180, timed_out=True, ok=False)
    assert look(late).said == "borg did not answer within 180 s"
    assert look(ended(2)).said == "borg ended with 2"


@pytest.mark.parametrize("told", ["", "null", "{}", '{"archives": [{"name": 5}]}'])
def test_what_is_no_listing(told: str) -> None:
    found = look(ended(stdout=told.encode()))
    assert found.state is RepositoryState.UNSEEN
    assert "something else than the JSON expected" in found.said


@given(st.binary(max_size=300))
def test_anything_is_a_listing_or_none(told: bytes) -> None:
    assert look(ended(stdout=told)).state in RepositoryState
    found = look(ended(1, stderr=told))
    assert found.state is not RepositoryState.READY
    assert found.said.isprintable()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"message":"B\xfcro","msgid":"LockTimeout"}', "B\ufffdro; somebody uses it"),
        (b'{"message":' + b"[" * 200_000, '{"message":[[['),
    ],
    ids=["Latin-1", "deep"],
)
def test_words_that_are_no_json(line: bytes, said: str) -> None:
    found = look(ended(2, stderr=line))
    assert found.state is RepositoryState.UNSEEN
    assert said in found.said
    assert len(found.said) < 1000


def test_what_was_stored() -> None:
    said = captured("borg-create", "here").encode()
    name = f"{SET}+disk=data+size={SIZE}{HOST}"
    assert repositories.stored(said) == Stored(object=name, added=Size(711))
    assert repositories.stored(said.replace(b": 711", b": -1")) is None


def test_a_file_of_an_archive() -> None:
    door = says(ended(stdout=b"{}"))
    read = repositories.read(door, VAULT, "/usr/bin/kvmkeep", one="a1", path="/m.json")  # type: ignore[arg-type]
    assert read == b"{}"
    assert door.asked[0][-4:] == ("--stdout", "--", "/srv/vault::a1", "pf:m.json")
    gone = says(ended(2, stderr=b"Archive a1 does not exist"))
    with pytest.raises(Unanswered, match="Archive a1 does not exist"):
        repositories.read(gone, VAULT, "/usr/bin/kvmkeep", one="a1", path="/m.json")  # type: ignore[arg-type]


def test_what_a_stopped_init_has_left() -> None:
    door = says(ended(2, stderr=captured("borg-empty", "here").encode()))
    door.there = {"/srv/vault": ("README", "config-6k23eg6f.tmp", "data", "x\x1b")}
    found = repositories.look(door, VAULT, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
    assert (found.state, found.said) == (
        RepositoryState.HALF, "/srv/vault holds README, config-6k23eg6f.tmp, data ..."
    )  # fmt: skip
    elsewhere = replace(VAULT, url="ssh://me@vault/srv/vault")
    found = repositories.look(door, elsewhere, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
    assert found.state is RepositoryState.ABSENT
    hidden = replace(VAULT, url="/srv/forbidden")
    found = repositories.look(door, hidden, "/usr/bin/kvmkeep")  # type: ignore[arg-type]
    assert (found.state, found.said) == (
        RepositoryState.UNSEEN,
        "/srv/forbidden: Permission denied",
    )
