"""What the agent is asked to run in a guest, run here: with a /sys, and tools, of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.planning.disks.grow_script import GROW_SCRIPT

MIB = 2048
"""In sectors, as /sys has all sizes."""
SIZE = 1536 * MIB


class Inside:
    """A guest whose disk `vda` is larger by now; its partitions are where they were."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.disk = place / "sys/block/vda"
        (place / "run").mkdir()
        (place / "bin").mkdir()
        for name in ("cat", "sed", "tail", "readlink"):
            (place / "bin" / name).symlink_to(str(shutil.which(name)))
        self.file("sys/block/vda/serial", "web-data")
        self.file("sys/block/vda/size", str(SIZE))
        self.file("sys/class/block/vda/dev", "254:0")
        self.file("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        self.tool("blkid")

    def file(self, name: str, content: str) -> None:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def partition(self, number: int, start: int, size: int) -> None:
        for name, value in (("partition", number), ("start", start), ("size", size)):
            self.file(f"sys/block/vda/vda{number}/{name}", f"{value}\n")
        self.file(f"sys/class/block/vda{number}/dev", f"254:{number}\n")
        self.file(f"sys/class/block/vda{number}/size", f"{size}\n")

    def tool(self, name: str, does: str = "") -> None:
        path = self.place / "bin" / name
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)

    def grows(self) -> tuple[bool, str]:
        """Return whether the growth is told as done, and the last line of its log."""
        text = GROW_SCRIPT.replace("/usr/sbin:/usr/bin:/sbin:/bin", f"{self.place}/bin")
        for top in ("/sys/", "/run/", "/proc/"):
            text = text.replace(top, f"{self.place}{top}")
        argv = ("/bin/sh", "-c", text, "kvmkeep", "web-data", str(SIZE * 512), "now")
        at = self.place / "run/kvmkeep-grow.now"
        Path(f"{at}.grown").unlink(missing_ok=True)
        MachineDoor().run(Command(argv=argv, why="have it grow"))
        assert Path(f"{at}.ended").exists()
        return Path(f"{at}.grown").exists(), Path(f"{at}.log").read_text().splitlines()[-1]


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


def reaching(inside: Inside, number: int, start: int) -> str:
    """Return what growpart does that has a partition reach to the end of the disk."""
    size = SIZE - start - 33
    there = f"{inside.disk}/vda{number}/size {inside.place}/sys/class/block/vda{number}/size"
    return f"for at in {there}; do echo {size} >$at; done"


def test_the_last_partition_and_its_filesystem_grow(inside: Inside) -> None:
    inside.partition(1, 100 * MIB, 400 * MIB)
    inside.partition(15, MIB, 99 * MIB)
    inside.tool("growpart", reaching(inside, 1, 100 * MIB))
    inside.file("proc/self/mountinfo", "30 1 254:1 / /srv rw - ext4 /dev/vda1 rw\n")
    inside.tool("resize2fs")
    inside.tool("df", "echo head; echo /dev/vda1 1400000 1 1 1% /srv")
    assert inside.grows() == (True, "/srv has 1400000 KiB")
    inside.tool("df", "echo head; echo /dev/vda1 300000 1 1 1% /srv")
    assert inside.grows() == (False, "/srv has only 300000 KiB")


@pytest.mark.parametrize("tool", ["growpart", "sfdisk"])
def test_a_partition_that_stays_as_it_is_has_not_grown(inside: Inside, tool: str) -> None:
    inside.partition(2, 299 * MIB, 213 * MIB)
    inside.partition(5, 300 * MIB, 212 * MIB)
    for one in {tool, "partx"}:
        inside.tool(one)
    inside.tool("resize2fs", "echo Nothing to do!")
    inside.file("proc/self/mountinfo", "30 1 254:5 / /home rw - ext4 /dev/vda5 rw\n")
    inside.tool("df", "echo head; echo /dev/vda5 200000 1 1 1% /home")
    done, said = inside.grows()
    assert (done, said.partition(":")[0]) == (False, "vda5 still ends before the end of vda")


@pytest.mark.parametrize(
    ("told", "done", "said"),
    [
        ('/dev/vda1: UUID="x" TYPE="crypto_LUKS"', False, "does not grow by itself: crypto_LUKS"),
        ('/dev/vda1: UUID="x" TYPE="swap"', False, "does not grow by itself: swap"),
        ('/dev/vda1: UUID="x" TYPE="LVM2_member"', True, "is the guest's matter"),
        ('/dev/vda1: UUID="x" TYPE="ext4" PARTUUID="y"', True, "/dev/vda1 is larger"),
        ("", True, "nothing is on /dev/vda1 yet"),
    ],
)
def test_what_is_not_mounted(inside: Inside, told: str, said: str, *, done: bool) -> None:
    inside.partition(1, MIB, 511 * MIB)
    inside.tool("growpart", reaching(inside, 1, MIB))
    inside.tool("blkid", f"echo '{told}'")
    for name in ("resize2fs", "e2fsck", "pvresize"):
        inside.tool(name)
    grown, last = inside.grows()
    assert (grown, said in last) == (done, True), last


def test_a_disk_without_partitions_that_holds_nothing_yet(inside: Inside) -> None:
    assert inside.grows() == (True, "nothing is on /dev/vda yet")
