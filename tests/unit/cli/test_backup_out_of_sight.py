"""The last backup is in a repository that can't be seen: an older one is taken only by its time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.backup_site import BackupSite, listed

OLD = "20260301T0130Z"
ATTIC = "attic: {url: /srv/attic, password_file: /root/pw}, "
DOWN = "Fatal: unable to open repository: connection refused"
MEMO = "/var/lib/kvmkeep/backups/web.json"
VERBS = (
    ("restore", "web{}", "--dry-run"),
    ("restore", "web{}", "--disk", "root", "--to", "/srv/x.raw", "--dry-run"),
    ("restore", "web{}", "--as", "web2", "--address", "public=132.230.223.99/24", "--dry-run"),
    ("copy-out", "web{}", "/etc/hosts", "/srv", "--dry-run"),
    ("show", "web{}"),
    ("prove", "web{}", "--dry-run"),
)


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    """Return a host whose guest was backed up to vault months ago, and since then to attic."""
    made = BackupSite(tmp_path)
    made.with_vault()
    assert made.line("backup", "run", "web") == 0
    (one,) = listed(made, capsys)
    moment = str(one["moment"])
    for each in made.host.restic.listed("/srv/vault"):
        each.tags = tuple(tag.replace(moment, OLD) for tag in each.tags)
        each.path = each.path.replace(moment, OLD)
        each.files = {
            path.replace(moment, OLD): content.replace(moment.encode(), OLD.encode())
            for path, content in each.files.items()
        }
    spec_says(made, "host.yaml", "{vault:", f"{{{ATTIC}vault:")
    spec_says(made, "guests/web.yaml", "repository: vault", "repository: attic")
    assert made.line("backup", "init", "attic") == 0
    assert made.line("backup", "run", "web") == 0
    made.host.libvirt.domains["web"].end("shutdown")
    capsys.readouterr()
    return made


def spec_says(site: BackupSite, name: str, old: str, new: str) -> None:
    path = Path(site.spec_dir) / name
    path.write_text(path.read_text().replace(old, new))


def last(site: BackupSite) -> str:
    return str(json.loads(site.host.files[MEMO].content)["moment"])


def put_down(site: BackupSite) -> None:
    site.host.restic.repositories["/srv/attic"].trouble = DOWN


@pytest.mark.parametrize("words", VERBS)
def test_an_older_one_is_taken_only_by_its_time(
    words: tuple[str, ...], site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    put_down(site)
    assert site.line("backup", *(one.format("") for one in words)) == 5
    told = " ".join(capsys.readouterr().err.split())
    assert f"the last backup of guest web, web@{last(site)}, is in attic, which can't be" in told
    assert f"to take an older one, name it: web@{OLD}" in told
    assert site.line("backup", *(one.format(f"@{OLD}") for one in words)) == 0


def test_each_plan_of_what_comes_back_tells_of_when_it_is_and_from_where(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in VERBS[:4]:
        assert site.line("backup", *(one.format(f"@{OLD}") for one in words)) == 0
        notes = " ".join(capsys.readouterr().out.partition("Worth knowing:")[2].split())
        assert f"guest web: web@{OLD} is what is taken: " in notes
        assert " d old, from repository vault" in notes
    assert site.line("backup", "restore", "web", "--dry-run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"of {last(site)} back to" in shown
    assert "0 h old, from repository attic" in shown


def test_a_repository_that_is_not_to_be_looked_into_is_told(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("restore", "web", "--dry-run", "--repository", "vault")
    assert site.line("backup", *words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"web@{last(site)}, is in attic, which was not to be looked into" in shown


def test_one_that_has_left_the_spec_is_not_forgotten(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    spec_says(site, "host.yaml", ATTIC, "")
    spec_says(site, "guests/web.yaml", "repository: attic", "repository: vault")
    assert site.line("backup", "restore", "web", "--dry-run") == 5
    told = " ".join(capsys.readouterr().err.split())
    assert "is in attic, which the spec does not name any more" in told


def test_where_nothing_is_remembered_there_may_be_a_newer_one(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    del site.host.files[MEMO]
    put_down(site)
    assert site.line("backup", "restore", "web", "--dry-run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "what repository attic has of it can't be seen: perhaps a newer backup" in shown


def test_one_of_another_host_does_not_stand_for_ours(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in site.host.restic.listed("/srv/vault"):
        each.host = "archive.example.org"
        each.tags = tuple(tag.replace(OLD, "20260302T0130Z") for tag in each.tags)
    memo = site.host.files[MEMO]
    site.host.put(MEMO, memo.content.replace(last(site).encode(), OLD.encode()))
    put_down(site)
    assert site.line("backup", "show", "web") == 5
    assert f"web@{OLD}, is in attic" in " ".join(capsys.readouterr().err.split())


def test_an_older_memo_of_what_can_not_be_seen_holds_nothing_back(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    memo = site.host.files[MEMO]
    site.host.put(MEMO, memo.content.replace(last(site).encode(), b"20260201T0130Z"))
    put_down(site)
    assert site.line("backup", "show", "web") == 0
    assert f"web@{OLD}" in capsys.readouterr().out
