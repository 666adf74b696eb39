"""What a listing of a repository tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from kvmkeep.model.backup import (
    BackupEntry,
    BackupFacts,
    Fragment,
    RepositoryFacts,
    RepositoryState,
    StoredDisk,
    blocks_name,
    done_name,
    flat_path,
    parse_moment,
    recency,
)
from kvmkeep.model.backup_manifest import MANIFEST_FORMAT, DiskRecord, Manifest, Versions
from kvmkeep.model.backup_tags import StoredObject, disk_tags, listed, manifest_tags
from kvmkeep.model.proof import Proof
from kvmkeep.model.units import Size

MOMENT = "20261127T1240Z"
RECORD = DiskRecord(
    source="/dev/vg/vm-web",
    disk="root",
    size=Size(4096),
    object="aa" * 32,
    path="/web-root.raw",
    blocks="root.blocks",
    blocks_sha256="bb" * 32,
    read=Size(1024),
    added=Size(512),
)
MANIFEST = Manifest(
    format=MANIFEST_FORMAT,
    host="host.example.org",
    guest="web",
    identity="www",
    uuid="9f4ad3b5-0000-5000-8000-000000000000",
    moment=MOMENT,
    level="frozen",
    disks=(RECORD,),
    xml="domain.xml",
    nvram="",
    guest_spec="guest.yaml",
    host_spec="host.yaml",
    versions=Versions(kvmkeep="0.1", engine="restic 0.14.0", libvirt="9.0.0", emulator="7.2.0"),
    started="2026-11-27T12:40:01Z",
    ended="2026-11-27T12:41:01Z",
)


def stored(one: str, path: str, *tags: str) -> StoredObject:
    return StoredObject(id=one, time="2026-11-27T12:41:02Z", host="h", path=path, tags=tags)


ROOT = flat_path("web", "root")
DISK = stored("d1", ROOT, *disk_tags("web", MOMENT, "root", Size(4096), identity="www"))
OLDER = replace(DISK, tags=tuple(tag for tag in DISK.tags if tag != "identity=www"))
COMMIT = stored("m1", "/var/lib/kvmkeep/backup/web/" + MOMENT, *manifest_tags(MANIFEST))


def test_a_set_with_a_manifest_is_a_backup() -> None:
    assert listed("vault", (COMMIT, DISK)) == (
        (
            BackupEntry(
                repository="vault",
                guest="web",
                identity="www",
                moment=MOMENT,
                level="frozen",
                manifest="m1",
                path=f"/var/lib/kvmkeep/backup/web/{MOMENT}",
                time="2026-11-27T12:41:02Z",
                host="h",
                size=Size(4096),
                added=Size(512),
                disks=(
                    StoredDisk(disk="root", object="d1", path="/web-root.raw", size=Size(4096)),
                ),
            ),
        ),
        (),
    )


def test_a_set_without_a_manifest_is_none() -> None:
    entries, fragments = listed("vault", (DISK,))
    assert entries == ()
    disk = StoredDisk(disk="root", object="d1", path="/web-root.raw", size=Size(4096))
    fragment = Fragment(
        repository="vault", host="h", guest="web", moment=MOMENT, disks=(disk,), identity="www"
    )
    assert fragments == (fragment,)
    assert listed("vault", (OLDER,)) == ((), (replace(fragment, identity=""),))


def test_a_backup_whose_disk_is_not_listed_is_not_whole() -> None:
    two = replace(MANIFEST, disks=(RECORD, replace(RECORD, disk="data")))
    commit = replace(COMMIT, tags=manifest_tags(two))
    data = stored(
        "d2", "/web-data.raw", *disk_tags("web", MOMENT, "data", RECORD.size, identity="www")
    )
    assert listed("vault", (commit, DISK, data))[0][0].whole
    for objects in ((commit, DISK), (commit, DISK, replace(DISK, id="d3")), (commit,)):
        assert not listed("vault", objects)[0][0].whole


def test_a_set_tells_whose_it_is_by_whatever_part_of_it_does() -> None:
    for objects in ((DISK, replace(OLDER, id="d2")), (replace(OLDER, id="d2"), DISK)):
        (fragment,) = listed("vault", objects)[1]
        assert fragment.identity == "www"
    (entry,), fragments = listed("vault", (COMMIT, OLDER))
    assert (entry.identity, [one.object for one in entry.disks]) == ("www", ["d1"])
    assert fragments == ()


def test_hosts_that_share_a_repository_do_not_take_each_others_disks() -> None:
    other = replace(DISK, id="d2", host="other")
    (entry,), (fragment,) = listed("vault", (COMMIT, DISK, other))
    assert [disk.object for disk in entry.disks] == ["d1"]
    assert (fragment.host, [disk.object for disk in fragment.disks]) == ("other", ["d2"])


@pytest.mark.parametrize(
    "tags",
    [
        (),
        ("kvmkeep", "guest=web", "disk=root"),
        ("kvmkeep", f"set={MOMENT}", "disk=root"),
        ("guest=web", f"set={MOMENT}", "disk=root"),
        ("kvmkeep", "guest=web", "set=yesterday", "disk=root"),
        ("kvmkeep", "guest=web", f"set={MOMENT}"),
    ],
)
def test_what_does_not_wear_our_tags_is_left_out(tags: tuple[str, ...]) -> None:
    assert listed("vault", (stored("x", "/x", *tags),)) == ((), ())


@pytest.mark.parametrize("guest", ["../x", "w\x1b[2J", "W", "a" * 64, "-", "a/b"])
def test_what_is_no_name_of_a_guest_is_left_out(guest: str) -> None:
    disk = stored("d1", "/x", *disk_tags(guest, MOMENT, "root", Size(4096), identity="web"))
    assert listed("vault", (disk,)) == ((), ())


@pytest.mark.parametrize("identity", ["../../../../etc/x", "..", "a/b", "w\x1b[2J", "W"])
def test_what_has_no_identity_of_a_guest_is_left_out(identity: str) -> None:
    odd = replace(COMMIT, tags=(*COMMIT.tags[:3], f"identity={identity}", *COMMIT.tags[4:]))
    assert listed("vault", (odd,)) == ((), ())
    disk = stored("d1", "/x", *disk_tags("web", MOMENT, "root", Size(4096), identity=identity))
    assert listed("vault", (disk,)) == ((), ())
    assert listed("vault", (odd, COMMIT))[0] == listed("vault", (COMMIT,))[0]


@pytest.mark.parametrize("disk", ["../x", "..", "a/b", "\n", ""])
def test_what_is_no_name_of_a_disk_is_left_out(disk: str) -> None:
    odd = stored("d1", "/x", *disk_tags("web", MOMENT, disk, Size(4096), identity="web"))
    assert listed("vault", (odd,)) == ((), ())


@pytest.mark.parametrize("path", ["", "x", "/x/../../etc", "/..", "/x/./y", "/x/", "/x\x1b"])
def test_a_path_that_leads_elsewhere_is_left_out(path: str) -> None:
    assert listed("vault", (replace(COMMIT, path=path), replace(DISK, path=path))) == ((), ())


def test_a_size_that_is_none_counts_as_nothing() -> None:
    odd = stored("x", "/x", "kvmkeep", "guest=w", f"set={MOMENT}", "disk=root", "size=-5")
    assert listed("vault", (odd,))[1][0].disks[0].size == Size(0)


def test_the_moment_of_a_backup() -> None:
    assert parse_moment(MOMENT) == MOMENT
    assert parse_moment("20261127T124001Z") == "20261127T124001Z"
    with pytest.raises(ValueError, match="not a time of a backup"):
        parse_moment("yesterday")


def test_the_last_of_several_moments_is_none_that_is_still_to_come() -> None:
    now = datetime(2026, 11, 27, 13, 40, 30, tzinfo=timezone(timedelta(hours=1)))
    moments = ["20360101T0000Z", MOMENT, "20261127T124029Z", "20261127T124031Z", "20260101T0000Z"]
    assert sorted(moments, key=lambda one: recency(one, now)) == [
        "20261127T124031Z", "20360101T0000Z", "20260101T0000Z", MOMENT, "20261127T124029Z",
    ]  # fmt: skip
    proofs = tuple(
        Proof(repository="vault", guest="web", moment=one, time="", proven=True, rungs=())
        for one in moments
    )
    proof = BackupFacts(proofs=proofs).proof_of("web", now)
    assert proof is not None
    assert proof.moment == "20261127T124029Z"
    assert BackupFacts(proofs=proofs).proof_of("db", now) is None


def test_a_proof_is_of_an_identity_and_of_a_name_only_where_it_tells_none() -> None:
    now = datetime(2026, 11, 27, 13, 40, tzinfo=UTC)
    old = Proof(repository="vault", guest="web", moment=MOMENT, time="", proven=True, rungs=())
    of_another = replace(old, identity="web-2")
    assert BackupFacts(proofs=(old,)).proof_of("web", now) == old
    assert BackupFacts(proofs=(of_another,)).proof_of("web", now) is None
    assert BackupFacts(proofs=(old, of_another)).proof_of("web-2", now) == of_another


def test_names_of_files() -> None:
    assert (blocks_name("root"), done_name("root")) == ("root.blocks", "root.blocks.done")


def test_a_repository_is_found_by_its_name() -> None:
    vault = RepositoryFacts(name="vault", state=RepositoryState.READY)
    facts = BackupFacts(repositories=(vault,))
    assert facts.repository("vault") == vault
    assert facts.repository("attic") is None
