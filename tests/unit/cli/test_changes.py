"""The verbs that change a disk offline, from the command line down to a host in memory."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Terminal
from tests.unit.cli.site import HASH, Site

KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x02xx").decode()


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Return a host with a guest that is off."""
    made = Site(tmp_path)
    made.host.lvm.size <<= 2
    assert made.line("apply", "--yes") == 0
    made.host.libvirt.domains["web"].live = None
    made.door.answers["openssl"] = b"$6$salt$hash\n"
    made.host.put("/root/pw", b"correct horse\n", 0o600)
    made.host.put("/root/id.pub", f"# mine\n{KEY} me@desk\n".encode())
    made.host.put("/root/motd", b"hello\n")
    capsys.readouterr()
    return made


def test_tweak_by_flags(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "tweak", "web", "--password", "root=/root/pw", "--ssh-key", "admin=/root/id.pub",
        "--sudo", "admin", "--hostname", "shop", "--serial-console", "--addresses",
        "--cloud-init", "off", "--datasources", "NoCloud,None", "--file", "/root/motd=/etc/motd",
        "--run", "true",
    ]  # fmt: skip
    assert site.line(*words, "--dry-run") == 0
    assert "from here on as if its disk is fitted for that" in capsys.readouterr().out
    assert site.line(*words, "--yes") == 0
    said = capsys.readouterr()
    assert "in it, /var/lib/kvmkeep-old/" in said.out + said.err
    assert "correct horse" not in said.out + said.err
    assert [one.stdin for one in site.door.asked] == [b"correct horse\n"] * 2
    tree = site.host.lvm.volumes["vm-web"].tree
    assert tree.text("/etc/shadow").startswith("root:$6$salt$hash:")
    assert tree.text("/home/admin/.ssh/authorized_keys") == f"{KEY} me@desk\n"
    assert tree.text("/etc/hostname") == "shop\n"
    assert tree.text("/etc/motd") == "hello\n"
    keyfile = tree.text("/etc/NetworkManager/system-connections/kvmkeep0.nmconnection")
    assert "address1=132.230.223.37/24" in keyfile


def test_a_guest_that_forges_the_answer_is_not_changed_until_it_stops(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = site.host.lvm.volumes["vm-web"].tree
    people = tree.text("/etc/passwd")
    tree.put("/etc/passwd", f"{people}@kvmkeep path-0\n/etc\nst_mode: {10**18}\n")
    assert site.line("tweak", "web", "--hostname", "shop", "--yes") == 8
    assert "look into its disk" in capsys.readouterr().err
    assert tree.text("/etc/hostname") == "old\n"
    tree.put("/etc/passwd", people)
    assert site.line("tweak", "web", "--hostname", "shop", "--yes") == 0
    assert tree.text("/etc/hostname") == "shop\n"


def test_tweak_asks_once_and_only_when_it_knows(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer, code in (("n\n", 130), ("y\n", 0)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert site.line("tweak", "web", "--hostname", "shop") == code
        assert capsys.readouterr().err.count("Run these steps?") == 1
    assert site.host.lvm.volumes["vm-web"].tree.text("/etc/hostname") == "shop\n"


def test_a_password_from_stdin(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"secret\nmore\n")))
    assert site.line("tweak", "web", "--password", "root=-", "--yes") == 0
    assert site.door.asked[-1].stdin == b"secret\n"


def test_a_password_typed_at_a_terminal_is_not_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "typed")
    assert site.line("tweak", "web", "--password", "root=-", "--yes") == 0
    assert site.door.asked[-1].stdin == b"typed\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EOFError(), "no password was typed"),
        (UnicodeDecodeError("utf-8", b"\xe4", 0, 1, "unexpected end of data"), "not UTF-8"),
    ],
)
def test_a_password_that_was_not_typed(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    def typed(_prompt: str) -> str:
        raise error

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", typed)
    assert site.line("tweak", "web", "--password", "root=-", "--yes") == 2
    assert said in capsys.readouterr().err


def test_tweak_of_an_image_from_a_file(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "changes.yaml"
    file.write_text(f"passwords: {{root: {{hash: '{HASH}'}}}}\nhostname: kept\n")
    words = ("tweak", "debian", "--from", str(file), "--output", "/srv/out/new.raw", "--yes")
    assert site.line(*words, "--hostname", "flagged") == 0
    tree = site.host.trees["/srv/out/new.raw"]
    assert tree.text("/etc/hostname") == "flagged\n"
    assert tree.text("/etc/shadow").startswith(f"root:{HASH}:")
    capsys.readouterr()
    assert site.line(*words) == 4
    assert "/srv/out/new.raw is there already" in capsys.readouterr().err


def test_what_is_wrong_in_a_file_is_told_with_its_place(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "changes.yaml"
    file.write_text("hostname: a_b\nsudo: [Bob]\nnonsense: 1\n")
    assert site.line("tweak", "web", "--from", str(file)) == 3
    said = capsys.readouterr().err
    assert f"{file}:1:11: hostname: 'a_b' can't be a hostname" in said
    assert f"{file}:2:8: sudo: 'Bob'" in said
    assert f"{file}:3:1: unknown key 'nonsense'" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tweak", "web"), 2, "nothing is to be changed"),
        (("tweak", "nobody"), 2, "no guest or image nobody"),
        (("tweak", "debian", "--sudo", "x"), 2, "an image stays as it is"),
        (("tweak", "web", "--sudo", "x", "--output", "/x"), 2, "leave --output out"),
        (("tweak", "debian", "--sudo", "x", "--output", "/\x1b"), 2, "can't be a file's name"),
        (("tweak", "web", "--password", "root"), 2, "--password takes two words"),
        (("tweak", "web", "--password", "a=-", "--password", "b=-"), 2, "only one password"),
        (("tweak", "web", "--password", "Root=/root/pw"), 2, "'Root' can't be a user's name"),
        (("tweak", "web", "--password", "root=/nothing"), 2, "there is no file '/nothing'"),
        (("tweak", "web", "--from", "/nothing"), 2, "there is no file '/nothing'"),
        (("tweak", "debian", "--addresses", "--output", "/x"), 2, "the spec has no interfaces"),
        (("copy-in", "web", "/nothing", "/etc"), 2, "there is no file /nothing"),
        (("copy-in", "web", "/", "/etc"), 2, "can't be copied"),
        (("copy-in", "web", "/root/pw", "/x/pw", "/etc"), 2, "there is no file /x/pw"),
        (("copy-in", "web", "/root/pw", "/root/../root/pw", "/etc"), 2, "the same name"),
        (("copy-in", "web", "/root/pw", "/etc", "--mode", "rw"), 2, "--mode: 'rw' is no mode"),
        (("copy-in", "web", "/root/pw", "etc"), 2, "no path inside a guest"),
    ],
)  # fmt: skip
def test_what_is_no_use(
    site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    assert site.line(*words) == code
    assert said in capsys.readouterr().err


def test_what_can_not_be_done_is_refused_and_nothing_was_touched(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.line("tweak", "web", "--sudo", "bob", "--yes") == 4
    said = capsys.readouterr().err
    assert "there is no user bob in it" in said
    assert "Nothing was touched" in said
    assert site.line("copy-in", "web", "/root/motd", "/nowhere", "--yes") == 4


def test_files_that_can_not_be_read(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def forbidden(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    site.door.failing = "openssl"
    del site.door.answers["openssl"]
    assert site.line("tweak", "web", "--password", "root=/root/pw") == 5
    site.host.read = forbidden  # type: ignore[method-assign]
    site.host.look = forbidden  # type: ignore[method-assign, assignment]
    assert site.line("tweak", "web", "--from", "/changes.yaml") == 5
    assert site.line("copy-in", "web", "/root/motd", "/etc") == 5
    assert capsys.readouterr().err.count("Permission denied") == 2


def test_copy_in(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("copy-in", "web", "/root/motd", "/etc/", "--dry-run") == 0
    assert site.line("copy-in", "web", "/root/motd", "/etc/", "--yes") == 0
    tree = site.host.lvm.volumes["vm-web"].tree
    assert tree.text("/etc/motd") == "hello\n"
    assert site.line("copy-in", "web", "/root/motd", "/", "--yes") == 0
    assert tree.text("/motd") == "hello\n"
    capsys.readouterr()
    site.host.put("/root/motd", b"other\n")
    assert site.line("copy-in", "web", "/root/motd", "/etc", "--yes") == 4
    assert "add --replace" in capsys.readouterr().err
    site.host.files["/root/motd"].kind = "fifo"
    assert site.line("copy-in", "web", "/root/motd", "/etc") == 2


def test_an_answer_that_can_not_be_read_is_none(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.door.answers["guestfish"] = b"garbage"
    assert site.line("tweak", "web", "--hostname", "x", "--yes") == 8
    capsys.readouterr()
