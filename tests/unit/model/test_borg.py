"""Names of archives, and versions of borg."""

from __future__ import annotations

import pytest

from kvmkeep.model.backup import nested_path
from kvmkeep.model.backup_tags import disk_named, disk_tags
from kvmkeep.model.borg import archive_name, archive_tags, finished_name, version_trouble
from kvmkeep.model.units import Size

TAGS = disk_tags("web", "20261127T1240Z", "root", Size(4096), identity="www")


def test_a_name_tells_what_tags_would() -> None:
    name = archive_name("host.example.org", TAGS)
    assert name == (
        "kvmkeep+guest=web+identity=www+set=20261127T1240Z+disk=root+size=4096"
        "+host=host.example.org"
    )
    assert archive_tags(name) == ("host.example.org", TAGS)
    assert disk_named(TAGS) == nested_path("web", "root")
    assert disk_named(("kvmkeep", "manifest", "guest=web")) == ""


@pytest.mark.parametrize(
    "name",
    [
        "somebodys-own", "kvmkeep", "kvmkeep+", "kvmkeep+guest=web", "kvmkeep+guest=a/b+host=h",
        "kvmkeep+guest=web+host=h\n", "Kvmkeep+host=h", "kvmkeep+guest={user}+host=h",
        "kvmkeep+a=b=c+host=h", "kvmkeep-2+host=h",
    ],
)  # fmt: skip
def test_archives_of_others(name: str) -> None:
    assert archive_tags(name) is None


def test_what_is_half_stored_is_known_by_its_name() -> None:
    assert finished_name("kvmkeep+host=h.checkpoint") == "kvmkeep+host=h"
    assert finished_name("kvmkeep+host=h.checkpoint.2") == "kvmkeep+host=h"
    assert finished_name("kvmkeep+host=h") == "kvmkeep+host=h"


@pytest.mark.parametrize("said", ["borg 1.2.5", "borg 1.2.9", "borg 1.4.0", "borg 1.4.1rc1"])
def test_versions_that_are_used(said: str) -> None:
    assert version_trouble(said) == ""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("borg 1.2.4", "borg 1.2.4 is too old: archives can be forged"),
        ("borg 1.1.17", "CVE-2023-36811"),
        ("borg 2.0.0b14", "is not known yet"),
        ("", "is no version of borg"),
        ("borg x", "is no version of borg"),
    ],
)
def test_versions_that_are_not(said: str, why: str) -> None:
    assert why in version_trouble(said)
