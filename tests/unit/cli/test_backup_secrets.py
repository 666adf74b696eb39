"""A password that others can read opens no repository, whatever the verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvmkeep.errors import Unready
from kvmkeep.model.secret_file import SecretFile
from tests.unit.cli.backup_site import BackupSite

OPEN = SecretFile(path="/root/pw", kind="file", mode=0o644)


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    assert made.line("backup", "run", "web") == 0
    made.host.secrets["/root/pw"] = OPEN
    made.host.calls.clear()
    capsys.readouterr()
    return made


@pytest.mark.parametrize(
    "words",
    [
        "init vault", "run web", "run web --dry-run", "show web", "forget web --yes", "prune",
        "verify", "prove web", "restore web --yes", "restore web --disk root --to /srv/x",
        "restore web --as shop --yes", "copy-out web /etc/fstab /root/back",
    ],
)  # fmt: skip
def test_nothing_is_done(site: BackupSite, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("backup", *words.split()) == Unready.exit_code
    told = " ".join("".join(capsys.readouterr()).split())
    assert "/root/pw is not for root alone (its mode is 0644)" in told
    assert "chmod 600 /root/pw" in told
    looks = {one.argv[0] for one in site.host.calls}
    assert looks <= {"busctl"}, "the engine is not even asked"


def test_a_list_says_why_it_is_none(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("backup", "list") == 9
    assert "vault can't be seen: not asked: /root/pw is not for" in capsys.readouterr().err
    site.host.secrets.clear()
    assert site.line("backup", "list") == 0


def test_a_guest_is_looked_after_all_the_same(site: BackupSite) -> None:
    assert site.line("apply", "--yes") == 0
    assert site.line("watch") == 0
