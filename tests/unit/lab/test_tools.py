"""The lab's door to other programs."""

from __future__ import annotations

import os
import signal
import subprocess  # noqa: TID251 - a second process
import sys
import time
from pathlib import Path

import pytest

from lab import bootable, ssh, tools
from lab.errors import LabError

BASH = "/bin/bash"
TREE = Path(__file__).parents[3]


def test_a_missing_program_is_told(tmp_path: Path) -> None:
    for call in (
        lambda: tools.run_tool(["no-such-program"], tmp_path / "log", limit=5),
        lambda: tools.output_of(["no-such-program"]),
    ):
        with pytest.raises(LabError, match="the program no-such-program is missing") as caught:
            call()
        assert "lab packages" in caught.value.hint


def test_a_failure_shows_the_last_lines_and_the_command(tmp_path: Path) -> None:
    script = "echo first; echo what went wrong >&2; exit 3"
    with pytest.raises(LabError) as caught:
        tools.run_tool(["sh", "-c", script], tmp_path / "log", limit=60)
    assert "failed with exit code 3" in caught.value.message
    assert "what went wrong" in caught.value.message
    assert "sh -c" in caught.value.hint


def test_a_full_disk_in_a_tool_is_told_as_such(tmp_path: Path) -> None:
    script = "echo 'cp: error writing: No space left on device' >&2; exit 1"
    with pytest.raises(LabError) as caught:
        tools.run_tool(["sh", "-c", script], tmp_path / "log", limit=60)
    assert "KVMKEEP_LAB_CACHE" in caught.value.hint


def gone(number: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{number}/status").read_text()
    except FileNotFoundError:
        return True


def wait_until_gone(number: int) -> None:
    end = time.monotonic() + 30
    while not gone(number):
        assert time.monotonic() < end, f"process {number} is still there"
        time.sleep(0.02)


def test_a_tool_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(LabError, match="did not end within 1 s"):
        tools.run_tool(["sh", "-c", script], tmp_path / "log", limit=1)
    wait_until_gone(int((tmp_path / "child").read_text()))


def test_a_tool_does_not_outlive_us_even_when_we_are_killed(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"sleep 600 & echo $! > {child}.new; mv {child}.new {child}; wait"
    program = (
        "import pathlib; from lab import tools\n"
        f"tools.run_tool(['sh', '-c', {script!r}], pathlib.Path({str(tmp_path / 'log')!r}), limit=600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=TREE) as process:
        while not child.exists():
            assert process.poll() is None
            time.sleep(0.02)
        # The guard is made right after the tool; let it be there.
        while len(children_of(process.pid)) < 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    wait_until_gone(int(child.read_text()))


def children_of(number: int) -> list[str]:
    return Path(f"/proc/{number}/task/{number}/children").read_text().split()


@pytest.mark.parametrize(
    ("script", "code", "output", "errors"),
    [
        ("printf 'a\\0b'; echo x >&2; exit 255", 255, b"a\0b", b"x\n"),
        ("exit 137", 137, b"", b""),
        ("kill -KILL $$", 137, b"", b""),
        ("kill -SEGV $$", 139, b"", b""),
        ("cat; exit 4", 4, b"\xff\xfe in", b""),
        ("ls /proc/self/fd | wc -l", 0, b"4\n", b""),
    ],
)
def test_what_the_labs_shell_is_told_passes_everything_on(
    script: str, code: int, output: bytes, errors: bytes
) -> None:
    line = ssh.remote_line(["sh", "-c", script])
    done = subprocess.run(
        [BASH, "-c", line], input=b"\xff\xfe in", capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, output, errors)


def test_words_arrive_as_they_are() -> None:
    words = ["", "a b", "$HOME", "'", '"', "*", "\n", "; reboot", "ä", "-n"]
    line = ssh.remote_line(["printf", "%s\\0", *words])
    done = subprocess.run([BASH, "-c", line], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().split("\0")[:-1] == words


def test_a_command_that_is_missing_in_the_lab_is_told_with_127() -> None:
    line = ssh.remote_line(["no-such-program"])
    done = subprocess.run([BASH, "-c", line], capture_output=True, check=False, timeout=60)
    assert done.returncode == 127
    assert b"command not found" in done.stderr


def test_a_disk_made_twice_from_the_same_tree_is_the_same(tmp_path: Path) -> None:
    images = []
    for turn in ("one", "two"):
        root = tmp_path / turn / "root"
        (root / "boot" / "grub").mkdir(parents=True)
        (root / "boot" / "grub" / "grub.cfg").write_text("set timeout=0\n")
        (root / "link").symlink_to("boot")
        if turn == "two":
            os.utime(root / "boot" / "grub" / "grub.cfg", (2**31, 2**31))
        image = tmp_path / turn / "disk.raw"
        bootable.make_disk(root, image, "test-root", 16 * 2**20, tmp_path / "log")
        images.append(image.read_bytes())
        assert sorted(path.name for path in image.parent.iterdir()) == ["disk.raw", "root"]
        time.sleep(1.1 if turn == "one" else 0)
    assert images[0] == images[1]
    assert images[0][510:512] == b"\x55\xaa"
    assert images[0][0x1B8:0x1BC] != bytes(4)
    superblock = 2048 * 512 + 1024
    assert images[0][superblock + 0x38 : superblock + 0x3A] == b"\x53\xef"
