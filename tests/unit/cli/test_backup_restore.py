"""`backup restore`, from the command line down to a host in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.files import anybodys

from kvmkeep.model.command import WriteFile
from tests.unit.cli.backup_site import BackupSite


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    made = BackupSite(tmp_path)
    made.with_vault()
    for name in ("host.yaml", "guests/web.yaml"):
        path = f"{made.spec_dir}/{name}"
        made.host.put(path, Path(path).read_bytes())
    assert made.line("backup", "run", "web") == 0
    made.host.proof.repository.objects = {
        one.id: one.files for one in made.host.restic.listed("/srv/vault")
    }
    made.host.libvirt.domains["web"].end("shutdown")
    capsys.readouterr()
    return made


def test_a_guest_that_is_off_gets_its_disks_back(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "restore", "web", "--dry-run") == 0
    assert "and read it again" in capsys.readouterr().out
    assert site.line("backup", "restore", "web", "--yes") == 0
    assert "Done:" in capsys.readouterr().out
    assert len(site.host.lvm.volumes) == 2
    assert site.line("trash", "list") == 0
    assert "web-" in capsys.readouterr().out


def test_where_there_is_no_room_the_present_disks_can_make_it(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    write_through(site)
    site.host.lvm.size = 45 << 30
    assert site.line("backup", "restore", "web", "--yes") == 4
    assert "remove web, then destroy them" in " ".join(capsys.readouterr().err.split())
    # The file that it moves lies on this machine, and not in the host in memory.
    assert site.line("remove", "web", "--yes") == 8
    (Path(site.spec_dir) / "guests/web.yaml").unlink()
    capsys.readouterr()
    (gone,) = [name for name in site.host.lvm.volumes if name.startswith("trash-")]
    entry = f"web-{gone.split('-')[1]}"
    assert site.line("trash", "empty", entry, "--really", "web") == 0
    assert site.line("backup", "restore", "web", "--yes") == 0
    assert list(site.host.lvm.volumes) == ["vm-web"]
    assert "web" in site.host.libvirt.domains


@pytest.mark.parametrize(("failing", "told"), [("blocks receive", True), ("lvcreate", False)])
def test_a_restore_that_the_repository_fails_tells_of_older_backups_and_of_the_former_disks(
    failing: str, *, told: bool, site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.door.failing = failing
    assert site.line("backup", "restore", "web", "--yes") == 7
    said = capsys.readouterr().err
    assert ("backup restore web@TIME; any disks that it had until now lie" in said) is told


def of_another_host(site: BackupSite, moment: str = "") -> None:
    """Have another host store a guest of that name, just then or at the same moment."""
    objects = site.host.restic.listed("/srv/vault")
    for one in tuple(objects):
        tags = tuple(f"set={moment}" if moment and t.startswith("set=") else t for t in one.tags)
        objects.append(replace(one, id=f"f{one.id[1:]}", host="archive.example.org", tags=tags))


@pytest.mark.parametrize("moment", ["", "20991231T2359Z"])
def test_a_guest_of_that_name_on_another_host_is_never_taken_for_ours(
    moment: str, site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    of_another_host(site, moment)
    assert site.line("backup", "show", "web", "--json") == 0
    assert json.loads(capsys.readouterr().out)["backup"]["host"] == "build.example.org"


def test_what_only_another_host_has_can_be_had_too(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in site.host.restic.listed("/srv/vault"):
        one.host = "before.example.org"
    assert site.line("backup", "show", "web", "--json") == 0
    assert json.loads(capsys.readouterr().out)["backup"]["host"] == "before.example.org"


def test_a_running_guest_and_nobody_to_ask_are_refused(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("backup", "restore", "web") == 2
    assert site.line("start", "web") == 0
    assert site.line("backup", "restore", "web", "--yes") == 4
    assert "it runs, on the disks that would go" in capsys.readouterr().err


def test_one_disk_into_a_file_beside_a_running_guest(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("start", "web") == 0
    words = ("backup", "restore", "web", "--disk", "root", "--to")
    assert site.line(*words, "/srv/root.raw", "--dry-run") == 0
    assert site.line(*words, "/srv/root.raw") == 0
    assert "/srv/root.raw" in site.host.files
    assert not [path for path in site.host.files if ".part" in path or "/restore/" in path]
    assert site.line(*words, "/srv/root.raw") == 2
    assert "is there already" in capsys.readouterr().err
    assert site.line("backup", "restore", "web", "--to", "/srv/x.raw") == 2
    assert site.line("backup", "restore", "web", "--disk", "logs", "--to", "/srv/x.raw") == 4
    assert "it has no disk logs" in capsys.readouterr().err
    site.host.proof.repository.broken.add("/web-root.raw")
    assert site.line(*words, "/srv/other.raw") == 7
    assert "is not what was read at the backup" in capsys.readouterr().err
    assert not [path for path in site.host.files if "other.raw" in path]


def test_a_disk_is_not_written_where_others_could_lay_a_link(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.ways["/tmp"] = anybodys("/tmp")
    words = ("backup", "restore", "web", "--disk", "root", "--to", "/tmp/root.raw")
    assert site.line(*words) == 4
    assert "others than root may write to /tmp" in capsys.readouterr().err
    assert "/tmp/root.raw" not in site.host.files


def lose(site: BackupSite) -> None:
    """Lose the guest with all that is known of it."""
    write_through(site)
    del site.host.libvirt.domains["web"]
    del site.host.lvm.volumes["vm-web"]
    Path(f"{site.spec_dir}/guests/web.yaml").unlink()


def write_through(site: BackupSite) -> None:
    def write(file: WriteFile) -> None:
        if file.path.startswith(site.spec_dir):
            Path(file.path).write_bytes(file.content)
        site.host.write(file)

    site.door.write = write  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        ("blocks receive", "restore web --disk root --to /srv/root.raw"),
        ("guestfish", "copy-out web /etc/fstab /root/back"),
    ],
)
def test_of_one_that_failed_and_was_tidied_up_nothing_is_left(
    site: BackupSite, failing: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dict(site.host.files)
    site.door.failing = failing
    assert site.line("backup", *words.split()) == 7
    told = capsys.readouterr().err
    assert "Nothing is left of step" in told
    assert "may be half done" not in told
    assert site.host.files == before


def test_a_guest_that_is_lost_with_its_file_comes_back(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    assert site.line("backup", "restore", "web", "--disk", "root", "--yes") == 2
    assert site.line("backup", "restore", "web", "--yes") == 0
    assert b"vault" in Path(f"{site.spec_dir}/guests/web.yaml").read_bytes()
    assert "web" in site.host.libvirt.domains
    capsys.readouterr()
    assert site.line("apply", "--yes") == 0
    assert site.line("start", "web") == 0


def test_a_file_that_would_spoil_the_spec_is_refused(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    objects = site.host.restic.listed("/srv/vault")
    (stored,) = [one for one in objects if "manifest" in one.tags]
    (path,) = [one for one in stored.files if one.endswith("/guest.yaml")]
    stored.files[path] = b"image: none\n"
    assert site.line("backup", "restore", "web", "--yes") == 3
    assert "with the guest's file back" in capsys.readouterr().err
    stored.files[path] = b"name: shop\n" + (
        site.host.files[f"{site.spec_dir}/guests/web.yaml"].content
    )
    assert site.line("backup", "restore", "web", "--yes") == 5
    assert "not that of web" in capsys.readouterr().err


def test_files_come_out_of_a_backup(site: BackupSite, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("backup", "copy-out", "web", "/etc/fstab", "/srv/back")
    assert site.line(*words, "--dry-run") == 0
    assert "copy /etc/fstab to /srv/back" in capsys.readouterr().out
    assert site.line(*words) == 0
    assert "/srv/back/fstab" in site.host.files
    assert site.line(*words) == 4
    assert "is there already" in capsys.readouterr().err


def test_a_new_guest_is_made_of_a_backup_beside_the_one_that_runs(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("start", "web") == 0
    repository = site.host.proof.repository
    (path,) = [path for files in repository.objects.values() for path in files if ".raw" in path]
    for files in repository.objects.values():
        if path in files:
            files[path] = site.host.lvm.volumes["vm-web"].holds
    lose = site.host.write

    def write(file: WriteFile) -> None:
        if file.path.startswith(site.spec_dir):
            Path(file.path).write_bytes(file.content)
        lose(file)

    site.door.write = write  # type: ignore[method-assign]
    words = ("backup", "restore", "web", "--as", "shop", "--address", "public=132.230.223.38/24")
    assert site.line(*words, "--dry-run") == 0
    assert "as they were at the backup web@" in " ".join(capsys.readouterr().out.split())
    assert site.line(*words, "--yes") == 0
    assert {"web", "shop"} <= site.host.libvirt.domains.keys()
    assert site.host.libvirt.domains["shop"].live is not None
    assert site.host.lvm.volumes["vm-shop"].holds == site.host.lvm.volumes["vm-web"].holds
    assert "kvmkeep.clone=web" in site.host.lvm.volumes["vm-shop"].tags
    assert not [one for one in site.host.files if "/restore/" in one]


@pytest.mark.parametrize(
    "words", [("--as", "shop", "--disk", "root"), ("--hostname", "x"), ("--address", "a=b")]
)
def test_options_that_do_not_go_together(words: tuple[str, ...], site: BackupSite) -> None:
    assert site.line("backup", "restore", "web", *words, "--yes") == 2


def test_a_repository_that_is_not_mounted_is_not_one_without_backups(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.host.restic.repositories.clear()
    assert site.line("backup", "restore", "web", "--yes") == 5
    said = capsys.readouterr().err
    assert "there is nothing at /srv/vault; is something mounted there?" in said
    assert "has no backup that can be seen" in said
