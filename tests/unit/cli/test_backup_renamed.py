"""The backups of a guest that was renamed: they are stored under the name that it had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.backup_site import BackupSite
from tests.unit.cli.test_backup_rebuild import see_the_spec


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    """Return a host with a guest shop, which was backed up as web, and is off."""
    made = BackupSite(tmp_path)
    made.with_vault()
    see_the_spec(made)
    assert made.line("backup", "run", "web") == 0
    made.host.proof.repository.objects = {
        one.id: one.files for one in made.host.restic.listed("/srv/vault")
    }
    made.host.libvirt.domains["web"].end("shutdown")
    old = Path(made.spec_dir) / "guests/web.yaml"
    assert made.line("rename", "web", "shop", "--yes") in {0, 7, 8}
    old.with_name("shop.yaml").write_text(f"{old.read_text()}identity: web\n")
    old.unlink()
    see_the_spec(made)
    capsys.readouterr()
    return made


def another_web(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> None:
    """Make a new guest that is called web."""
    text = (Path(site.spec_dir) / "guests/shop.yaml").read_text()
    text = text.replace("identity: web\n", "identity: web-2\n").replace("223.37", "223.38")
    (Path(site.spec_dir) / "guests/web.yaml").write_text(text)
    see_the_spec(site)
    assert site.line("apply", "--yes") == 0
    site.host.libvirt.domains["web"].agent = True
    capsys.readouterr()


def moment(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> str:
    assert site.line("backup", "list", "--json") == 0
    return str(json.loads(capsys.readouterr().out)["backups"][0]["moment"])


def test_they_are_listed_under_its_name_of_now(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    at = moment(site, capsys)
    for words in ((), ("shop",)):
        assert site.line("backup", "list", *words) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[0] == f"shop@{at}"
        assert shown[-1] == "  stored as: web"
    assert site.line("backup", "show", f"shop@{at}") == 0
    assert f"web@{at}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["shop", "web"])
def test_they_come_back_into_its_disks(
    name: str, site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted(Path(site.spec_dir).rglob("*.yaml"))
    assert site.line("backup", "restore", name, "--yes") == 0
    assert "back to /dev/rl_build/vm-shop" in " ".join(capsys.readouterr().err.split())
    assert sorted(site.host.libvirt.domains) == ["shop"]
    assert sorted(Path(site.spec_dir).rglob("*.yaml")) == files
    assert site.line("trash", "list") == 0
    assert "shop-" in capsys.readouterr().out


def test_files_come_out_of_them_and_a_new_guest_is_made_of_them(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "copy-out", "shop", "/etc/fstab", "/srv/back") == 0
    assert "/srv/back/fstab" in site.host.files
    for name in ("two", "web"):
        words = ("--as", name, "--address", "public=132.230.223.39/24", "--dry-run")
        assert site.line("backup", "restore", "shop", *words) == 0
        assert "as they were at the backup web@" in " ".join(capsys.readouterr().out.split())


def test_the_proof_of_one_is_that_of_the_guest(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "prove", "--due") == 0
    assert "is proven." in capsys.readouterr().out
    assert site.line("backup", "prove", "--due") == 0
    assert "No proof is due." in capsys.readouterr().err
    assert site.line("backup", "list", "shop", "--json") == 0
    assert json.loads(capsys.readouterr().out)["backups"][0]["proof"]["proven"]


def test_one_is_forgotten_by_its_name_of_now(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    old = moment(site, capsys)
    assert site.line("backup", "forget", f"shop@{old}", "--yes") == 4
    assert "it is the last one" in capsys.readouterr().err
    assert site.line("start", "shop") == 0
    assert site.line("backup", "run", "shop") == 0
    assert site.line("backup", "forget", f"shop@{old}", "--yes") == 0
    capsys.readouterr()
    assert site.line("backup", "list", "shop") == 0
    shown = capsys.readouterr().out
    assert "shop@" in shown
    assert f"{old}\n" not in shown
    assert "stored as" not in shown


def without_manifest(site: BackupSite, tag: str) -> None:
    """Leave what a `forget` leaves that is killed once the manifests of such a guest are gone."""
    objects = site.host.restic.listed("/srv/vault")
    objects[:] = [one for one in objects if not {"manifest", tag} <= {*one.tags}]


@pytest.mark.parametrize("named", [True, False])
def test_a_killed_forget_is_ended_by_the_next_one(
    site: BackupSite, capsys: pytest.CaptureFixture[str], *, named: bool
) -> None:
    old = moment(site, capsys)
    assert site.line("start", "shop") == 0
    assert site.line("backup", "run", "shop") == 0
    without_manifest(site, "guest=web")
    words = (f"shop@{old}",) if named else ("--all",)
    assert site.line("backup", "forget", *words, "--yes") == 0
    objects = site.host.restic.listed("/srv/vault")
    assert ["guest=shop" in one.tags for one in objects] == [True, True]


def test_a_backup_takes_what_is_left_under_the_old_name(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    without_manifest(site, "identity=web")
    another_web(site, capsys)
    assert site.line("backup", "run", "web") == 0
    objects = site.host.restic.listed("/srv/vault")
    assert [one for one in objects if {"guest=web", "identity=web"} <= {*one.tags}], "of shop"
    assert site.line("start", "shop") == 0
    assert site.line("backup", "run", "shop") == 0
    objects = site.host.restic.listed("/srv/vault")
    assert not [one for one in objects if {"guest=web", "identity=web"} <= {*one.tags}]
    assert len(objects) == 4


def test_a_new_guest_of_the_old_name_never_gets_them(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    another_web(site, capsys)
    assert site.line("backup", "restore", "web", "--yes") == 2
    told = capsys.readouterr().err
    assert "guest web has no backup; those that are stored under that name are of shop" in told
    assert "backup list shop" in told
    assert site.line("backup", "list", "web") == 0
    assert "No backups." in capsys.readouterr().err
    assert site.line("backup", "prove", "shop") == 0
    assert site.line("backup", "run", "web") == 0
    capsys.readouterr()
    assert site.line("backup", "prove", "--due") == 0
    assert "Backup web@" in capsys.readouterr().out, "the proof of shop is none of the new web"
    assert site.line("backup", "list") == 0
    shown = capsys.readouterr().out
    assert "shop@" in shown
    assert "web@" in shown


def test_those_of_a_guest_that_the_spec_has_no_more_are_not_for_one_that_took_its_name(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    another_web(site, capsys)
    (Path(site.spec_dir) / "guests/shop.yaml").unlink()
    assert site.line("backup", "show", "web") == 2
    told = capsys.readouterr().err
    assert "are of another guest" in told
    assert "`identity: web`" in told
