"""`backup prove`, from the command line down to a host in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvmkeep.errors import Declined
from kvmkeep.model.facts import Facts
from tests.unit.cli.backup_site import BackupSite
from tests.unit.planning.proven import leftovers


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    assert made.line("backup", "run", "web") == 0
    capsys.readouterr()
    return made


def test_a_backup_that_was_made_is_proven(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "prove", "web", "--dry-run") == 0
    assert "start it as kvmkeep-proof-web" in " ".join(capsys.readouterr().out.split())
    assert site.line("backup", "prove", "web") == 0
    told = capsys.readouterr()
    assert "is proven." in told.out
    assert "blocks-root" in told.out
    assert "FELL" not in told.out
    assert leftovers(site.host) == []
    assert site.line("backup", "prove", "web", "--json") == 0
    proof = json.loads(capsys.readouterr().out)["proof"]
    assert proof["proven"]
    assert {one["name"]: one["held"] for one in proof["rungs"]}["mounts"]


def test_a_broken_one_is_told_and_is_no_failed_step(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.proof.repository.broken.add("/web-root.raw")
    assert site.line("backup", "prove", "web") == 9
    told = capsys.readouterr().out
    assert "did NOT prove good." in told
    assert "FELL" in told
    assert "block 3 is not as it was" in told
    assert leftovers(site.host) == []


def test_what_is_not_there_can_not_be_proven(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "prove", "web@20200101T0000Z") == 2
    assert "no backup of 20200101T0000Z" in capsys.readouterr().err
    site.host.restic.repositories["/srv/vault"].trouble = "Fatal: unreachable"
    assert site.line("backup", "prove", "web") in {2, 5}
    assert "unreachable" in capsys.readouterr().err


def test_the_proofs_that_are_due(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("backup", "prove") == 2
    assert "name backups, or use one of --label, --all and --due" in capsys.readouterr().err
    assert site.line("backup", "prove", "web", "--due") == 2
    assert site.line("backup", "prove", "--due") == 0
    assert "is proven." in capsys.readouterr().out
    assert site.line("backup", "prove", "--due") == 0
    assert "No proof is due." in capsys.readouterr().err


def with_another(site: BackupSite) -> None:
    """Have a second guest of the host backed up as well."""
    web = (Path(site.spec_dir) / "guests/web.yaml").read_text()
    other = web.replace("132.230.223.37", "132.230.223.40")
    (Path(site.spec_dir) / "guests/zdb.yaml").write_text(other)
    site.host.put(f"{site.spec_dir}/guests/zdb.yaml", b"x: y\n")
    assert site.line("apply", "--yes") == 0
    assert site.line("backup", "run", "zdb") == 0


def test_one_that_can_not_be_proven_keeps_no_other_from_it(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    with_another(site)
    stored = site.host.restic.listed("/srv/vault")
    stored[:] = [one for one in stored if "guest=web" not in one.tags]
    capsys.readouterr()
    assert site.line("backup", "prove", "--due") == 7, "something was touched"
    told = capsys.readouterr()
    assert "the backup of web was not proven: guest web has no backup" in told.err
    assert "Backup zdb@" in told.out
    assert site.line("backup", "prove", "--due") == 2, "nothing was"


def test_several_are_proven_by_their_names_by_a_label_or_all(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    with_another(site)
    site.add("guests/zdb.yaml", "labels: [db]\n")
    for words, which in (
        (("web", "zdb", "web"), ["web", "zdb"]),
        (("--all",), ["web", "zdb"]),
        (("--label", "db"), ["zdb"]),
    ):
        capsys.readouterr()
        assert site.line("backup", "prove", *words, "--dry-run") == 0
        told = capsys.readouterr().out.splitlines()
        assert [line[7:10] for line in told if line.startswith("backup ")] == which
    for words in (("--all", "--due"), ("web", "--label", "db"), ("--label", "none")):
        assert site.line("backup", "prove", *words) == 2
    for name in ("web", "zdb"):
        path = Path(site.spec_dir) / f"guests/{name}.yaml"
        path.write_text(path.read_text().replace("backup: {repository: vault}", "backup: false"))
    assert site.line("backup", "prove", "--all") == 2
    assert "the spec backs no guest up" in capsys.readouterr().err


def test_how_a_proof_ended_is_shown_with_its_backup(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "show", "web") == 0
    assert "This host remembers no proof of it." in capsys.readouterr().out
    assert site.line("backup", "show", "web", "--json") == 0
    assert json.loads(capsys.readouterr().out)["proof"] is None
    assert site.line("backup", "prove", "web") == 0
    (screen,) = [path for path in site.host.files if path.endswith(".screen")]
    site.host.put(screen, b"Debian\x1b[2J\nweb login:\n")
    capsys.readouterr()
    assert site.line("backup", "show", "web") == 0
    told = capsys.readouterr().out
    assert "in vault is proven." in told
    assert "blocks-root" in told
    assert "    Debian\n    web login:\n  tried: 20" in told
    assert site.line("backup", "show", "web", "--json") == 0
    proof = json.loads(capsys.readouterr().out)["proof"]
    assert (proof["proven"], proof["last_screen"]) == (True, "Debian\nweb login:\n")
    memo = screen.replace(".screen", ".json")
    kept = json.loads(site.host.files[memo].content)
    site.host.put(
        memo, json.dumps({**kept, "proven": False, "proven_before": "2026-01-02"}).encode()
    )
    assert site.line("backup", "show", "web") == 0
    assert "proven before: 2026-01-02" in capsys.readouterr().out
    site.host.put(memo, json.dumps({**kept, "repository": "attic"}).encode())
    assert site.line("backup", "show", "web") == 0
    assert "remembers no proof" in capsys.readouterr().out


def test_several_proofs_are_one_document(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*words: str, code: int) -> list[dict[str, dict[str, object]]]:
        capsys.readouterr()
        assert site.line("backup", "prove", "--due", "--json", *words) == code
        document = json.loads(capsys.readouterr().out)
        assert document["version"] == 1
        return document["runs"]  # type: ignore[no-any-return]

    with_another(site)
    plans = told("--dry-run", code=0)
    assert [sorted(one) for one in plans] == [["plan"], ["plan"]]
    stored = site.host.restic.listed("/srv/vault")
    stored[:] = [one for one in stored if "guest=web" not in one.tags]
    failed, proven = told(code=7)
    assert failed["error"]["exit_code"] == 2
    assert "guest web has no backup" in str(failed["error"]["message"])
    assert (proven["proof"]["guest"], proven["proof"]["proven"]) == ("zdb", True)
    (Path(site.spec_dir) / "guests/web.yaml").unlink()
    assert told(code=0) == []


def test_who_stops_at_the_second_proof_is_not_told_that_nothing_was_touched(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    with_another(site)

    def stop(facts: Facts) -> Facts:
        if "is proven." in capsys.readouterr().out:
            raise Declined("stopped on request")
        return facts

    site.change = stop
    assert site.line("backup", "prove", "--due") == 130
    told = capsys.readouterr().err
    assert "stopped on request" in told
    assert "Nothing was touched." not in told
