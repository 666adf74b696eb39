"""The last backup is gone from its store: each verb that sees the listing says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.backup_site import BackupSite, listed

OLD, LAST = "20261101T0130Z", "20261102T0130Z"
FILES = "/var/lib/kvmkeep/backups"


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    assert made.line("backup", "run", "web") == 0
    capsys.readouterr()
    return made


def rolled_back(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> str:
    """Have the store show only a backup that is older than the last; return the last one."""
    (one,) = listed(site, capsys)
    moment = str(one["moment"])
    memo = f"{FILES}/web.json"
    site.host.put(memo, site.host.files[memo].content.replace(moment.encode(), LAST.encode()))
    for each in site.host.restic.listed("/srv/vault"):
        each.tags = tuple(tag.replace(moment, OLD) for tag in each.tags)
        each.path = each.path.replace(moment, OLD)
        each.files = {
            path.replace(moment, OLD): content.replace(moment.encode(), OLD.encode())
            for path, content in each.files.items()
        }
    return LAST


def findings(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    site.line("check", "--json")
    told = json.loads(capsys.readouterr().out)["findings"]
    return [one for one in told if one["name"] == "backup-vanished"]


def test_a_list_tells_it_and_ends_with_9(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = rolled_back(site, capsys)
    assert site.line("backup", "list") == 9
    told = capsys.readouterr().err
    assert f"guest web: this host made web@{moment}, which repository vault does not list" in told
    assert f"the last that it lists is of {OLD}" in told
    assert f"backup forget web@{moment}" in told
    assert site.line("backup", "list", "--json") == 9
    assert json.loads(capsys.readouterr().out)["vanished"] == [
        {"guest": "web", "identity": "web", "moment": moment, "repository": "vault"}
    ]
    assert site.line("backup", "list", "other") == 0
    site.host.restic.repositories["/srv/vault"].objects.clear()
    assert site.line("backup", "list") == 9
    assert "it lists none of the guest" in capsys.readouterr().err


def test_what_takes_an_older_one_says_first_that_there_was_a_newer_one(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = rolled_back(site, capsys)
    site.host.libvirt.domains["web"].end("shutdown")
    said = f"this host made web@{moment}, which repository vault does not list any more"
    for words in (
        ("restore", "web", "--dry-run"),
        ("restore", "web", "--disk", "root", "--to", "/srv/x.raw", "--dry-run"),
        ("restore", "web", "--as", "web2", "--address", "public=132.230.223.99/24", "--dry-run"),
        ("copy-out", "web", "/etc/hosts", "/srv", "--dry-run"),
    ):
        assert site.line("backup", *words) == 0, words
        notes = " ".join(capsys.readouterr().out.partition("Worth knowing:")[2].split())
        assert notes.startswith(f"guest web: {said}"), words
    for words in (("show", "web"), ("prove", "web", "--dry-run")):
        assert site.line("backup", *words) == 0, words
        assert said in capsys.readouterr().err


def test_the_one_that_is_gone_can_not_be_had(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = rolled_back(site, capsys)
    assert site.line("backup", "restore", f"web@{moment}", "--dry-run") == 2
    told = capsys.readouterr().err
    assert f"guest web has no backup of {moment}" in told
    assert f"this host made web@{moment}, which repository vault does not list any more" in told


def test_a_newer_backup_does_not_hide_it_from_a_check(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = rolled_back(site, capsys)
    assert findings(site, capsys) == []
    assert site.line("backup", "run", "web") == 0
    assert f"this host made web@{moment}" in capsys.readouterr().err
    (one,) = findings(site, capsys)
    assert (one["severity"], one["subject"]) == ("critical", "guest web")
    assert f"its backup {moment}, which this host made, was not listed" in one["what"]
    assert site.line("backup", "list") == 9
    assert site.line("backup", "run", "web") == 0
    (same,) = findings(site, capsys)
    assert same["what"] == one["what"]


@pytest.mark.parametrize("verb", ["verify", "prune"])
def test_the_upkeep_notices_it_as_well(
    site: BackupSite, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    moment = rolled_back(site, capsys)
    assert site.line("backup", verb) == 0
    (one,) = findings(site, capsys)
    assert moment in one["what"]


def test_it_is_missed_no_more_once_it_is_there_again(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = site.host.restic.repositories["/srv/vault"].objects
    whole = list(objects)
    objects.clear()
    assert site.line("backup", "verify") == 0
    assert len(findings(site, capsys)) == 1
    objects += whole
    assert site.line("backup", "verify") == 0
    assert findings(site, capsys) == []
    assert site.line("backup", "list") == 0


def test_nor_once_somebody_says_that_it_was_meant_to_go(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = rolled_back(site, capsys)
    assert site.line("backup", "verify") == 0
    assert site.line("backup", "forget", f"web@{moment}", "--dry-run") == 0
    assert f"miss its backup {moment} no more" in capsys.readouterr().out
    assert site.line("backup", "forget", f"web@{moment}", "--yes") == 0
    assert findings(site, capsys) == []
    assert site.line("backup", "list") == 0
    assert site.line("backup", "forget", f"web@{moment}", "--yes") == 2
    assert "there is no backup" in capsys.readouterr().err
    assert not [path for path in site.host.files if path.startswith(f"{FILES}/web.")]


def test_nor_once_that_is_said_of_a_repository_that_left_the_spec(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = rolled_back(site, capsys)
    assert site.line("backup", "verify") == 0
    for name, old, new in (
        ("host.yaml", "{vault: {url: /srv/vault,", "{attic: {url: /srv/attic,"),
        ("guests/web.yaml", "repository: vault", "repository: attic"),
    ):
        file = Path(site.spec_dir) / name
        file.write_text(file.read_text().replace(old, new))
    assert site.line("backup", "init", "attic") == 0
    assert site.line("backup", "run", "web") == 0
    (one,) = findings(site, capsys)
    assert one["todo"].endswith(f"backup forget web@{moment}")
    assert site.line("backup", "forget", f"web@{moment}", "--dry-run") == 0
    assert f"miss its backup {moment} no more" in capsys.readouterr().out
    assert site.line("backup", "forget", f"web@{moment}", "--yes") == 0
    assert findings(site, capsys) == []
    assert len(listed(site, capsys)) == 1
    assert site.line("backup", "forget", f"web@{moment}", "--yes") == 2


def test_nor_once_that_is_said_while_it_is_down(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = rolled_back(site, capsys)
    assert site.line("backup", "verify") == 0
    site.host.restic.repositories["/srv/vault"].trouble = "Fatal: connection refused"
    assert site.line("backup", "forget", f"web@{moment}", "--yes") == 0
    assert findings(site, capsys) == []


def test_what_is_forgotten_by_ourselves_is_not_missed(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = listed(site, capsys)
    assert site.line("backup", "run", "web") == 0
    assert site.line("backup", "forget", f"web@{first['moment']}", "--yes") == 0
    assert len(listed(site, capsys)) == 1
    assert findings(site, capsys) == []


def test_who_can_not_be_seen_is_not_missed(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.restic.repositories["/srv/vault"].trouble = "Fatal: connection refused"
    assert site.line("backup", "list") == 9
    told = capsys.readouterr().err
    assert "can't be seen" in told
    assert "this host made" not in told
