"""The verbs about what is in a disk, from the command line down to a host in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.site import Site


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Site:
    """Return a host with a running guest."""
    made = Site(tmp_path)
    made.host.lvm.size <<= 2
    assert made.line("apply", "--yes") == 0
    capsys.readouterr()
    return made


def test_inspect_tells_what_is_in_it(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("inspect", "web", "--dry-run") == 0
    assert "through a snapshot" in capsys.readouterr().out
    assert site.line("inspect", "web") == 0
    said = capsys.readouterr().out
    assert "Debian 12" in said
    assert "boots with   BIOS" in said
    assert "root (0, /bin/sh, no password)" in said
    assert "1  4 KiB  0x83" in said
    assert site.line("inspect", "debian", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["bios"], said["uefi"], said["network"]) == (True, False, "NetworkManager")
    assert said["filesystems"] == [{"device": "/dev/sda1", "type": "ext4"}]


def test_inspect_of_what_is_not_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("inspect", "nothing") == 2
    assert "no guest or image nothing" in capsys.readouterr().err
    site.door.answers["guestfish"] = b"garbage"
    assert site.line("inspect", "web") == 8


def test_copy_out(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.line("copy-out", "web", "/etc/fstab", "/srv/x", "--dry-run") == 0
    assert site.line("copy-out", "web", "/etc/../etc/fstab", "/srv/x") == 0
    assert site.host.files["/srv/x/fstab"].content == b"vm-web+look /etc/fstab"
    capsys.readouterr()
    assert site.line("copy-out", "web", "/etc/fstab", "/srv/x") == 4
    assert "/srv/x/fstab is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("etc", "/x"), "no path inside"),
        (("/etc/\x1b", "/x"), "no path inside"),
        (("/..", "/x"), "whole guest"),
        (("/a/b", "/b", "/x"), "same name"),
        (("/a", "/x", "--largest", "much"), "--largest"),
    ],
)
def test_copy_out_refuses(
    site: Site, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert site.line("copy-out", "web", *words) == 2
    assert said in capsys.readouterr().err


def test_a_directory_that_can_not_be_read(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.door.forbidden = True
    assert site.line("copy-out", "web", "/a", site.spec_dir + "/x") == 5
    assert "can't be read" in capsys.readouterr().err
