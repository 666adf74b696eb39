"""The command lines of restic: what they are, and that no secret is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapters.replay import captured
from msgspec.structs import replace

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.backup import Part
from kvmkeep.model.backup_policy import Engine, Repository
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Tool
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.units import Label
from kvmkeep.planning.programs import tools_of
from kvmkeep.planning.repositories.apart import APART
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
    assert [one.argv for one in words.unlock()] == [(*APART, *BEGIN, "unlock")]
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


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a /proc in which no restic is."""
    (tmp_path / "sys/kernel").mkdir(parents=True)
    process(tmp_path, 1, "systemd", "/sbin/init")
    process(tmp_path, 7, "kvmkeep", "python3", "restic", "backup")
    return tmp_path


def process(proc: Path, number: int, name: str, *argv: str) -> None:
    (proc / str(number)).mkdir()
    (proc / str(number) / "comm").write_text(f"{name}\n")
    (proc / str(number) / "cmdline").write_text("".join(f"{word}\0" for word in argv))


def judged(proc: Path) -> str:
    """Return what the host is called then, for an unlock that is run in there."""
    shell = APART[APART.index("sh") :]
    words = (*(word.replace("/proc/", f"{proc}/") for word in shell), "echo", "a b", "done")
    ran = MachineDoor().run(Command(argv=words, why="judge"))
    assert ran.stdout == (b"a b done\n" if ran.ok else b"")
    assert ran.ok or "directory" in ran.stderr.decode()
    name = proc / "sys/kernel/hostname"
    if not ran.ok:
        return "not unlocked"
    return name.read_text().strip() if name.exists() else ""


def test_where_no_other_restic_runs_the_young_locks_of_this_host_are_dead_ones(proc: Path) -> None:
    assert judged(proc) == ""
    process(proc, 20, "restic", "restic", "--repo=x", "mount", "--no-lock", "/m")
    process(proc, 21, "restic", "restic", "version")
    process(proc, 22, "restic")  # a zombie
    assert judged(proc) == ""


@pytest.mark.parametrize(
    ("name", "argv"),
    [("restic", ("restic", "mount", "/m")), ("restic-0.17.1", ("x", "backup", "/version"))],
)
def test_beside_another_restic_that_may_hold_a_lock_no_young_one_is_judged(
    name: str, argv: tuple[str, ...], proc: Path
) -> None:
    process(proc, 20, name, *argv)
    assert judged(proc) == "restic-runs"


def test_where_the_name_can_not_be_changed_nothing_is_unlocked(proc: Path) -> None:
    process(proc, 20, "restic", "restic", "prune")
    (proc / "sys/kernel/hostname").mkdir()
    assert judged(proc) == "not unlocked"


def test_an_unlock_needs_restic_and_what_keeps_it_apart() -> None:
    (command,) = driver(KEYS, "/usr/bin/kvmkeep").unlock()
    step = Step(noun=Noun.STORAGE, subject="x", what="x", why="x", actions=(command,))
    tools = {name: Tool(name=name, package=name, path="") for name in ("restic", "setpriv", "sh")}
    wanted = [one.subject for one in tools_of(tools, (step,))]
    assert wanted == ["program setpriv", "program restic"]


@pytest.mark.parametrize(
    "said",
    [
        "Fatal: unable to save snapshot: write /srv/v/data/26/26f8-tmp-20: no space left on device",
        "OSError: [Errno 28] No space left on device",
        "Insufficient free space to complete transaction (required: 49.1 MB, available: 0 B).",
    ],
)
@pytest.mark.parametrize("engine", Engine)
def test_a_full_repository_is_told_with_what_frees_it(engine: Engine, said: str) -> None:
    words = driver(replace(VAULT, engine=engine, url="/srv/v"), "/usr/bin/kvmkeep")
    command = words.put_files("/x", "host", ("kvmkeep", "guest=web", "manifest"), "")
    (told,) = [one.sentence for one in command.meanings if one.words in said]
    assert "kvmkeep backup forget --all && kvmkeep backup prune" in told
