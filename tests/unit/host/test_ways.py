"""The way to a directory, as the kernel walks it: whoever may change it leads root astray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.way import Part, Way

pytestmark = pytest.mark.machine


def trouble(path: Path | str) -> str:
    return MachineDoor().way(str(path)).trouble


def test_a_directory_of_roots_own_is_fine_and_so_is_one_to_be_made(tmp_path: Path) -> None:
    assert trouble("/") == ""
    assert trouble(tmp_path) == ""  # it lies in /tmp, where nobody else can rename it
    assert trouble(tmp_path / "new/one") == ""
    (tmp_path / "link").symlink_to("../" + tmp_path.name)
    assert trouble(tmp_path / "link/link/.") == ""
    assert trouble(tmp_path / "link/../gone") == ""


def test_it_tells_how_much_is_free_there(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    free = MachineDoor().way(str(tmp_path / "new")).free
    assert free is not None
    assert abs(free.bytes - found.f_bavail * found.f_frsize) < 1 << 30
    assert MachineDoor().way("/proc/self").free is None


def test_one_that_others_may_write_to_is_not(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a").chmod(0o775)
    assert f"others than root may write to {tmp_path}/a" in trouble(tmp_path / "a/b")
    assert "others" in trouble(tmp_path / "a/new")
    (tmp_path / "a").chmod(0o1777)
    assert trouble(tmp_path / "a/b") == ""
    assert "others" in trouble(tmp_path / "a")
    # What is not there yet may be made by somebody else first.
    assert "others" in trouble(tmp_path / "a/new")
    os.chown(tmp_path / "a", 1000, 0)
    assert f"{tmp_path}/a belongs to the user 1000" in trouble(tmp_path / "a/b")


def test_a_link_that_others_may_change_is_not_followed(tmp_path: Path) -> None:
    """It leads to a directory of root's own, today; so does a link to that link."""
    for name in ("home", "own"):
        (tmp_path / name).mkdir()
    os.chown(tmp_path / "home", 1000, 1000)
    (tmp_path / "home/link").symlink_to(tmp_path / "own")
    (tmp_path / "own/way").symlink_to(tmp_path / "home/link")
    assert f"{tmp_path}/home belongs" in trouble(tmp_path / "own/way")
    (tmp_path / "home").chmod(0o1777)
    os.chown(tmp_path / "home", 0, 0)
    os.lchown(tmp_path / "home/link", 1000, 1000)
    assert f"{tmp_path}/home/link belongs" in trouble(tmp_path / "home/link")
    # The link is root's, and leads into a directory that is not.
    (tmp_path / "own/here").symlink_to(tmp_path / "home")
    assert f"write to {tmp_path}/home" in trouble(tmp_path / "own/here")
    (tmp_path / "home/itself").symlink_to(".")
    assert f"write to {tmp_path}/home" in trouble(tmp_path / "home/itself")


def test_what_is_no_directory_or_has_no_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "round").symlink_to("round")
    assert trouble(tmp_path / "file") == f"{tmp_path}/file is no directory, but: file"
    assert "can't be seen: Not a directory" in trouble(tmp_path / "file/x")
    assert "can't be seen: Too many levels" in trouble(tmp_path / "round")
    assert "nobody has looked" in Way(path="/x").trouble
    assert Way(path="/", parts=(Part(path="/"),), error="").trouble == ""
