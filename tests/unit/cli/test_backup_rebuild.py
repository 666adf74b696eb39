"""`backup rebuild`, from the command line down to a host in memory."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.model.backup import BackupFacts, RepositoryFacts, RepositoryState
from kvmkeep.model.command import WriteFile
from kvmkeep.model.facts import ArrayState
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.units import Size
from kvmkeep.planning.domains.xml import BASE
from tests.unit.cli.backup_site import BackupSite

URL = ("--url", "/srv/vault", "--password-file", "/root/backup.password")


def see_the_spec(site: BackupSite) -> None:
    """Have the host in memory see the files of the spec, which lie on this machine."""
    for path in Path(site.spec_dir).rglob("*.yaml"):
        site.host.put(str(path), path.read_bytes())


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> BackupSite:
    """Return a host whose guest was backed up, and that lost everything but its repository."""
    made = BackupSite(tmp_path)
    guest = (Path(made.spec_dir) / "guests/web.yaml").read_text()
    db = guest.replace("132.230.223.37", "132.230.223.40").replace("20GiB", "10GiB")
    (Path(made.spec_dir) / "guests/zdb.yaml").write_text(db)
    made.add("guests/web.yaml", "run: {needs: [zdb]}\n")
    assert made.line("apply", "--yes") == 0
    for name in ("web", "zdb"):
        made.host.libvirt.domains[name].agent = True
    assert made.line("backup", "init", "vault") == 0
    see_the_spec(made)
    assert made.line("backup", "run", "--all") == 0
    made.host.proof.repository.objects = {
        one.id: one.files for one in made.host.restic.listed("/srv/vault")
    }
    write_through(made)
    capsys.readouterr()
    return made


def write_through(site: BackupSite) -> None:
    def write(file: WriteFile) -> None:
        if file.path.startswith(site.spec_dir):
            Path(file.path).parent.mkdir(exist_ok=True)
            Path(file.path).write_bytes(file.content)
        site.host.write(file)

    site.door.write = write  # type: ignore[method-assign]


def lose(site: BackupSite, *, spec: bool = True, disks: bool = True) -> None:
    for name in ("web", "zdb"):
        del site.host.libvirt.domains[name]
        if disks:
            del site.host.lvm.volumes[f"vm-{name}"]
        (Path(site.spec_dir) / f"guests/{name}.yaml").unlink()
        site.host.files.pop(f"{site.spec_dir}/guests/{name}.yaml")
    if spec:
        shutil.rmtree(site.spec_dir)
        site.host.files.pop(f"{site.spec_dir}/host.yaml")
        Path(site.spec_dir).mkdir()


def test_a_host_without_a_spec_comes_back_from_its_repository(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (Path(site.spec_dir) / "host.yaml").read_bytes()
    lose(site)
    assert site.line("backup", "rebuild", *URL, "--dry-run") == 0
    told = capsys.readouterr()
    assert "web@" in told.out
    assert "host.yaml is written as it was" in told.err
    assert not list(Path(site.spec_dir).iterdir())
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    out = capsys.readouterr().out
    assert "web    done" in out
    assert out.index("zdb@") < out.index("web@"), "what a guest needs comes first"
    assert (Path(site.spec_dir) / "host.yaml").read_bytes() == before
    assert all(site.host.libvirt.domains[name].live for name in ("web", "zdb"))
    assert site.line("plan", "--exit-code") == 0
    # The same line again has nothing to do, and says so.
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    said = capsys.readouterr().err
    assert "Nothing to do" in said
    assert "the repositories are those it names" in said
    assert "are off" not in said


def test_a_guest_that_the_spec_has_under_another_name_is_not_lost(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path(site.spec_dir) / "guests/web.yaml"
    old.with_name("shop.yaml").write_text(f"{old.read_text()}identity: web\n")
    old.unlink()
    for words in ((), ("web",)):
        assert site.line("backup", "rebuild", *words, "--yes") == 0
        assert "Nothing to do: the spec has every guest" in capsys.readouterr().err
    assert site.line("backup", "rebuild", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["guests"] == []
    assert site.line("backup", "rebuild", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["backups"], told["trash"]) == ([], [])


def test_a_guest_may_be_named_as_it_was_before_it_was_renamed(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    objects = site.host.restic.listed("/srv/vault")
    (commit,) = [one for one in objects if {"manifest", "guest=web"} <= {*one.tags}]
    said = {"guest=web": "guest=shop"}
    tags = tuple(said.get(tag, tag) for tag in commit.tags)
    tags = tuple("set=20261128T0000Z" if tag.startswith("set=") else tag for tag in tags)
    objects.append(type(commit)("f" * 64, commit.host, tags, commit.path, {}))
    assert site.line("backup", "rebuild", *URL, "web", "zdb", "--dry-run") == 0
    assert "web@" in capsys.readouterr().out


def test_of_two_guests_that_had_one_name_the_older_one_is_told(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    for one in site.host.restic.listed("/srv/vault"):
        if "guest=zdb" in one.tags:
            said = {"guest=zdb": "guest=web"}
            tags = tuple(said.get(tag, tag) for tag in one.tags)
            one.tags = tuple("set=20261101T0000Z" if tag[:4] == "set=" else tag for tag in tags)
    assert site.line("backup", "rebuild", *URL, "--dry-run") == 0
    told = capsys.readouterr().err
    assert "web@20261101T0000Z is the last backup of an older guest that had this name" in told
    assert "of the identity 'zdb'" in told
    assert "backup restore web@20261101T0000Z --disk root --to FILE" in told


def test_a_backup_from_the_future_is_not_the_last_one(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    mine = [one for one in site.host.restic.listed("/srv/vault") if "guest=web" in one.tags]
    (now,) = {tag for one in mine for tag in one.tags if tag.startswith("set=")}
    for number, one in enumerate(mine):
        tags = tuple("set=20990101T0000Z" if tag == now else tag for tag in one.tags)
        site.host.restic.listed("/srv/vault").append(
            type(one)(f"{number}" * 64, one.host, tags, one.path, {})
        )
    assert site.line("backup", "rebuild", *URL, "--dry-run") == 0
    assert f"web@{now.removeprefix('set=')}" in capsys.readouterr().out
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    assert site.line("backup", "show", "web") == 0
    assert site.line("backup", "list") == 0
    listed = capsys.readouterr().out
    (line,) = [one for one in listed.splitlines() if "web@2099" in one]
    assert line.split()[1] == "future"


def test_a_run_that_was_killed_before_it_started_them_says_how_to(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    assert site.line("backup", "rebuild", *URL, "--no-start", "--yes") == 0
    capsys.readouterr()
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    told = capsys.readouterr().err
    for name in ("web", "zdb"):
        line = f"{name} starts with the host, and is off: kvmkeep --spec {site.spec_dir} start"
        assert f"{line} {name}\n" in told


def without_needs(site: BackupSite) -> None:
    for one in site.host.restic.listed("/srv/vault"):
        for path in [path for path in one.files if path.endswith("/guest.yaml")]:
            one.files[path] = one.files[path].replace(b"run: {needs: [zdb]}\n", b"")


def live(site: BackupSite) -> dict[str, bool]:
    return {name: bool(one.live) for name, one in site.host.libvirt.domains.items()}


def test_a_guest_that_does_not_start_keeps_no_other_off(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    without_needs(site)
    site.door.failing = "virsh start -- web"
    assert site.line("backup", "rebuild", *URL, "--yes") == 7
    assert live(site) == {"web": False, "zdb": True}
    told = capsys.readouterr().err
    assert f"is off: kvmkeep --spec {site.spec_dir} start web\n" in told
    assert "start zdb" not in told


def test_the_guests_of_a_run_that_was_killed_are_started_by_the_next_one(
    site: BackupSite,
) -> None:
    lose(site)
    without_needs(site)
    # As a kill leaves it: the first one is back, and nobody has started it.
    site.door.failing = "virsh start"
    assert site.line("backup", "rebuild", *URL, "zdb", "--yes") == 7
    site.door.failing = ""
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    assert live(site) == {"web": True, "zdb": True}


def test_a_guest_that_somebody_shut_down_after_it_came_back_stays_off(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    without_needs(site)
    assert site.line("backup", "rebuild", *URL, "zdb", "--yes") == 0
    assert site.line("shutdown", "zdb") == 0
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    assert live(site) == {"web": True, "zdb": False}
    assert "zdb starts with the host, and is off" in capsys.readouterr().err


def test_with_the_spec_there_only_what_it_lacks_comes_back(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site, spec=False)
    assert site.line("backup", "rebuild", "--no-start", "--yes") == 0
    assert "host.yaml is written" not in capsys.readouterr().err
    assert site.host.libvirt.domains["web"].live is None
    assert (Path(site.spec_dir) / "guests/web.yaml").exists()


def test_a_repository_that_can_not_be_seen_is_not_an_empty_one(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site, spec=False)
    vault = RepositoryFacts(name="vault", state=RepositoryState.UNSEEN, said="no route")
    seen = BackupFacts(repositories=(vault,))
    site.change = lambda facts: replace(facts, backups=seen)
    assert site.line("backup", "rebuild", "--yes") == 5
    assert "nobody knows what there is to bring back" in capsys.readouterr().err


def test_a_guest_that_can_not_come_back_is_told(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    for files in (one.files for one in site.host.restic.listed("/srv/vault")):
        site.host.proof.repository.broken.update(path for path in files if path.endswith(".raw"))
    code = site.line("backup", "rebuild", *URL, "--json", "--yes")
    told = capsys.readouterr()
    assert code != 0, told.out
    assert "guest web did not come back" in told.err
    assert '"error": null' not in told.out
    assert not (Path(site.spec_dir) / "guests/web.yaml").exists()


def test_who_is_not_asked_or_says_no_has_nothing_done(
    site: BackupSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(site)
    assert site.line("backup", "rebuild", *URL) == 2
    assert f"kvmkeep backup rebuild {' '.join(URL)}" in capsys.readouterr().err
    terminal = io.StringIO("n\ny\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert site.line("backup", "rebuild", *URL) == 130
    assert "Bring them back? [y/N]" in capsys.readouterr().err
    assert not list(Path(site.spec_dir).iterdir())
    assert site.line("backup", "rebuild", *URL) == 0


def test_disks_that_are_still_there_are_told_before_they_go_into_the_trash(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site, disks=False)
    assert site.line("backup", "rebuild", *URL, "--dry-run") == 0
    told = capsys.readouterr().err
    assert "rl_build/vm-web (20 GiB)" in told
    assert "name only the other guests" in told
    assert site.line("backup", "rebuild", *URL, "zdb", "--dry-run") == 0
    told = capsys.readouterr().err
    assert "rl_build/vm-zdb (10 GiB)" in told
    assert "rl_build/vm-web" not in told
    assert site.line("backup", "rebuild", *URL, "--json", "--dry-run") == 0
    assert json.loads(capsys.readouterr().out)["trash"] == ["rl_build/vm-zdb", "rl_build/vm-web"]
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    assert "rl_build/vm-web (20 GiB)" in capsys.readouterr().err
    assert len([name for name in site.host.lvm.volumes if name.startswith("trash-")]) == 2


def test_a_repository_that_only_the_backup_names_is_told_and_not_asked_before_the_answer(
    site: BackupSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(site)
    more = (
        b"{other: {url: /srv/other, password_file: /root/backup.password, "
        b"environment_file: /root/keys}, "
    )
    for one in site.host.restic.listed("/srv/vault"):
        for path in [path for path in one.files if path.endswith("/host.yaml")]:
            before, key, after = one.files[path].partition(b"repositories: {")
            one.files[path] = before + key[:-1] + more + after
    # Who asks is told that these are not to be used as they lie there.
    for path in ("/root/pw", "/root/keys"):
        site.host.secrets[path] = SecretFile(path=path)
    terminal = io.StringIO("n\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert site.line("backup", "rebuild", *URL, "--dry-run") == 0
    assert site.line("backup", "rebuild", *URL) == 130
    told = capsys.readouterr().err
    line = (
        "  other at /srv/other, with the password in /root/backup.password, "
        "and the keys in /root/keys - not as you named it\n"
    )
    assert told.count(line) == 2
    assert "  vault at /srv/vault, with the password in /root/pw\n" in told
    assert "not asked" not in told


def test_of_several_hosts_one_is_named(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    for one in site.host.restic.listed("/srv/vault"):
        if "guest=web" in one.tags:
            one.host = "old.example.org"
    assert site.line("backup", "rebuild", *URL, "--yes") == 2
    assert "'build.example.org', 'old.example.org'" in capsys.readouterr().err
    words = (*URL, "--host", "build.example.org", "--dry-run")
    assert site.line("backup", "rebuild", *words) == 0
    told = capsys.readouterr().out
    assert "zdb@" in told
    assert "web@" not in told


def test_what_the_new_server_lacks_is_told_before_anything_is_done(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    site.change = lambda facts: replace(facts, groups=(), links=())
    assert site.line("backup", "rebuild", *URL, "--yes") == 4
    told = " ".join(capsys.readouterr().err.split())
    assert "there is no such volume group" in told
    assert "uplink uplink0: there is no such interface" in told
    assert f"mkdir -p {site.spec_dir}; " in told
    assert f"/host.yaml > {site.spec_dir}/host.yaml - correct it, keep its `host.name`" in told
    assert f"type: kvmkeep --spec {site.spec_dir} backup rebuild" in told
    assert "Nothing was touched." in told
    assert not list(Path(site.spec_dir).iterdir())


def test_a_site_with_a_template_of_its_own_has_it_from_the_backup(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("host.yaml", "template: own.xml\n")
    own = Path(site.spec_dir) / "own.xml"
    own.write_text(f"<!-- ours -->{BASE}")
    see_the_spec(site)
    assert site.line("backup", "run", "--all") == 0
    objects = site.host.restic.listed("/srv/vault")
    site.host.proof.repository.objects = {one.id: one.files for one in objects}
    lose(site)
    own.unlink(missing_ok=True)
    assert not list(Path(site.spec_dir).iterdir())
    capsys.readouterr()
    assert site.line("backup", "rebuild", *URL, "--yes") == 3
    told = " ".join(capsys.readouterr().err.split())
    assert f"template: there is no file {own}" in told
    assert "/template.xml > THAT FILE - look through it" in told
    (kept,) = {
        text
        for one in objects
        for path, text in one.files.items()
        if path.endswith("/template.xml")
    }
    own.write_bytes(kept)
    assert site.line("backup", "rebuild", *URL, "--yes") == 0
    assert site.line("plan", "--exit-code") == 0
    assert site.line("backup", "show", "web") == 0
    assert "host.yaml, template.xml" in capsys.readouterr().out


def test_room_for_all_is_looked_at_before_anything_is_done(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    # Room for one of them, beside the host's reserve.
    site.host.lvm.size = 35 << 30
    for words in (("--dry-run",), ("--yes",)):
        assert site.line("backup", "rebuild", *URL, *words) == 4
        told = " ".join(capsys.readouterr().err.split())
        assert "these guests need 30 GiB beside what is there (zdb 10 GiB, web 20 GiB), but" in told
        assert "name those that matter most" in told
        assert "Nothing was touched." in told
    assert not list(Path(site.spec_dir).iterdir())
    assert site.line("backup", "rebuild", *URL, "zdb", "--yes") == 0


def test_an_array_that_takes_no_writes_is_told_before_anything_is_done(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)

    def with_state(state: ArrayState) -> None:
        site.change = lambda facts: replace(
            facts, arrays=tuple(replace(one, state=state) for one in facts.arrays)
        )

    with_state(ArrayState.FAILED)
    assert site.line("backup", "rebuild", *URL, "--yes") == 4
    assert "array md0: it is failed" in " ".join(capsys.readouterr().err.split())
    assert not list(Path(site.spec_dir).iterdir())
    with_state(ArrayState.RESYNCING)
    assert site.line("backup", "rebuild", *URL, "zdb", "--yes") == 0
    assert "array md0: it is resyncing" in capsys.readouterr().err


def test_a_password_that_lies_elsewhere_than_the_host_file_says_is_told_before(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    site.host.secrets["/root/pw"] = SecretFile(path="/root/pw")
    assert site.line("backup", "rebuild", *URL, "--yes") == 5
    told = " ".join(capsys.readouterr().err.split())
    assert "vault at /srv/vault, with the password in /root/pw: not asked: " in told
    assert "put the password where the host file wants it" in told
    assert not list(Path(site.spec_dir).iterdir())


def test_guests_that_came_back_and_can_not_start_are_not_nothing(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    site.change = lambda facts: replace(facts, memory=Size(1 << 30))
    assert site.line("backup", "rebuild", *URL, "--yes") == 9
    told = capsys.readouterr()
    assert "web    done" in told.out
    assert "not started: guest web: " in told.err
    assert "Nothing was touched." not in told.err


def test_networks_and_files_that_the_backup_names_are_told_before_the_question(
    site: BackupSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(site)
    for one in site.host.restic.listed("/srv/vault"):
        for path in [path for path in one.files if path.endswith("/guest.yaml")]:
            if "/web/" in path:
                one.files[path] = one.files[path].replace(
                    b"disks: {", b"disks: {x: {size: 1GiB, file: /srv/x.img, mount: /srv}, "
                )
    terminal = io.StringIO("n\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert site.line("backup", "rebuild", *URL) == 130
    told = capsys.readouterr().err
    assert "Its networks are made on this host's uplink0" in told
    assert ": VLAN 223 of uplink0, on bridge virbr1.223\n" in told
    assert "The file of guest web has /srv/x.img as its disk x" in told
    assert told.index("virbr1.223") < told.index("Bring them back?")


def test_with_json_too_it_is_seen_what_would_come_back(
    site: BackupSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(site)
    assert site.line("backup", "rebuild", *URL, "--json", "--dry-run") == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["guest"] for one in told["backups"]] == ["zdb", "web"]
    assert {one["uplink"] for one in told["networks"]} == {"uplink0"}
    assert told["files"] == []
    terminal = io.StringIO("n\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    assert site.line("backup", "rebuild", *URL, "--json") == 130
    told = capsys.readouterr().err
    assert told.index("web@") < told.index("Bring them back?")


def test_a_guest_whose_file_names_another_is_refused(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    for one in site.host.restic.listed("/srv/vault"):
        for path in [path for path in one.files if path.endswith("/guest.yaml")]:
            one.files[path] = b"name: shop\n" + one.files[path].replace(b"zdb", b"web")
    assert site.line("backup", "rebuild", *URL, "zdb", "--yes") == 5
    assert "zdb" in capsys.readouterr().err
    assert not list(Path(site.spec_dir).iterdir())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "backup rebuild --url URL --password-file FILE"),
        (("--url", "vault", "--password-file", "/root/x"), 2, "not a place that restic knows"),
        ((*URL, "--host", "other.example.org"), 2, "no backup of the host 'other.example.org'"),
        ((*URL, "mail"), 2, "no backup of mail on 'build.example.org' (known: 'web', 'zdb')"),
        (("--url", "/srv/nothing", "--password-file", "/root/backup.password"), 5, "can't be read"),
    ],
)
def test_what_can_not_be_found_is_told_before_anything_is_done(
    words: tuple[str, ...],
    code: int,
    said: str,
    site: BackupSite,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lose(site)
    assert site.line("backup", "rebuild", *words, "--yes") == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(Path(site.spec_dir).iterdir())


def test_a_file_that_would_spoil_the_spec_is_told_with_its_line(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    for one in site.host.restic.listed("/srv/vault"):
        for path in [path for path in one.files if path.endswith("/guest.yaml")]:
            one.files[path] = b"image: none\n"
    assert site.line("backup", "rebuild", *URL, "--yes") == 3
    assert "guests/web.yaml:1:8" in capsys.readouterr().err
    assert not list(Path(site.spec_dir).iterdir())


def test_a_repository_that_can_not_be_seen_keeps_nothing_of_another_away(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    more = b"{other: {url: /srv/other, password_file: /root/backup.password}, "
    for one in site.host.restic.listed("/srv/vault"):
        for path in [path for path in one.files if path.endswith("/host.yaml")]:
            before, key, after = one.files[path].partition(b"repositories: {")
            one.files[path] = before + key[:-1] + more + after
    assert site.line("backup", "rebuild", *URL, "zdb", "--yes") == 0
    capsys.readouterr()
    assert site.line("backup", "rebuild", *URL, "--yes") == 9
    assert "What repository other has is not known" in capsys.readouterr().err
    assert live(site) == {"web": True, "zdb": True}
    # Nobody knows whether that is all.
    for words in ((), ("mail",)):
        assert site.line("backup", "rebuild", *words, "--yes") == 5
        assert "repository other can't be seen" in capsys.readouterr().err


def test_backups_of_another_host_name_are_not_nothing_to_do(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site, spec=False)
    file = Path(site.spec_dir) / "host.yaml"
    file.write_text(file.read_text().replace("build.example.org", "new.example.org"))
    for words in ((), ("--host", "build.example.org"), ("web",)):
        assert site.line("backup", "rebuild", *words, "--yes") == 2
        told = capsys.readouterr().err
        assert "the backups are of 'build.example.org', and host.name is 'new.example" in told
        assert "write `host.name: build.example.org` into host.yaml" in told
    assert site.line("backup", "restore", "web", "--yes") == 4
    site.host.restic.listed("/srv/vault").clear()
    assert site.line("backup", "rebuild", "--yes") == 2
    assert "no backup is stored" in capsys.readouterr().err


def spoil(site: BackupSite, name: str) -> None:
    for one in site.host.restic.listed("/srv/vault"):
        if f"guest={name}" in one.tags:
            broken = (path for path in one.files if path.endswith(".raw"))
            site.host.proof.repository.broken.update(broken)


@pytest.mark.parametrize("spec", [True, False])
def test_a_guest_comes_back_without_what_it_needs_and_stays_off(
    *, spec: bool, site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("install-units", "--yes") == 0
    lose(site, spec=spec)
    spoil(site, "zdb")
    capsys.readouterr()
    assert site.line("backup", "rebuild", *URL, "--yes") == 7
    told = capsys.readouterr()
    assert "guest zdb did not come back" in told.err
    assert "if the repository stays damaged, take an older backup: kvmkeep" in told.err
    assert "backup list zdb" in told.err
    assert "web    done" in told.out
    assert "guest web: what it needs is not there: zdb; it comes back without that" in told.err
    assert f"web starts with the host, and is off: kvmkeep --spec {site.spec_dir} start" in told.err
    file = Path(site.spec_dir) / "guests/web.yaml"
    assert "taken out of run.needs: zdb\n" in file.read_text()
    site.line("watch")
    assert live(site) == {"web": False}
    # Once its disk can be read again, it comes back as well; nobody starts the other one.
    site.host.proof.repository.broken.clear()
    assert site.line("backup", "rebuild", "--yes") == 0
    assert live(site) == {"web": False, "zdb": True}
    assert site.line("start", "web") == 0


def test_a_guest_that_is_named_without_its_needs_comes_back_and_says_so_before(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site, spec=False)
    assert site.line("backup", "rebuild", "web", "--dry-run") == 0
    assert "guest web: what it needs is not there: zdb" in capsys.readouterr().err
    assert site.line("backup", "restore", "web", "--dry-run") == 0
    assert "what it needs is not there: zdb" in " ".join(capsys.readouterr().out.split())
    assert site.line("backup", "restore", "web", "--yes") == 0
    assert live(site) == {"web": False}
    assert site.line("backup", "rebuild", "--yes") == 0
    assert live(site) == {"web": False, "zdb": True}


def test_a_disk_that_came_back_whole_is_not_fetched_again_for_its_definition(
    site: BackupSite, capsys: pytest.CaptureFixture[str]
) -> None:
    lose(site)
    # On a new server, no definition is kept either.
    kept = [path for path in site.host.files if path.endswith("/zdb.xml")]
    for path in kept:
        del site.host.files[path]
    assert kept
    site.door.failing = "virsh define"
    assert site.line("backup", "rebuild", *URL, "zdb", "--yes") == 7
    site.door.failing = ""
    made = site.host.lvm.volumes["vm-zdb"]
    # There would be no room for another one.
    site.host.lvm.size = 35 << 30
    capsys.readouterr()
    assert site.line("backup", "rebuild", "zdb", "--dry-run") == 0
    assert "vm-zdb" not in capsys.readouterr().err
    assert site.line("backup", "rebuild", "zdb", "--yes") == 0
    assert site.host.lvm.volumes["vm-zdb"] is made
    assert not [name for name in site.host.lvm.volumes if name.startswith("trash-")]
    assert live(site) == {"zdb": True}


def test_guests_that_are_to_stay_off_are_left_alone_by_the_watch(site: BackupSite) -> None:
    assert site.line("install-units", "--yes") == 0
    lose(site, spec=False)
    assert site.line("backup", "rebuild", "web", "zdb", "--no-start", "--yes") == 0
    site.line("watch")
    assert live(site) == {"web": False, "zdb": False}
    assert site.line("start", "zdb") == 0
    assert site.line("shutdown", "zdb") == 0
    assert site.line("start", "zdb", "web") == 0
    assert live(site) == {"web": True, "zdb": True}
    assert site.line("plan", "--exit-code") == 0
