"""A repository that others can write to: what it tells leads nowhere else, and nothing is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from faults.door import digest

from tests.unit.cli.backup_site import BackupSite

WORDS = (
    "show web", "restore web --yes", "restore web --disk root --to /srv/x", "prove web",
    "restore web --as shop --yes", "copy-out web /etc/fstab /root/back",
)  # fmt: skip
CRON = "../../../../etc/cron.d/x"


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    assert made.line("backup", "run", "web") == 0
    made.host.libvirt.domains["web"].end("shutdown")
    capsys.readouterr()
    return made


def spoil(site: BackupSite, **changes: object) -> None:
    """Change the manifest; `disk` stands for values of its first disk."""
    (commit,) = [one for one in site.host.restic.listed("/srv/vault") if "manifest" in one.tags]
    (path,) = [one for one in commit.files if one.endswith("/manifest.json")]
    manifest = json.loads(commit.files[path])
    manifest["disks"][0] |= changes.pop("disk", {})  # type: ignore[operator]
    commit.files[path] = json.dumps({**manifest, **changes}).encode()


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"disk": {"blocks": CRON}}, "names '../../../../etc/cron.d/x' where root.blocks"),
        ({"disk": {"path": "/../../dev/sda"}}, "names '/../../dev/sda' where /web-root.raw"),
        ({"disk": {"size": {"bytes": -4096}}}, "something else than the JSON expected"),
        ({"disk": {"object": "latest"}}, "is no object of a repository"),
        ({"guest_spec": "/etc/shadow"}, "where guest.yaml is expected"),
        ({"guest": "db"}, "it is that of another backup"),
        ({"uuid": {"a": 1}}, "something else than the JSON expected"),
    ],
)
def test_a_manifest_that_leads_elsewhere_is_refused_by_all(
    site: BackupSite,
    words: str,
    changes: dict[str, object],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(site, **changes)
    before = digest(site.host)
    assert site.line("backup", *words.split()) == 5
    said = " ".join(capsys.readouterr().err.split())
    assert "the manifest of web@" in said
    assert told in said
    assert said.endswith("Nothing was touched.")
    assert digest(site.host) == before


def test_a_list_shows_what_is_ours_among_what_is_not(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = site.host.restic.listed("/srv/vault")
    (commit,) = [one for one in objects if "manifest" in one.tags]
    for number, guest in enumerate(("../x", "w\x1b[2J", "a/b")):
        tags = tuple(f"guest={guest}" if one == "guest=web" else one for one in commit.tags)
        objects.append(type(commit)(f"{number}" * 64, "evil\x07", tags, commit.path, {}))
    assert site.line("backup", "list") == 0
    told = capsys.readouterr()
    assert told.out.count("web@") == 1
    assert "\x1b" not in told.out + told.err
    assert not {"../x", "a/b"} & {*told.out.replace("@", " ").split()}


@pytest.mark.parametrize("identity", ["../../../../etc/cron.d/x", "db"])
def test_what_is_remembered_of_a_backup_is_about_its_guest_alone(
    site: BackupSite, identity: str
) -> None:
    objects = site.host.restic.listed("/srv/vault")
    (commit,) = [one for one in objects if "manifest" in one.tags]
    commit.tags = tuple(
        f"identity={identity}" if one.startswith("identity=") else one for one in commit.tags
    )
    before = set(site.host.files)
    site.line("backup", "run", "web")
    # That its own backup is one of another guest now is noted, under its own name.
    assert set(site.host.files) - before <= {"/var/lib/kvmkeep/backups/web.vanished"}
