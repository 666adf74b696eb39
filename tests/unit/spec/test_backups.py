"""Repositories, and how guests are backed up: what a right spec becomes, and what is wrong."""

from __future__ import annotations

import pytest
from fakes.spec import load_text

from kvmkeep.model.backup_policy import BackupPolicy, Engine, Keep, Repository
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Label
from tests.unit.spec.texts import BARE, HOST, mistakes

VAULT = "repositories: {vault: {url: /srv/backup, password_file: /root/pw}}\n"
USUAL = Keep(last=3, daily=7, weekly=5, monthly=12)


def spec(host: str, guest: str = "") -> Spec:
    return load_text({"host.yaml": HOST + host, "guests/web.yaml": BARE + guest})


def policy(host: str, guest: str = "") -> BackupPolicy | None:
    return spec(host, guest).guests[0].backup


def told(host: str, guest: str = "") -> list[str]:
    """Return what is said, without the places in files whose other lines do not matter here."""
    lines = mistakes({"host.yaml": HOST + host, "guests/web.yaml": BARE + guest})
    return [line.split(": ", 1)[1] for line in lines]


def test_a_repository_with_all_that_it_may_have() -> None:
    entry = (
        "repositories:\n  vault:\n    engine: restic\n    url: sftp:me@vault:/srv/backup\n"
        "    password_file: /root/pw\n    environment_file: /root/keys\n    rate: 50MiB/s\n"
        "    append_only: true\n"
    )
    assert spec(entry).repositories == (
        Repository(
            name=Label("vault"),
            engine=Engine.RESTIC,
            url="sftp:me@vault:/srv/backup",
            password_file="/root/pw",
            environment_file="/root/keys",
            rate=50 << 20,
            append_only=True,
        ),
    )
    assert spec(entry).repository(Label("vault")).rate == 50 << 20


def test_a_guest_is_not_backed_up_unless_the_spec_says_so() -> None:
    assert policy("") is None
    assert policy(VAULT) is None


def test_a_guest_in_one_word() -> None:
    assert policy(VAULT, "backup: {repository: vault}\n") == BackupPolicy(
        repository=Label("vault"), schedule="daily", keep=USUAL, prove="weekly", check=()
    )


def test_what_holds_for_all_and_what_a_guest_says_otherwise() -> None:
    usual = VAULT + (
        "backup: {repository: vault, schedule: '*-*-* 01:30', keep: {daily: 14}, "
        "prove: monthly, check: [/bin/true]}\n"
    )
    assert policy(usual) == BackupPolicy(
        repository=Label("vault"),
        schedule="*-*-* 01:30",
        keep=Keep(last=0, daily=14, weekly=0, monthly=0),
        prove="monthly",
        check=("/bin/true",),
    )
    assert policy(usual, "backup: true\n") == policy(usual)
    assert policy(usual, "backup: false\n") is None
    spaced = "backup: {repository: vault, schedule: ' daily  UTC '}\n"
    assert policy(usual, spaced).schedule == "daily UTC"
    assert policy(usual, "backup: {schedule: hourly, check: []}\n") == BackupPolicy(
        repository=Label("vault"),
        schedule="hourly",
        keep=Keep(last=0, daily=14, weekly=0, monthly=0),
        prove="monthly",
        check=(),
    )


@pytest.mark.parametrize(
    "url",
    [
        "/srv/backup", "sftp:me@h:/p", "sftp:me@there@h:/p", "sftp://me@h:2222//p", "sftp:h:p-q",
        "sftp:[2001:db8::7]:/p", "s3:https://h/b", "rest:https://h/", "b2:bucket:path",
    ],
)  # fmt: skip
def test_places_of_restic(url: str) -> None:
    entry = f"repositories: {{vault: {{url: '{url}', password_file: /root/pw}}}}\n"
    assert spec(entry).repositories[0].url == url


@pytest.mark.parametrize(
    "url",
    ["/srv/backup", "ssh://me@h/p", "ssh://h:2222/./p", "ssh://me@[2001:db8::7]:22/p"],
)
def test_places_of_borg(url: str) -> None:
    entry = f"repositories: {{vault: {{engine: borg, url: '{url}', password_file: /root/pw}}}}\n"
    one = spec(entry).repositories[0]
    assert (one.url, one.engine) == (url, Engine.BORG)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("{password_file: /p}", "url is missing (such as url: sftp:"),
        ("{url: /srv}", "password_file is missing (such as password_file: /root/backup"),
        ("{url: /, password_file: /p}", "url: not a place that restic knows (an absolute path, "),
        ("{url: srv, password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'ftp:x', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'sftp:', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'sftp:-oX@h:/p', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'sftp:x@-oX=id:/p', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'sftp://x@-oX=id/p', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'sftp:a@-oX@h:/p', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'sftp::/p', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'sftp:///p', password_file: /p}", "url: not a place that restic knows"),
        ("{url: 'rest:https://h/?p=canary', password_file: /p}", "url: it holds more than a place"),
        ("{url: 's3:https://h/b?p=canary', password_file: /p}", "url: it holds more than a place"),
        ("{url: 'rest:https:\\\\u:canary@h', password_file: /p}", "url: it holds more than a pl"),
        (
            "{url: 'rest:https://canary@h/', password_file: /p}",
            "url: it holds a name without a password, which may be a token (a secret has no place in "
            "a spec: write it into environment_file, as RESTIC_REST_USERNAME=...)",
        ),
        (
            "{url: 's3:https://canary@h/b', password_file: /p, environment_file: /k}",
            "url: it holds a name without a password, which may be a token (a secret has no place in "
            "a spec: write it into environment_file)",
        ),
        ("{url: '/srv/a b', password_file: /p}", "url: not a place for backups"),
        ("{engine: borg, url: 'sftp:h:/p', password_file: /p}", "url: not a place that borg knows"),
        ("{engine: borg, url: 'ssh:h/p', password_file: /p}", "url: not a place that borg knows"),
        ("{engine: borg, url: 'ssh://-oX/p', password_file: /p}", "url: not a place that borg"),
        ("{engine: borg, url: '/srv/{user}', password_file: /p}", "url: it holds {, } or ::"),
        ("{engine: borg, url: '/srv/a::b', password_file: /p}", "url: it holds {, } or ::"),
        ("{url: 'ssh://h/p', password_file: /p}", "url: not a place that restic knows"),
        (
            "{url: 'rest:https://me:canary@h/', password_file: /p}",
            "url: it holds a password (a secret has no place in a spec: write it into "
            "environment_file, as RESTIC_REST_PASSWORD=...)",
        ),
        ("{url: /srv, password_file: pw}", "password_file: 'pw' is not an absolute path"),
        ("{url: /srv, password_file: /pw/}", "password_file: '/pw/' is a directory"),
        (
            "{url: /srv, password_file: /p, environment_file: k}",
            "environment_file: 'k' is not an absolute path",
        ),
        ("{url: /srv, password_file: /p, rate: fast}", "rate: 'fast' is not a size"),
        ("{url: /srv, password_file: /p, engine: tar}", "engine: not a known word"),
    ],
)
def test_wrong_repositories(entry: str, line: str) -> None:
    found = told(f"repositories: {{vault: {entry}}}\n")
    assert len(found) == 1
    assert found[0].startswith(line)
    assert "canary" not in found[0]


def test_a_name_may_stand_before_a_rest_server_where_its_password_comes_from_a_file() -> None:
    entry = "{url: 'rest:https://me@h/', password_file: /p, environment_file: /k}"
    assert spec(f"repositories: {{vault: {entry}}}\n").repositories[0].url == "rest:https://me@h/"


def test_a_repository_has_a_name_and_is_a_mapping() -> None:
    assert told("repositories: {'../x': {url: /srv, password_file: /p}, y: /srv}\n") == [
        "'../x' can't be a name here (1 to 32 of a-z, 0-9, '.', '_' and '-', beginning and ending "
        "with a letter or digit)",
        "y: text stands here, but keys with values is wanted",
    ]


def test_repositories_that_are_no_mapping_are_told_once() -> None:
    assert told("repositories: vault\n", "backup: {repository: vault}\n") == [
        "repositories: text stands here, but keys with values is wanted"
    ]


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("true", "backup: it tells no repository (name one, here or in the backup of host.yaml)"),
        ("{schedule: daily}", "backup: it tells no repository"),
        ("{repository: attic}", "repository: there is no repository 'attic' in host.yaml"),
        ("{repository: vault, schedule: 'a;b'}", "schedule: 'a;b' is not a time (such as daily"),
        ("{repository: vault, prove: ' '}", "prove: ' ' is not a time"),
        ("{repository: vault, keep: {}}", "keep: it keeps nothing (such as keep: {daily: 7"),
        ("{repository: vault, keep: {daily: -1}}", "daily: -1 is out of range"),
        ("{repository: vault, keep: {dayly: 1}}", "unknown key 'dayly' (did you mean daily?)"),
        ("{repository: vault, keep: {last: 1, daily: -1}}", "daily: -1 is out of range"),
        ("{repository: vault, check: [true.sh]}", "check: its first word is not an absolute path"),
        ('{repository: vault, check: ["/a", "\\a"]}', "check: at most 50 words, without control"),
    ],
)
def test_wrong_wishes_of_a_guest(entry: str, line: str) -> None:
    found = told(VAULT, f"backup: {entry}\n")
    assert len(found) == 1
    assert found[0].startswith(line)


def test_mistakes_of_what_holds_for_all_are_told_once() -> None:
    found = told(VAULT + "backup: {repository: attic, schedule: 'a;b'}\n")
    assert found == [
        "repository: there is no repository 'attic' in host.yaml (known: vault)",
        "schedule: 'a;b' is not a time (such as daily, or Mon *-*-* 01:30)",
    ]
