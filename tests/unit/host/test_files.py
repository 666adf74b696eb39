"""Files: the old content or the new one, and never a hang."""

from __future__ import annotations

import os
import resource
import socket
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from kvmkeep.host.append import AppendFile, AppendFolder
from kvmkeep.host.machine_door import MachineDoor, host_name
from kvmkeep.host.run import Setting
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.units import Size
from kvmkeep.planning.offline.copy_out import WORK, CopyOut, copies

pytestmark = pytest.mark.machine


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def door() -> MachineDoor:
    return MachineDoor(Setting(tick=0.01))


def file(path: Path, content: bytes = b"new", **more: object) -> WriteFile:
    return WriteFile(path=str(path), content=content, why="try it", **more)  # type: ignore[arg-type]


def test_a_file_gets_its_content_and_mode_whatever_the_umask(
    door: MachineDoor, tmp_path: Path
) -> None:
    before = os.umask(0o777)
    try:
        door.write(file(tmp_path / "a" / "b" / "c", mode=0o640, dir_mode=0o750))
    finally:
        os.umask(before)
    target = tmp_path / "a" / "b" / "c"
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o750
    # QEMU's own user must get through to a seed.
    assert stat.S_IMODE(target.parent.parent.stat().st_mode) == 0o755


def test_an_existing_directory_keeps_its_mode(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o711)
    door.write(file(tmp_path / "d" / "f", dir_mode=0o700))
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o711


def test_a_file_is_replaced_with_nothing_left_beside_it(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    (tmp_path / "f.part").write_bytes(b"torn, left by a killed run")
    door.write(file(tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == b"new"
    assert names(tmp_path) == ["f"]


def test_a_planted_link_beside_it_is_not_followed(door: MachineDoor, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "f.part").symlink_to(victim)
    door.write(file(tmp_path / "f"))
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "f").is_symlink()


def test_a_link_in_its_place_is_refused(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "f").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic link"):
        door.write(file(tmp_path / "f"))
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_path_that_is_not_absolute_is_refused(door: MachineDoor) -> None:
    with pytest.raises(OSError, match="absolute"):
        door.write(WriteFile(path="f", content=b"", why="try"))


def test_a_full_disk_leaves_the_old_file_and_no_part(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))  # write(2) ends short, then fails
    try:
        with pytest.raises(OSError, match="large"):
            door.write(file(tmp_path / "f", b"x" * (1 << 17)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


def test_a_directory_in_its_place_stays(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(IsADirectoryError):
        door.write(file(tmp_path / "f"))
    assert names(tmp_path) == ["f"]


def test_a_file_where_a_directory_should_be_is_an_error(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(b"")
    with pytest.raises(OSError, match=r"exists|directory"):
        door.write(file(tmp_path / "d" / "f"))


def test_only_the_first_bytes_are_read(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    assert door.read(str(tmp_path / "f"), 4) == b"0123"
    assert door.read(str(tmp_path / "f")) == b"0123456789"


def test_links_are_read_through(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    (tmp_path / "l").symlink_to("f")
    assert door.read(str(tmp_path / "l")) == b"content"


def test_what_is_no_regular_file_reads_as_none_and_does_not_hang(
    door: MachineDoor, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert door.read(str(tmp_path / "fifo")) is None
    assert door.read(str(tmp_path)) is None
    assert door.read("/dev/zero") is None
    assert door.read(str(tmp_path / "none")) is None
    assert door.read("/etc/passwd/none") is None


def test_names_are_sorted_and_a_missing_directory_has_none(
    door: MachineDoor, tmp_path: Path
) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(b"")
    assert door.names(str(tmp_path)) == ("a", "b")
    assert door.names(str(tmp_path / "none")) == ()


def test_each_kind_of_file_is_told(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "symlink").symlink_to("file")
    (tmp_path / "directory").mkdir()
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "socket"))
    bound.close()
    for kind in ("file", "fifo", "symlink", "directory", "socket"):
        found = door.look(str(tmp_path / kind))
        assert found is not None
        assert found.kind == kind
    device = door.look("/dev/null")
    assert device is not None
    assert device.kind == "device"
    assert door.look(str(tmp_path / "none")) is None


def test_a_rewritten_file_has_another_fingerprint(door: MachineDoor, tmp_path: Path) -> None:
    target = tmp_path / "f"
    target.write_bytes(b"123")
    before = door.look(str(target))
    times = target.stat()
    target.write_bytes(b"456")
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = door.look(str(target))
    assert before is not None
    assert after is not None
    assert before.fingerprint.size == 3
    assert before.fingerprint != after.fingerprint


def test_only_block_devices_have_numbers(door: MachineDoor, tmp_path: Path) -> None:
    assert door.device("/dev/null") == ""
    assert door.device(str(tmp_path)) == ""
    assert door.device("/no/such") == ""
    os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 3))
    (tmp_path / "alias").symlink_to("disk")
    assert door.device(str(tmp_path / "alias")) == "7:3"


def test_programs_are_found_on_the_fixed_path(
    door: MachineDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert door.which("sh") in {"/usr/bin/sh", "/bin/sh"}
    assert door.which("no-such-program-here") == ""


def test_a_wait_lasts_unless_somebody_asks_to_stop() -> None:
    stop = Stop()
    told: list[bool] = []
    stop.announce = told.append
    door = MachineDoor(Setting(stop=stop, tick=0.01))
    began = door.clock()
    door.sleep(0.05)
    assert 0.05 <= door.clock() - began < 5
    stop.press()
    began = door.clock()
    door.sleep(60)
    assert door.clock() - began < 5
    assert told == [False]


def test_the_host_has_a_name() -> None:
    assert host_name() == socket.gethostname()


def test_lines_are_kept_in_a_private_place(tmp_path: Path) -> None:
    folder = AppendFolder(str(tmp_path / "state" / "journal"))
    assert folder.names() == ()
    assert folder.read("none") == b""
    lines = folder.create("one")
    lines.append(b"first")
    lines.append(b"second")
    lines.close()
    assert folder.read("one") == b"first\nsecond\n"
    assert stat.S_IMODE((tmp_path / "state" / "journal").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(lines.path).stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        folder.create("one")
    folder.remove("one")
    folder.remove("one")
    assert folder.names() == ()


def test_after_a_torn_line_the_next_begins_anew(tmp_path: Path) -> None:
    lines = AppendFile(str(tmp_path / "j"))
    lines.append(b"first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="large"):
            lines.append(b"too long for what is left")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    lines.append(b"third")
    lines.close()
    first, torn, third = (tmp_path / "j").read_bytes().splitlines()
    assert (first, third) == (b"first", b"third")
    assert b"too long for what is left".startswith(torn)


def test_a_file_of_secrets_is_seen_from_outside(door: MachineDoor, tmp_path: Path) -> None:
    path, owner = tmp_path / "pw", os.getuid()
    assert door.secret(str(path)) == SecretFile(path=str(path))
    assert door.secret(f"{path}/below") == SecretFile(path=f"{path}/below")
    path.write_bytes(b"canary\n")
    path.chmod(0o640)
    seen = SecretFile(path=str(path), kind="file", owner=owner, mode=0o640)
    assert door.secret(str(path)) == seen
    link = tmp_path / "link"
    link.symlink_to("pw")
    assert door.secret(str(link)) == replace(seen, path=str(link))
    path.write_bytes(b" \n\n")
    assert door.secret(str(path)) == replace(seen, blank=True)


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_file_of_secrets_holds_nobody_up(
    door: MachineDoor, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "pw"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert door.secret(str(path)).kind == kind


def test_a_loop_of_links_is_no_file_that_can_be_read(door: MachineDoor, tmp_path: Path) -> None:
    (tmp_path / "pw").symlink_to("pw")
    assert "symbolic links" in door.secret(str(tmp_path / "pw")).error


def test_what_takes_devices_and_pipes_out_of_a_copy(tmp_path: Path) -> None:
    way = MachineDoor().way(str(tmp_path))
    wish = CopyOut(guest="web", paths=("/in",), directory=str(tmp_path), largest=Size(9), way=way)
    find = next(one for one in copies(wish, ("/in",), ()) if str(one).startswith("find "))
    work = tmp_path / WORK
    (work / "in").mkdir(parents=True)
    (work / "in/file").write_text("kept")
    os.mkfifo(work / "in/pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(work / "in/socket"))
    os.mknod(work / "in/device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    assert isinstance(find, Command)
    assert MachineDoor().run(find).ok
    assert [path.name for path in (work / "in").iterdir()] == ["file"]
