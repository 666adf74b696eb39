"""The lab's cache: an entry is complete and checked, or it is built again."""

from __future__ import annotations

import errno
import os
import subprocess  # noqa: TID251 - a second process
import sys
from pathlib import Path

import pytest

from lab import cache
from lab.errors import LabError

MIB = 2**20
PYTHON = [sys.executable, "-c"]
TREE = Path(__file__).parents[3]


class Builder:
    """Builds an entry with a small file and an image; counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, place: Path) -> None:
        self.calls += 1
        (place / "key").write_text("secret")
        (place / "deep").mkdir()
        (place / "deep" / "disk.img").write_bytes(os.urandom(6 * MIB))


def entry(build: Builder, key: str = "0123") -> Path:
    return cache.entry("host", key, build, needs=1)


def test_a_whole_entry_is_built_once() -> None:
    build = Builder()
    first = entry(build)
    assert entry(build) == first
    assert build.calls == 1
    assert (first / "key").read_text() == "secret"


def truncate(place: Path) -> None:
    with (place / "deep" / "disk.img").open("r+b") as handle:
        handle.truncate(5 * MIB)


def turn_into_a_hole(place: Path) -> None:
    # As a file that was never written back before the machine lost its power: right size, no data.
    image = place / "deep" / "disk.img"
    whole = image.read_bytes()
    image.unlink()
    with image.open("wb") as handle:
        handle.write(whole[: 64 * 1024])
        handle.seek(len(whole) - 64 * 1024)
        handle.write(whole[-64 * 1024 :])


def flip_the_last_bit(place: Path) -> None:
    with (place / "deep" / "disk.img").open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        last = handle.read(1)[0]
        handle.seek(-1, os.SEEK_END)
        handle.write(bytes([last ^ 1]))


def change_a_small_file(place: Path) -> None:
    (place / "key").write_text("sEcret")


def lose_a_file(place: Path) -> None:
    (place / "deep" / "disk.img").unlink()


def lose_the_manifest(place: Path) -> None:
    (place / "manifest.json").unlink()


def spoil_the_manifest(place: Path) -> None:
    (place / "manifest.json").write_text('{"key": ')


def empty_the_manifest_of_sense(place: Path) -> None:
    (place / "manifest.json").write_text('{"key": 7}')


@pytest.mark.parametrize(
    "harm",
    [
        truncate,
        turn_into_a_hole,
        flip_the_last_bit,
        change_a_small_file,
        lose_a_file,
        lose_the_manifest,
        spoil_the_manifest,
        empty_the_manifest_of_sense,
    ],
)
def test_a_broken_entry_is_noticed_and_built_again(
    harm: object, capsys: pytest.CaptureFixture[str]
) -> None:
    build = Builder()
    place = entry(build)
    assert callable(harm)
    harm(place)
    again = entry(build)
    assert build.calls == 2
    assert (again / "key").read_text() == "secret"
    assert (again / "deep" / "disk.img").stat().st_size == 6 * MIB
    assert "the cached host is broken" in capsys.readouterr().err


def test_a_builder_that_fails_leaves_nothing_and_the_next_one_succeeds(cache_root: Path) -> None:
    def fails(place: Path) -> None:
        (place / "half").write_text("half")
        message = "no network"
        raise LabError(message)

    with pytest.raises(LabError, match="no network"):
        cache.entry("host", "0123", fails, needs=1)
    assert sorted(path.name for path in cache_root.iterdir()) == ["locks"]
    build = Builder()
    assert (entry(build) / "key").exists()


def test_a_full_disk_in_the_middle_is_told_as_such(cache_root: Path) -> None:
    def fills(place: Path) -> None:
        (place / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(LabError, match="No space left on device") as caught:
        cache.entry("host", "0123", fills, needs=1)
    assert "free some space" in caught.value.hint
    assert "KVMKEEP_LAB_CACHE" in caught.value.hint
    assert sorted(path.name for path in cache_root.iterdir()) == ["locks"]


def test_a_builder_killed_in_the_middle_blocks_nobody(cache_root: Path) -> None:
    killed = (
        "import os, signal; from lab import cache\n"
        "def build(place):\n"
        "    (place / 'half').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "cache.entry('host', '0123', build, needs=1)\n"
    )
    done = subprocess.run([*PYTHON, killed], check=False, cwd=TREE, timeout=60)
    assert done.returncode == -9
    assert len(list(cache_root.glob(".building-host-*"))) == 1
    build = Builder()
    place = entry(build)
    assert build.calls == 1
    assert sorted(path.name for path in cache_root.iterdir()) == [place.name, "locks"]


def test_too_little_space_is_refused_before_anything_is_built(cache_root: Path) -> None:
    build = Builder()
    with pytest.raises(LabError) as caught:
        cache.entry("host", "0123", build, needs=2**60)
    assert build.calls == 0
    assert "building the host needs 1073741824.0 GiB" in caught.value.message
    assert str(cache_root) in caught.value.message
    assert "KVMKEEP_LAB_CACHE" in caught.value.hint


def test_an_old_entry_goes_when_nobody_uses_it_and_stays_while_a_lab_does(cache_root: Path) -> None:
    build = Builder()
    old, used = entry(build, "0001"), cache_root / "host-0002"
    running = cache_root / "running" / "lab-1"
    running.mkdir(parents=True)
    (running / "base").symlink_to(used)
    used.mkdir()
    (used / "disk").write_text("in use")
    new = entry(build, "0003")
    assert not old.exists()
    assert new.exists()
    assert (used / "disk").exists()


def test_an_old_entry_stays_while_a_process_has_its_file_open() -> None:
    build = Builder()
    old = entry(build, "0001")
    with (old / "key").open():
        entry(build, "0002")
        assert old.exists()
    entry(build, "0003")
    assert not old.exists()


def test_two_builders_of_one_kind_go_one_after_the_other(cache_root: Path) -> None:
    program = (
        "import sys; from lab import cache\n"
        "def build(place):\n"
        "    print('building', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    (place / 'done').touch()\n"
        "cache.entry('host', '0123', build, needs=1)\n"
    )
    first = subprocess.Popen(
        [*PYTHON, program], cwd=TREE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout
    assert first.stdout.readline() == b"building\n"
    second = subprocess.Popen(
        [*PYTHON, program],
        cwd=TREE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert second.stderr
    assert f"waiting for process {first.pid}" in second.stderr.readline().decode()
    first.communicate(b"go on\n", timeout=60)
    output, _ = second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert output == b"", "the second one builds nothing"
    assert (cache_root / "host-0123" / "done").exists()


def test_the_key_depends_on_names_contents_and_modes_and_nothing_else(tmp_path: Path) -> None:
    tree = tmp_path / "files"
    (tree / "sub").mkdir(parents=True)
    script = tree / "sub" / "script"
    script.write_text("echo one")

    def key() -> str:
        return cache.key_of(cache.tree_parts(tree))

    first = key()
    os.utime(script, (1, 1))
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "x.pyc").write_text("compiled")
    assert key() == first
    script.chmod(0o755)
    executable = key()
    script.write_text("echo two")
    changed = key()
    script.rename(tree / "script")
    assert len({first, executable, changed, key()}) == 4


def test_the_key_does_not_run_names_and_contents_together() -> None:
    assert cache.key_of({"a": b"bc", "d": b""}) != cache.key_of({"a": b"", "bcd": b""})
    assert cache.key_of({"a": b"1", "b": b"2"}) == cache.key_of({"b": b"2", "a": b"1"})


def test_a_cache_that_cannot_be_made_is_told_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KVMKEEP_LAB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(LabError, match="Not a directory") as caught:
        cache.cache_root()
    assert "KVMKEEP_LAB_CACHE" in caught.value.hint
