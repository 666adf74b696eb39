"""A manifest is taken only as kvmkeep writes it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.backup import BackupEntry
from kvmkeep.model.backup_manifest import Manifest
from kvmkeep.model.backup_tags import listed
from kvmkeep.model.manifest_trouble import manifest_trouble
from tests.unit.model.test_backup import COMMIT, DISK, MANIFEST, RECORD

((ENTRY,), _) = listed("vault", (COMMIT, DISK))
ELSEWHERE = "../../../etc/cron.d/x"


def trouble(manifest: Manifest, entry: BackupEntry = ENTRY) -> str:
    return manifest_trouble(manifest, entry)


def test_one_of_ours() -> None:
    assert trouble(MANIFEST) == ""
    bare = replace(MANIFEST, xml="", nvram="nvram.fd", guest_spec="", host_spec="", disks=())
    assert trouble(bare) == ""
    assert trouble(replace(MANIFEST, disks=(replace(RECORD, object="aaaaaaaa"),))) == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "it is of format 2, and this kvmkeep knows 1"),
        ({"guest": "db"}, "another backup"),
        ({"identity": "web"}, "another backup"),
        ({"moment": "20261127T1241Z"}, "another backup"),
        ({"xml": ELSEWHERE}, "where domain.xml is expected"),
        ({"nvram": ELSEWHERE}, "where nvram.fd is expected"),
        ({"guest_spec": "host.yaml"}, "where guest.yaml is expected"),
        ({"host_spec": "/etc/shadow"}, "where host.yaml is expected"),
        ({"template": "/etc/shadow"}, "where template.xml is expected"),
        ({"disks": (RECORD, RECORD)}, "a disk twice"),
    ],
)
def test_another_one(changes: dict[str, object], told: str) -> None:
    assert told in trouble(replace(MANIFEST, **changes))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"disk": "../x"}, "is no name of a disk"),
        ({"blocks": ELSEWHERE}, "where root.blocks is expected"),
        ({"path": "/../../../dev/sda"}, "where /web-root.raw is expected"),
        ({"object": "latest"}, "is no object"),
        ({"object": "--target=/"}, "is no object"),
        ({"blocks_sha256": ""}, "has no checksum"),
        ({"blocks": "\x1b[2J" * 100}, r"'\x1b[2J"),
    ],
)
def test_another_disk(changes: dict[str, object], told: str) -> None:
    found = trouble(replace(MANIFEST, disks=(replace(RECORD, **changes),)))
    assert told in found
    assert found.isprintable()
    assert len(found) < 200
