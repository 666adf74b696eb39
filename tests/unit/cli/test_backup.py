"""The verbs about backups, from the command line down to a host in memory."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.errors import Declined, UsageError
from kvmkeep.host.door import Result
from kvmkeep.host.lock import Lock
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from tests.unit.cli.backup_site import BackupSite, listed
from tests.unit.cli.site import Site


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    capsys.readouterr()
    return made


def snapshots(site: Site) -> list[str]:
    return [one.name for one in site.host.lvm.volumes.values() if one.origin]


def test_a_guest_is_backed_up_listed_and_shown(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    boots = site.host.libvirt.domains["web"].boots
    assert site.line("backup", "list") == 0
    assert "No backups." in capsys.readouterr().err
    assert site.line("backup", "run", "web", "--dry-run") == 0
    assert "with its filesystems frozen" in capsys.readouterr().out
    assert site.line("backup", "run", "web") == 0
    told = capsys.readouterr()
    assert "store its disk root" in told.err
    assert "web    done" in told.out
    (one,) = listed(site, capsys)
    assert (one["guest"], one["consistency"], one["repository"]) == ("web", "frozen", "vault")
    assert snapshots(site) == []
    assert not [path for path in site.host.files if "/backup/" in path]
    assert site.host.libvirt.domains["web"].boots == boots
    assert site.line("backup", "list", "web") == 0
    assert f"web@{one['moment']}" in capsys.readouterr().out
    assert site.line("backup", "list", "other") == 0
    assert "No backups." in capsys.readouterr().err
    assert site.line("backup", "show", "web") == 0
    shown = capsys.readouterr().out
    assert "disk root" in shown
    assert "restic 0.14.0" in shown
    assert site.line("backup", "show", f"web@{one['moment']}", "--json") == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["guest"] == "web"


def test_a_disk_that_is_not_in_the_backup_is_told(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    def more(facts: Facts) -> Facts:
        web = facts.domain("web")
        assert web is not None
        extra = replace(web.disks[0], source="/srv/extra.qcow2", device="")
        return replace(facts, domains=(replace(web, disks=(*web.disks, extra)),))

    site.change = more
    assert site.line("backup", "run", "web") == 0
    assert capsys.readouterr().err.count("its disk /srv/extra.qcow2 is not in the set") == 1


def test_a_listing_tells_which_backup_lacks_a_disk(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "run", "web") == 0
    objects = site.host.restic.listed("/srv/vault")
    objects.remove(next(one for one in objects if one.path.endswith("-root.raw")))
    capsys.readouterr()
    assert site.line("backup", "list") == 9
    assert "0, LACKS A DISK" in capsys.readouterr().out
    assert site.line("backup", "list", "--json") == 9
    assert json.loads(capsys.readouterr().out)["backups"][0]["whole"] is False


def test_a_listing_tells_of_proofs_and_of_other_hosts(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "run", "web") == 0
    (one,) = listed(site, capsys)
    assert one["proof"] is None
    assert site.line("backup", "list") == 0
    shown = capsys.readouterr().out
    assert "HOST" not in shown
    time = "2026-11-23T07:20:00Z"
    proof = {
        "repository": "vault", "guest": "web", "moment": one["moment"], "time": time,
        "proven": False, "rungs": [],
    }  # fmt: skip
    place = f"/var/lib/kvmkeep/proofs/web/{one['moment']}.json"
    site.host.put(place, json.dumps(proof).encode())
    (one,) = listed(site, capsys)
    assert one["proof"] == {"time": time, "proven": False}
    for entry in site.host.restic.listed("/srv/vault"):
        entry.host = "other.example.org"
    assert site.line("backup", "list") == 0
    shown = capsys.readouterr().out
    assert "FAILED" in shown
    assert "other.example.org" in shown


def test_all_guests_one_after_the_other(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("guests/web.yaml", "labels: [shop]\n")
    assert site.line("backup", "run", "--all", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["guests"]
    assert (one["guest"], one["error"]) == ("web", None)
    assert site.line("backup", "run", "--label", "shop") == 0


def test_what_would_be_done_for_several_guests_is_one_document(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("backup", "run", "web", "web", "--dry-run", "--json")
    assert site.line(*words) == 0
    first, second = json.loads(capsys.readouterr().out)["runs"]
    assert first["plan"]["steps"]
    assert second["plan"]["steps"]
    site.host.restic.repositories["/srv/vault"].trouble = "Fatal: no route"
    assert site.line(*words) == 5
    (refused,) = json.loads(capsys.readouterr().out)["runs"]
    assert "no route" in refused["plan"]["refusals"][0]["reason"]
    assert site.line("backup", "run", "--label", "none", "--dry-run", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["exit_code"] == 2


def test_one_that_fails_leaves_nothing_behind_and_keeps_no_other_from_it(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.restic.repositories["/srv/vault"].trouble = "Fatal: no space left on device"
    assert site.line("backup", "run", "web") == 5
    told = capsys.readouterr()
    assert "no space left on device" in told.err
    assert "Nothing was touched." in told.err
    assert "FAILED" in told.out
    assert snapshots(site) == []
    site.host.restic.repositories["/srv/vault"].trouble = ""
    site.door.failing = "backup --json"
    assert site.line("backup", "run", "web") == 7
    assert "was not backed up" in capsys.readouterr().err
    assert snapshots(site) == []
    site.door.failing = ""
    assert listed(site, capsys) == []
    assert site.line("backup", "run", "web") == 0
    assert len(listed(site, capsys)) == 1


def test_what_was_refused_has_taken_nothing_that_could_be_left(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.restic.repositories["/srv/vault"].trouble = "Fatal: no space left on device"
    assert site.line("backup", "run", "web") == 5
    told = capsys.readouterr().err
    assert told.count("Looking at the host ...") == 1, "nothing is looked for that was never taken"


def test_a_snapshot_that_is_lost_while_it_is_read_is_more_than_nothing(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    looks: list[Facts] = []

    def lost(facts: Facts) -> Facts:
        looks.append(facts)
        if len(looks) <= 2:  # the set is taken, and seen to be there
            return facts
        volumes = (replace(one, invalid=bool(one.origin)) for one in facts.volumes)
        return replace(facts, volumes=tuple(volumes))

    site.change = lost
    assert site.line("backup", "run", "web") == 7
    told = capsys.readouterr().err
    assert "a snapshot was full before it was read" in told
    assert "Nothing was stored." in told
    assert "Nothing was touched." not in told
    assert snapshots(site) == []


def test_a_bug_that_meets_one_guest_leaves_nothing_and_keeps_no_other_from_it(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    web = (Path(site.spec_dir) / "guests/web.yaml").read_text()
    other = web.replace("132.230.223.37", "132.230.223.40")
    (Path(site.spec_dir) / "guests/zdb.yaml").write_text(other)
    assert site.line("apply", "--yes") == 0
    site.host.put(f"{site.spec_dir}/guests/zdb.yaml", b"x: y\n")
    capsys.readouterr()
    bugs = [RuntimeError("odd")]

    def trip(facts: Facts) -> Facts:
        if bugs and snapshots(site) and site.host.restic.listed("/srv/vault"):
            raise bugs.pop()
        return facts

    site.change = trip
    assert site.line("backup", "run", "web", "zdb", "--debug") == 7
    told = capsys.readouterr()
    assert "this is a bug in kvmkeep: RuntimeError: odd" in told.err
    assert "web    FAILED" in told.out
    assert "zdb    done" in told.out
    assert snapshots(site) == []


def test_who_stops_at_the_second_is_not_told_that_nothing_was_touched(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    web = (Path(site.spec_dir) / "guests/web.yaml").read_text()
    other = web.replace("132.230.223.37", "132.230.223.40")
    (Path(site.spec_dir) / "guests/zdb.yaml").write_text(other)

    def stop(facts: Facts) -> Facts:
        if site.host.restic.listed("/srv/vault") and not snapshots(site):
            raise Declined("stopped on request")
        return facts

    site.change = stop
    assert site.line("backup", "run", "web", "zdb") == 130
    told = capsys.readouterr().err
    assert "stopped on request" in told
    assert "Nothing was touched." not in told


def test_a_repository_that_can_not_be_seen_may_hold_backups(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.restic.repositories["/srv/vault"].trouble = "Fatal: no space left on device"
    assert site.line("backup", "list") == 9
    told = capsys.readouterr().err
    assert "repository vault can't be seen" in told
    assert "No backups can be seen." in told


def test_what_can_not_be_deleted_is_told_and_the_next_run_does_it(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.door.failing = "lvremove"
    assert site.line("backup", "run", "web") == 7
    assert "what was taken for the backup is still there" in capsys.readouterr().err
    assert len(snapshots(site)) == 1
    site.door.failing = ""
    assert site.line("backup", "run", "web") == 0
    assert snapshots(site) == []


def test_where_the_agent_does_not_freeze_it_is_done_without(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.libvirt.stubborn_agents.add("web")
    assert site.line("backup", "run", "web", "--consistency", "frozen") == 7
    assert site.line("backup", "run", "web") == 0
    assert "The guest can't be frozen." in capsys.readouterr().err
    assert [one["consistency"] for one in listed(site, capsys)] == ["crash"]


def test_two_runs_at_once(
    site: BackupSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lock(str(tmp_path / "backup.lock")).hold("backup run"):
        assert site.line("backup", "run", "web") == 6
    assert "another run of kvmkeep is at work: backup run" in capsys.readouterr().err


def test_a_stop_ends_it_and_leaves_nothing(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = site.host.calls
    before = len(calls)
    assert site.line("backup", "run", "web") == 0
    sends = next(n for n, one in enumerate(calls) if "send" in one.argv) - before
    site.host.events[len(calls) + sends] = lambda: os.kill(os.getpid(), signal.SIGINT)
    capsys.readouterr()
    assert site.line("backup", "run", "web") == 130
    assert "stopped on request" in capsys.readouterr().err
    assert snapshots(site) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "no guest is named"),
        (["run", "web", "--all"], "four ways to choose"),
        (["run", "--due", "--all"], "four ways to choose"),
        (["forget"], "name guests, or use --all"),
        (["forget", "web", "--all"], "name guests, or use --all"),
        (["forget", "web", "web@20261127T1240Z"], "is forgotten alone"),
        (["forget", "web"], "asks before it changes anything"),
        (["forget", "web@20261127T1240Z", "--yes"], "no backup web@20261127T1240Z"),
        (["forget", "other", "--yes"], "other"),
        (["prune", "attic"], "there is no repository 'attic' (known: vault)"),
        (["verify", "attic"], "there is no repository 'attic' (known: vault)"),
        (["verify", "--data", "101"], "--data takes a number from 0 to 100"),
        (["run", "web", "--size", "x"], "--size"),
        (["show", "web@yesterday"], "not a time of a backup"),
        (["show", "web"], "has no backup"),
        (["show", "web@20261127T1240Z"], "no backup of 20261127T1240Z"),
        (["list", "--repository", "attic"], "there is no repository 'attic' (known: vault)"),
        (["init", "attic"], "there is no repository 'attic' (known: vault)"),
    ],
)
def test_wrong_words(
    site: BackupSite, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", *words) == UsageError.exit_code
    assert said in capsys.readouterr().err


def test_a_spec_without_backups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(tmp_path)
    assert site.line("backup", "run", "--all") == 2
    assert "the spec backs no guest up" in capsys.readouterr().err
    assert site.line("backup", "list") == 2
    assert "no repository for backups" in capsys.readouterr().err


def test_a_repository_that_can_not_be_seen(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = site.host.restic.repositories.pop("/srv/vault")
    assert site.line("backup", "list") == 9
    said = capsys.readouterr().err
    assert "there is nothing at /srv/vault; is something mounted there?" in said
    assert f"kvmkeep --spec {site.spec_dir} backup init vault" in said
    assert site.line("backup", "init", "vault", "--dry-run") == 0
    assert "make the repository at /srv/vault" in capsys.readouterr().out
    vault.trouble = "Fatal: wrong password or no key found"
    site.host.restic.repositories["/srv/vault"] = vault
    assert site.line("backup", "list", "--json") == 9
    assert json.loads(capsys.readouterr().out)["unseen"] == [
        {"repository": "vault", "state": "wrong password"}
    ]


def test_a_manifest_that_can_not_be_read(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "run", "web") == 0
    site.door.failing = "dump"
    assert site.line("backup", "show", "web") == 5
    assert "manifest.json in repository vault: no ?[2Jroom" in capsys.readouterr().err


def test_a_repository_that_a_stopped_init_has_left(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.restic.repositories.clear()
    site.host.put("/srv/vault/keys/00856fa089388072c1eb75", b"{}")
    assert site.line("backup", "init", "vault") == 5
    assert "delete what is at /srv/vault" in " ".join(capsys.readouterr().err.split())
    assert not site.host.restic.repositories
    # Where it can't be seen, the engine finds it.
    del site.host.files["/srv/vault/keys/00856fa089388072c1eb75"]
    site.door.failing = "init"
    assert site.line("backup", "init", "vault") == 7
    said = " ".join(capsys.readouterr().err.split())
    assert "something there already, and no backup was ever stored: delete what is at" in said


def test_a_stop_while_the_snapshots_of_a_guest_are_deleted_ends_all(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    run = site.door.run

    def stopped(command: Command, watch: object = None) -> Result:
        if "lvremove" in command.argv:
            os.kill(os.getpid(), signal.SIGINT)
        return run(command, watch)

    site.door.run = stopped  # type: ignore[method-assign]
    assert site.line("backup", "run", "web") == 130
    told = capsys.readouterr()
    assert "kvmkeep: You asked to stop." in told.err
    assert "Nothing was touched." not in told.err
    assert told.out == ""
    assert len(listed(site, capsys)) == 1
