"""The command lines of borg: what they are, and that no secret is in them."""

from __future__ import annotations

import shlex

import pytest
from fakes.borg import ENVIRONMENT
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.backup import BackupFacts, Part, RepositoryFacts, RepositoryState
from kvmkeep.model.backup_policy import Engine, Repository
from kvmkeep.model.command import Command
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.units import Label
from kvmkeep.planning.backups.init import repository_refusals
from kvmkeep.planning.programs import tools_of
from kvmkeep.planning.repositories.engine import driver
from tests.unit.planning.build import VAULT as RESTICS
from tests.unit.planning.build import guest, spec

VAULT = Repository(
    name=Label("vault"), engine=Engine.BORG, url="ssh://me@vault/srv", password_file="/root/pw"
)
KEYS = replace(VAULT, environment_file="/root/keys")
BEGIN = ("env", *ENVIRONMENT, "borg")
WAITS = "--lock-wait=1800"
URL = "ssh://me@vault/srv"
CREATE = ("--checkpoint-interval=0", "--files-cache=disabled", "--compression=auto,zstd")


def test_what_can_be_done_with_a_repository() -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    assert words.init().argv == (*BEGIN, "init", WAITS, "--encryption=repokey-blake2", "--", URL)
    assert words.prune().argv == (*BEGIN, "compact", WAITS, "--", URL)
    assert words.unlock() == ()
    assert words.forget(("a1", "b2"), "old").argv == (
        *BEGIN,
        "delete",
        WAITS,
        "--",
        URL,
        "a1",
        "b2",
    )
    get = (*BEGIN, "extract", WAITS, "--stdout", "--", f"{URL}::a1", "pf:web/root.raw")
    assert words.get("a1", "/web/root.raw") == get
    fetch = words.fetch("a1", "/web/root.raw", "/run/x", 99, "read it")
    assert (fetch.argv, fetch.stdout_to, fetch.most, fetch.why) == (get, "/run/x", 99, "read it")


@pytest.mark.parametrize(
    ("part", "depth"),
    [
        (None, ("--archives-only",)),
        (Part(number=3, of=20), ()),
        (Part(number=1, of=1), ("--verify-data",)),
    ],
)
def test_how_deep_a_check_goes(part: Part | None, depth: tuple[str, ...]) -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    assert words.check(part).argv == (*BEGIN, "check", WAITS, *depth, "--", URL)


def test_a_repository_is_never_deleted_for_want_of_a_name() -> None:
    with pytest.raises(AssertionError):
        driver(VAULT, "/usr/bin/kvmkeep").forget((), "nothing")


def test_what_is_stored() -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    assert words.put("/web/root.raw", "host.example.org", ("kvmkeep", "guest=web")) == (
        *BEGIN, "create", WAITS, "--json", *CREATE, "--chunker-params=fixed,2097152",
        "--stdin-name=web/root.raw", "--", f"{URL}::kvmkeep+guest=web+host=host.example.org", "-",
    )  # fmt: skip
    assert words.put_files("/var/x", "host", ("kvmkeep", "manifest"), "commit").argv == (
        *BEGIN, "create", WAITS, *CREATE, "--", f"{URL}::kvmkeep+manifest+host=host", "/var/x",
    )  # fmt: skip
    assert words.ends_by == "TERM"


def test_our_archives_as_files() -> None:
    words = driver(VAULT, "/usr/bin/kvmkeep")
    assert words.mount("/run/x") == (
        *BEGIN, "mount", WAITS, "--foreground", "--glob-archives=kvmkeep+*", "-o",
        "allow_other,ignore_permissions", "--", URL, "/run/x",
    )  # fmt: skip
    assert words.mounted("/run/x", "a1", "/web/root.raw") == "/run/x/a1/web/root.raw"


def test_the_password_is_read_by_another_program_and_keys_come_by_a_file() -> None:
    odd = replace(KEYS, password_file="/root/my pass'word")
    argv = driver(odd, "/usr/bin/kvmkeep").prune().argv
    assert argv[:4] == ("/usr/bin/kvmkeep", "with-environment", "--file=/root/keys", "--")
    (reads,) = [word for word in argv if word.startswith("BORG_PASSCOMMAND=")]
    assert shlex.split(reads.partition("=")[2]) == ["cat", "--", "/root/my pass'word"]


@pytest.mark.parametrize("repository", [VAULT, KEYS, replace(RESTICS, environment_file="/root/k")])
def test_an_engine_that_is_missing_is_seen_behind_its_environment(repository: Repository) -> None:
    host = FakeHost()
    host.tools[repository.engine] = ""
    command = driver(repository, "/usr/bin/kvmkeep").prune()
    step = Step(noun=Noun.STORAGE, subject="x", what="x", why="x", actions=(command,))
    tools = {tool.name: tool for tool in host.facts(spec(guest())).tools}
    (refusal,) = tools_of(tools, (step,))
    assert refusal.subject == f"program {repository.engine}"
    plain = Command(argv=("env", "A=b", "true"), why="x")
    assert tools_of(tools, (replace(step, actions=(plain,)),)) == ()


def test_an_engine_that_is_none_to_be_used_is_told_with_what_to_do() -> None:
    seen = RepositoryFacts(
        name="vault", state=RepositoryState.UNFIT, said="borg 1.2.4 is too old: ..."
    )
    facts = FakeHost().facts(spec(guest()))
    facts = replace(facts, backups=BackupFacts(repositories=(seen,)))
    (refusal,) = repository_refusals(facts, VAULT)
    assert (refusal.reason, refusal.unready) == (seen.said, True)
    assert "bookworm-backports" in refusal.hint
    # A package's borg lies in /usr/bin, which comes before /usr/local/bin in the PATH of commands.
    assert "apt remove borgbackup" in refusal.hint
