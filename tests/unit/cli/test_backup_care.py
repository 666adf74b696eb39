"""The care of backups, from the command line down to a host in memory."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.errors import Interrupted
from kvmkeep.host.clock import utc_now
from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.lock import Lock, locked
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import BACKUP_LOCK, LOCK_FILE, READING_LOCK
from tests.unit.cli.backup_site import BackupSite, listed
from tests.unit.cli.running import Libvirt


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    capsys.readouterr()
    return made


def test_whose_time_has_come_is_backed_up_once(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "run", "--due") == 0
    assert "web    done" in capsys.readouterr().out
    assert site.line("backup", "run", "--due") == 0
    assert "No backup is due." in capsys.readouterr().err
    assert site.line("backup", "run", "--due", "--json") == 0
    assert json.loads(capsys.readouterr().out)["guests"] == []
    assert len(listed(site, capsys)) == 1


def older(site: BackupSite, moment: str) -> None:
    """Make the last backup one of that moment."""
    for one in site.host.restic.listed("/srv/vault"):
        one.tags = tuple(f"set={moment}" if tag.startswith("set=") else tag for tag in one.tags)


def test_no_disk_goes_before_the_repository_has_let_its_manifest_go(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    """restic 0.17 and 0.18 end well where the store has refused to delete anything."""
    assert site.line("backup", "run", "web") == 0
    older(site, "20250101T0000Z")
    assert site.line("backup", "run", "web") == 0
    objects = site.host.restic.listed("/srv/vault")
    (kept,) = (one for one in objects if {"manifest", "set=20250101T0000Z"} <= {*one.tags})
    site.host.restic.repositories["/srv/vault"].undeletable = {kept.id}
    before = list(objects)
    capsys.readouterr()
    assert site.line("backup", "forget", "web@20250101T0000Z", "--yes") == 8
    assert "forget 1 of its backups in repository vault" in capsys.readouterr().err
    assert site.host.restic.listed("/srv/vault") == before
    site.host.restic.repositories["/srv/vault"].undeletable = set()
    assert site.line("backup", "forget", "web@20250101T0000Z", "--yes") == 0
    assert not [one for one in site.host.restic.listed("/srv/vault") if "set=2025" in str(one.tags)]


def test_what_the_spec_does_not_keep_is_forgotten_and_its_room_freed(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("guests/web.yaml", "backup: {repository: vault, keep: {last: 1}}\n")
    text = Path(site.spec_dir, "guests/web.yaml").read_text()
    Path(site.spec_dir, "guests/web.yaml").write_text(
        text.replace("backup: {repository: vault}\n", "")
    )
    assert site.line("backup", "run", "web") == 0
    older(site, "20250101T0000Z")
    assert site.line("backup", "run", "web") == 0
    assert len(listed(site, capsys)) == 2
    assert site.line("backup", "forget", "--all", "--dry-run") == 0
    assert "forget 1 of its backups in repository vault: 20250101T0000Z" in capsys.readouterr().out
    assert site.line("backup", "forget", "web", "--yes") == 0
    (one,) = listed(site, capsys)
    assert site.line("backup", "forget", "--all", "--yes") == 0
    assert site.line("backup", "forget", f"web@{one['moment']}", "--yes") == 4
    assert "the last one that repository vault has" in capsys.readouterr().err
    assert site.line("backup", "prune") == 0
    assert site.host.restic.repositories["/srv/vault"].pruned == 1
    for number in (1, 2):
        assert site.line("backup", "verify", "vault", "--data", "5") == 0
        checked = site.host.restic.repositories["/srv/vault"].checked
        assert checked == (f"--read-data-subset={number}/20",)
    kept = [path for path in site.host.files if path.startswith("/var/lib/kvmkeep/backups/")]
    names = sorted(path.rpartition("/")[2] for path in kept)
    assert names == ["vault.begun", "vault.pruned", "vault.verified", "web.json"]


def test_a_backup_that_fails_does_not_keep_others_from_being_forgotten(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    web = Path(site.spec_dir, "guests/web.yaml")
    web.write_text(web.read_text().replace("vault}", "vault, keep: {last: 1}}"))
    for moment in ("20250101T0000Z", ""):
        assert site.line("backup", "run", "web") == 0
        if moment:
            older(site, moment)
    assert len(listed(site, capsys)) == 2
    assert site.line("backup", "run", "web", "--forget", "--dry-run") == 0
    assert "forget 1 of its backups" in capsys.readouterr().out
    assert site.line("backup", "run", "nobody", "--forget", "--json") != 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["runs"]) == 2
    assert len(listed(site, capsys)) == 1


def test_what_an_append_only_repository_keeps_is_told_though_there_is_nothing_to_do(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Path(site.spec_dir, "host.yaml")
    host.write_text(
        host.read_text().replace("url: /srv/vault", "append_only: true, url: /srv/vault")
    )
    capsys.readouterr()
    assert site.line("backup", "prune") == 0
    told = capsys.readouterr()
    assert told.out == "Nothing to do.\n"
    assert "repository vault: it is append-only" in told.err
    assert site.line("backup", "forget", "--all", "--yes") == 0
    assert "append-only" not in capsys.readouterr().err, "nothing is kept longer than it should be"


def test_a_repository_that_is_bad_is_told(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.door.failing = "check --no-lock"
    assert site.line("backup", "verify") == 7
    assert "have the engine check what it has" in capsys.readouterr().err
    assert "/var/lib/kvmkeep/backups/vault.verified" not in site.host.files


def attic(site: BackupSite) -> None:
    """Give the host a second repository, which lists nothing."""
    host = Path(site.spec_dir, "host.yaml")
    more = "{attic: {url: /srv/attic, password_file: /root/pw}, vault:"
    host.write_text(host.read_text().replace("repositories: {vault:", f"repositories: {more}"))
    assert site.line("backup", "init", "attic") == 0


def test_a_repository_that_was_emptied_keeps_no_other_from_being_pruned(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "run", "web") == 0
    attic(site)
    site.host.restic.listed("/srv/vault").clear()
    capsys.readouterr()
    assert site.line("backup", "prune") == 9
    assert "repository vault: it lists nothing" in " ".join(capsys.readouterr().err.split())
    repositories = site.host.restic.repositories
    assert (repositories["/srv/attic"].pruned, repositories["/srv/vault"].pruned) == (1, 0)
    repositories["/srv/vault"].trouble = "Fatal: no route"
    assert site.line("backup", "verify") == 9
    assert "no route" in capsys.readouterr().err


def test_a_prune_that_fails_keeps_no_other_and_no_check_from_being_tried(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    attic(site)
    site.door.failing = (
        "/srv/attic --password-file=/root/pw --cache-dir=/var/cache/kvmkeep/restic prune"
    )
    assert site.line("backup", "prune", "--verify", "100") == 7
    told = capsys.readouterr().err
    assert "kvmkeep: no room was freed, or not everywhere: " in told
    repositories = site.host.restic.repositories
    assert (repositories["/srv/attic"].pruned, repositories["/srv/vault"].pruned) == (0, 1)
    assert "/var/lib/kvmkeep/backups/attic.verified" in site.host.files
    site.door.failing = "check --no-lock"
    assert site.line("backup", "prune", "--verify", "0") == 7
    assert site.line("backup", "prune", "--verify", "101") == 2
    site.door.failing = ""
    assert site.line("backup", "prune", "--verify", "0") == 0


def test_a_check_that_is_refused_after_a_prune_has_not_left_all_untouched(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = site.host.restic.repositories["/srv/vault"]

    def away(facts: Facts) -> Facts:
        if repository.pruned:
            repository.trouble = "Fatal: no route"
        return facts

    assert site.line("backup", "run", "web") == 0
    site.change = away
    assert site.line("backup", "prune", "--verify", "0") == 7
    assert "kvmkeep: not checked, or not all: " in capsys.readouterr().err
    assert site.line("backup", "prune", "--verify", "0") == 5, "neither could begin"


def test_a_prune_and_its_check_are_one_document(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for key, words in (("plan", ("--dry-run",)), ("report", ())):
        assert site.line("backup", "prune", "--verify", "0", "--json", *words) == 0
        runs = json.loads(capsys.readouterr().out)["runs"]
        assert [sorted(one) for one in runs] == [[key], [key]]


def test_a_killed_prune_is_followed_by_no_check(site: BackupSite) -> None:
    run = site.door.run

    def stopped(command: Command, watch: ProgressWatcher | None = None) -> Result:
        if "prune" in command.argv:
            raise Interrupted("stopped")
        return run(command, watch)

    site.door.run = stopped  # type: ignore[method-assign]
    assert site.line("backup", "prune", "--verify", "0") == 130
    assert "/var/lib/kvmkeep/backups/vault.verified" not in site.host.files


def test_nothing_is_forgotten_while_another_run_makes_backups(
    site: BackupSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lock(str(tmp_path / "backup.lock")).hold("backup run"):
        for words in (["forget", "web", "--yes"], ["prune"], ["verify"]):
            assert site.line("backup", *words) == 6
    assert "another run of kvmkeep is at work: backup run" in capsys.readouterr().err


def test_a_plan_of_upkeep_is_shown(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["prune"], ["verify", "--data=3"]):
        assert site.line("backup", *words, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "free the room of what was forgotten" in told
    assert "read part 1 of 33 of the data" in told


def test_the_age_of_backup_and_proof_is_told_where_guests_are(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("status") in {0, 9}
    assert "web: running, no backup" in capsys.readouterr().out
    site.stages.asked_libvirt = Libvirt(site)
    assert site.line("list", "-l", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["guests"]
    assert (one["inside"]["backup"], one["inside"]["proof"]) == ("none", "")
    assert site.line("show", "web") == 0
    assert "last  none" in capsys.readouterr().out
    assert site.line("backup", "run", "web") == 0
    bad = {
        "repository": "vault", "guest": "web", "moment": "20261101T0000Z",
        "time": "2020-01-01T00:00:00Z", "proven": False, "rungs": [],
    }  # fmt: skip
    site.host.put("/var/lib/kvmkeep/proofs/web/20261101T0000Z.json", json.dumps(bad).encode())
    capsys.readouterr()
    assert site.line("list", "-l") == 0
    told = capsys.readouterr().out
    assert "backup" in told.lower()
    assert "0 h" in told
    assert "FAILED" in told
    assert site.line("status") in {0, 9}
    assert "web: running, last backup in the future" in capsys.readouterr().out
    site.change = lambda facts: replace(facts, time=utc_now().isoformat())
    assert site.line("status") in {0, 9}
    assert "web: running, last backup 0 h old" in capsys.readouterr().out
    assert site.line("show", "web") == 0
    told = capsys.readouterr().out
    assert "vault, daily" in told
    assert "in vault, frozen, 0 h old" in told
    assert "of 20261101T0000Z, " in told


def test_a_prune_waits_for_who_reads_a_repository(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = site.stages.lock(READING_LOCK, shared=True).hold("backup restore")
    reading.__enter__()
    threading.Timer(0.5, lambda: reading.__exit__(None, None, None)).start()
    assert site.line("backup", "prune") == 0
    assert "backup restore, pid" in capsys.readouterr().err
    assert site.host.restic.repositories["/srv/vault"].pruned == 1


def test_nothing_is_forgotten_while_somebody_reads(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(site.spec_dir, "guests/web.yaml").write_text(
        Path(site.spec_dir, "guests/web.yaml")
        .read_text()
        .replace("vault}", "vault, keep: {last: 1}}")
    )
    assert site.line("backup", "run", "web") == 0
    older(site, "20250101T0000Z")
    assert site.line("backup", "run", "web") == 0
    site.stages.hasty = True
    with site.stages.lock(READING_LOCK, shared=True).hold("backup prove"):
        for words in (["web"], ["web@20250101T0000Z"]):
            assert site.line("backup", "forget", *words, "--yes") == 6
        capsys.readouterr()
        assert site.line("backup", "forget", "--all", "--yes") == 0
        told = capsys.readouterr().err
        assert "backup prove, pid" in told
        assert "what the spec does not keep stays until the next time" in told
        assert site.line("backup", "forget", "--all", "--yes", "--json") == 0
        (note,) = json.loads(capsys.readouterr().out)["notes"]
        assert "backup prove, pid" in note["text"]
    assert len(listed(site, capsys)) == 2
    with site.stages.lock(BACKUP_LOCK).hold("backup run"):
        assert site.line("backup", "forget", "--all", "--yes") == 6
    assert site.line("backup", "forget", "--all", "--yes") == 0
    assert len(listed(site, capsys)) == 1


@pytest.mark.parametrize("path", [BACKUP_LOCK, LOCK_FILE])
def test_a_backup_that_is_due_waits_for_other_runs(
    site: BackupSite, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = site.stages.lock(path).hold("backup prune")
    other.__enter__()
    threading.Timer(0.5, lambda: other.__exit__(None, None, None)).start()
    assert site.line("backup", "run", "--due") == 0
    told = capsys.readouterr().err
    assert "waiting for another run of kvmkeep to end: backup prune, pid" in told
    assert "left of 12 h 00 min" in told
    assert len(listed(site, capsys)) == 1


def test_what_was_backed_up_meanwhile_is_due_no_more(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "run", "web") == 0
    memo = "/var/lib/kvmkeep/backups/web.json"
    known = site.host.files.pop(memo)
    other = site.stages.lock(BACKUP_LOCK).hold("backup run")
    other.__enter__()

    def ends() -> None:
        site.host.files[memo] = known
        other.__exit__(None, None, None)

    threading.Timer(0.5, ends).start()
    assert site.line("backup", "run", "--due") == 0
    told = capsys.readouterr().err
    assert "waiting for" in told
    assert "No backup is due." in told
    assert len(listed(site, capsys)) == 1


def test_one_that_finds_the_host_busy_lets_go_of_the_repositories(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "run", "web") == 0
    with site.stages.lock(LOCK_FILE).hold("apply"):
        assert site.line("backup", "copy-out", "web", "/etc/hosts", site.spec_dir) == 6
    assert "apply, pid" in capsys.readouterr().err
    assert not locked(str(site.stages.directory / Path(READING_LOCK).name))
