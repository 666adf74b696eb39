"""Backups by borg, from the command line down to a host in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.backup_site import KEYS, BackupSite, listed

URL = "/srv/vault"


class BorgSite(BackupSite):
    """A host whose guest is backed up by borg."""

    def add(self, name: str, text: str) -> None:
        if text == KEYS:
            text = text.replace("{url", "{engine: borg, url")
        super().add(name, text)


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BorgSite:
    made = BorgSite(tmp_path)
    made.with_vault()
    for name in ("host.yaml", "guests/web.yaml"):
        path = f"{made.spec_dir}/{name}"
        made.host.put(path, Path(path).read_bytes())
    made.host.borg.repositories[URL].archives["somebodys-own"] = {"x": b"y"}
    capsys.readouterr()
    return made


def backed_up(site: BorgSite) -> None:
    assert site.line("backup", "run", "web") == 0


def test_a_guest_is_backed_up_listed_and_shown(
    site: BorgSite, capsys: pytest.CaptureFixture[str]
) -> None:
    backed_up(site)
    (one,) = listed(site, capsys)
    assert (one["guest"], one["consistency"], one["repository"]) == ("web", "frozen", "vault")
    assert not site.host.restic.repositories
    assert site.line("backup", "show", "web") == 0
    assert "borg 1.2.9" in capsys.readouterr().out


def test_its_disks_come_back(site: BorgSite, capsys: pytest.CaptureFixture[str]) -> None:
    backed_up(site)
    site.host.libvirt.domains["web"].end("shutdown")
    assert site.line("backup", "restore", "web", "--yes") == 0
    assert "Done:" in capsys.readouterr().out
    words = ("backup", "restore", "web", "--disk", "root", "--to")
    assert site.line(*words, "/srv/root.raw") == 0
    assert "/srv/root.raw" in site.host.files
    assert site.line("backup", "copy-out", "web", "/etc/hostname", "/srv") == 0
    assert b"+disk=root+" in site.host.files["/srv/hostname"].content


def test_a_backup_is_forgotten_and_its_room_freed(
    site: BorgSite, capsys: pytest.CaptureFixture[str]
) -> None:
    backed_up(site)
    vault = site.host.borg.repositories[URL]
    (one,) = listed(site, capsys)
    vault.archives = {
        name.replace(str(one["moment"]), "20250101T0000Z"): files
        for name, files in vault.archives.items()
    }
    half = "kvmkeep+guest=web+set=20250102T0000Z+disk=root+size=1+host=build.checkpoint"
    own = next(name for name in vault.archives if "+host=" in name).partition("+host=")[2]
    half = half.replace("host=build", f"host={own}")
    vault.archives[half] = {"web/root.raw": b"torn"}
    backed_up(site)
    assert half not in vault.archives, "the next run takes away what is half stored"
    assert len(listed(site, capsys)) == 2
    assert site.line("backup", "forget", "web@20250101T0000Z", "--yes") == 0
    assert len(listed(site, capsys)) == 1
    assert not [name for name in vault.archives if "20250101T0000Z" in name]
    assert vault.archives["somebodys-own"] == {"x": b"y"}
    assert site.line("backup", "prune") == 0
    assert site.line("backup", "verify", "--data", "5") == 0
    assert (vault.compacted, vault.checked) == (1, [()])


def test_a_backup_is_proven(site: BorgSite, capsys: pytest.CaptureFixture[str]) -> None:
    backed_up(site)
    site.line("backup", "prove", "web")
    told = capsys.readouterr()
    kept = [path for path in site.host.files if path.startswith("/var/lib/kvmkeep/proofs/web/")]
    assert any(path.endswith(".json") for path in kept), told.err
    proof = json.loads(
        next(site.host.files[path].content for path in kept if path.endswith(".json"))
    )
    held = {rung["name"] for rung in proof["rungs"] if rung["held"]}
    assert {"repository", "blocks-root", "partitions", "filesystems", "start"} <= held, proof
    assert not site.host.proof.services
    assert site.host.borg.repositories[URL].checked == [("--archives-only",)]


def test_an_old_borg_is_refused_before_anything_is_done(
    site: BorgSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.borg.version = "borg 1.2.4"
    volumes = set(site.host.lvm.volumes)
    assert site.line("backup", "run", "web") == 5
    told = capsys.readouterr().err
    assert "/usr/bin/borg: borg 1.2.4 is too old" in told
    assert "bookworm-backports" in told
    assert set(site.host.lvm.volumes) == volumes
    assert site.line("backup", "list") == 9
    assert "engine unfit" in capsys.readouterr().err


def test_a_host_is_made_of_a_repository(site: BorgSite, capsys: pytest.CaptureFixture[str]) -> None:
    backed_up(site)
    Path(site.spec_dir, "guests/web.yaml").unlink()
    Path(site.spec_dir, "host.yaml").unlink()
    capsys.readouterr()
    words = ("backup", "rebuild", "--url", URL, "--password-file", "/root/pw", "--dry-run")
    assert site.line(*words) == 5, "it is none of restic's"
    assert site.line(*words, "--engine", "borg") == 0
    assert "web" in capsys.readouterr().out
