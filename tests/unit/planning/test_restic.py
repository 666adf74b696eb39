"""The command lines of restic: what they are, and that no secret is in them."""

from __future__ import annotations

import pytest
from adapters.replay import captured
from msgspec.structs import replace

from kvmkeep.model.backup import Part
from kvmkeep.model.backup_policy import Engine, Repository
from kvmkeep.model.units import Label
from kvmkeep.planning.repositories.engine import driver

VAULT = Repository(
    name=Label("vault"),
    engine=Engine.RESTIC,
    url="sftp:me@vault:/srv/backup",
    password_file="/root/pw",
)
KEYS = Repository(
    name=Label("cloud"),
    engine=Engine.RESTIC,
    url="s3:https://h/b",
    password_file="/root/pw",
    environment_file="/root/keys",
)
BEGIN = (
    "restic",
    "--repo=sftp:me@vault:/srv/backup",
    "--password-file=/root/pw",
    "--cache-dir=/var/cache/kvmkeep/restic",
)


def test_what_can_be_done_with_a_repository() -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    assert words.init().argv == (*BEGIN, "init")
    assert words.prune().argv == (*BEGIN, "prune")
    assert [one.argv for one in words.unlock()] == [(*BEGIN, "unlock")]
    assert words.check().argv == (*BEGIN, "check", "--no-lock")
    part = words.check(Part(number=3, of=20)).argv
    assert part == (*BEGIN, "check", "--no-lock", "--read-data-subset=3/20")
    assert words.forget(("a1", "b2"), "old").argv == (*BEGIN, "forget", "--", "a1", "b2")
    assert words.get("a1", "/web-root.raw") == (
        *BEGIN, "dump", "--no-lock", "--", "a1", "/web-root.raw"
    )  # fmt: skip
    fetch = words.fetch("a1", "/m.json", "/run/m.json", 99, "read it")
    assert fetch.argv == (*BEGIN, "dump", "--no-lock", "--", "a1", "/m.json")
    assert (fetch.stdout_to, fetch.most, fetch.why) == ("/run/m.json", 99, "read it")


def test_what_only_reads_takes_no_lock() -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    reading = (words.get("a1", "/r"), words.mount("/run/x"), words.check().argv)
    assert all("--no-lock" in argv for argv in reading)
    changing = (words.init(), words.prune(), words.forget(("a1",), "old"), *words.unlock())
    storing = (words.put("/r", "host", ()), words.put_files("/x", "host", (), "").argv)
    assert not any("--no-lock" in argv for argv in (*(one.argv for one in changing), *storing))


def test_what_is_stored() -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    assert words.put("/web-root.raw", "host", ("kvmkeep", "guest=web")) == (
        *BEGIN, "backup", "--json", "--host=host", "--tag=kvmkeep,guest=web", "--stdin",
        "--stdin-filename=/web-root.raw",
    )  # fmt: skip
    assert words.put_files("/var/x", "host", ("kvmkeep", "manifest"), "commit").argv == (
        *BEGIN, "backup", "--force", "--host=host", "--tag=kvmkeep,manifest", "--", "/var/x",
    )  # fmt: skip


def test_all_objects_as_files() -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    assert words.mount("/run/x") == (
        *BEGIN, "mount", "--no-lock", "--allow-other", "--path-template=ids/%I", "--", "/run/x",
    )  # fmt: skip
    assert words.mounted("/run/x", "a1", "/web-root.raw") == "/run/x/ids/a1/web-root.raw"


def test_who_logs_in_to_a_rest_server_stands_in_no_command_line() -> None:
    far = replace(KEYS, url="rest:https://h/b/")
    argv = driver(far, "/usr/bin/kvmkeep").prune().argv
    assert argv == (
        "/usr/bin/kvmkeep", "with-environment", "--file=/root/keys", "--rest=rest:https://h/b/",
        "--", "restic", "--password-file=/root/pw", "--cache-dir=/var/cache/kvmkeep/restic",
        "prune",
    )  # fmt: skip
    open_to_all = replace(far, environment_file="")
    assert driver(open_to_all, "/usr/bin/kvmkeep").prune().argv[:2] == (
        "restic",
        "--repo=rest:https://h/b/",
    )


@pytest.mark.parametrize("version", ["0.14.0", "0.18.0"])
def test_what_is_forgotten_where_nothing_may_be_deleted(version: str) -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    said = captured("restic-append-only", "here", version)
    for command in (words.forget(("a1",), "old"), words.prune()):
        (told,) = [one.sentence for one in command.meanings if one.words in said]
        assert "lets nothing be deleted" in told
        assert "append_only: true" in told


def test_keys_come_by_a_file() -> None:
    argv = driver(KEYS, "/usr/bin/kvmkeep").prune().argv
    assert argv[:3] == ("/usr/bin/kvmkeep", "with-environment", "--file=/root/keys")
    assert argv[3:5] == ("--", "restic")
