"""The script that tells whether a guest uses a disk, run on a kernel's files in a directory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.planning.disks.free_script import FREE_SCRIPT

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = [name for name in ("dash", "bash", "busybox") if shutil.which(name)]


class Kernel:
    """What a kernel with two disks shows, below a directory; vdb has one partition."""

    def __init__(self, root: Path, shell: str) -> None:
        self.root = root
        self._shell = shell
        self.put("sys/block/vda/serial", "vm-web\n")
        self.put("sys/block/vdb/serial", "vm-web-data\n")
        for path, number in (("vda", "254:0"), ("vdb", "254:16"), ("vdb/vdb1", "254:17")):
            self.put(f"sys/block/{path}/dev", f"{number}\n")
            (root / f"sys/block/{path}/holders").mkdir()
        self.put("proc/1/mountinfo", "21 1 254:0 / / rw - ext4 /dev/vda rw\n")
        self.put("proc/swaps", "Filename Type Size Used Priority\n")
        (root / "proc/1/fd").mkdir()
        (root / "proc/1/fd/0").symlink_to("/dev/null")
        (root / "run").mkdir()
        self.blockdev(0)

    def put(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def blockdev(self, code: int) -> None:
        """Have the kernel say whether somebody has claimed the disk."""
        self.put("bin/blockdev", f"#!/bin/sh\nexit {code}\n").chmod(0o755)

    def asked(self, serial: str = "vm-web-data") -> str:
        """Return the last line that the script says; it must have left the file just if free."""
        script = FREE_SCRIPT.replace("sleep 30", "exit").replace("PATH=", f"PATH={self.root}/bin:")
        for name in ("sys", "proc", "run"):
            script = script.replace(f"/{name}/", f"{self.root}/{name}/")
        shell = (self._shell, "sh") if self._shell == "busybox" else (self._shell,)
        argv = (*shell, "-c", script, "kvmkeep", serial)
        assert MachineDoor().run(Command(argv=argv, why="run it")).ok
        said = (self.root / f"run/kvmkeep-free.{serial}.log").read_text().splitlines()[-1]
        free = (self.root / f"run/kvmkeep-free.{serial}").exists()
        assert free is said.startswith("nothing uses")
        return said


@pytest.fixture(params=SHELLS)
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Kernel:
    return Kernel(tmp_path, request.param)


def test_a_disk_that_nothing_uses_is_free(kernel: Kernel) -> None:
    assert kernel.asked() == "nothing uses vdb"


def test_what_uses_it_is_told(kernel: Kernel) -> None:
    mounts = (kernel.root / "proc/1/mountinfo").read_text()
    for number, source in (("254:16", "x"), ("254:17", "x"), ("0:40", "/dev/vdb")):
        kernel.put("proc/7/mountinfo", f"{mounts}9 1 {number} / /a rw - btrfs {source} rw\n")
        assert "is mounted" in kernel.asked()
    kernel.put("proc/7/mountinfo", mounts)
    kernel.put("proc/swaps", "Filename Type\n/dev/vdb1 partition 1 0 -2\n")
    assert kernel.asked() == "vdb1 is swap"
    kernel.put("proc/swaps", "Filename Type\n")
    kernel.put("sys/fs/btrfs/x/devices/vdb1", "")
    assert kernel.asked() == "vdb1 is part of a Btrfs"
    shutil.rmtree(kernel.root / "sys/fs")
    kernel.put("sys/block/vdb/vdb1/holders/dm-0", "")
    assert kernel.asked() == "vdb1 is part of dm-0"


def test_what_the_kernel_alone_knows_counts(kernel: Kernel) -> None:
    kernel.blockdev(1)
    assert kernel.asked() == "the kernel says that vdb is in use"


def test_what_can_not_be_seen_counts_as_use(kernel: Kernel) -> None:
    assert kernel.asked("another") == "no disk has the serial 'another'"
    (kernel.root / "proc/swaps").unlink()
    assert kernel.asked() == "it can't be seen what others use"
    kernel.put("sys/block/vda/serial", "vm-web-data\n")
    assert kernel.asked() == "both vda and vdb may be the disk"
