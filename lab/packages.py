"""The Debian packages that the lab needs on the machine that runs it."""

from __future__ import annotations

import shutil
from typing import NamedTuple

from lab.errors import LabError
from lab.tools import tool_environment


class Need(NamedTuple):
    """A program, and the Debian package that brings it."""

    program: str
    package: str


NEEDS = (
    Need("qemu-system-x86_64", "qemu-system-x86"),
    Need("qemu-img", "qemu-utils"),
    Need("nbdkit", "nbdkit"),
    Need(
        "/usr/lib/x86_64-linux-gnu/nbdkit/plugins/nbdkit-python-plugin.so", "nbdkit-plugin-python"
    ),
    Need("/usr/lib/python3/dist-packages/nbd.py", "python3-libnbd"),
    Need("mmdebstrap", "mmdebstrap"),
    Need("mke2fs", "e2fsprogs"),
    Need("sfdisk", "fdisk"),
    Need("grub-mkimage", "grub-common"),
    Need("/usr/lib/grub/i386-pc/kernel.img", "grub-pc-bin"),
    Need("/usr/share/seabios/bios-256k.bin", "seabios"),
    Need("cpio", "cpio"),
    Need("zstd", "zstd"),
    Need("lz4", "lz4"),
    Need("ssh", "openssh-client"),
    Need("tar", "tar"),
)


def package_names() -> list[str]:
    """Return the names for apt-get install, sorted."""
    return sorted({need.package for need in NEEDS})


def requirements() -> list[str]:
    """Return the Debian packages that are missing on this machine."""
    path = tool_environment()["PATH"]
    return sorted(
        {need.package for need in NEEDS if shutil.which(need.program, path=path, mode=0) is None}
    )


def demand_packages() -> None:
    """Refuse to go on while a package is missing."""
    missing = requirements()
    if missing:
        message = f"{len(missing)} Debian package(s) are missing"
        raise LabError(message, "apt-get install " + " ".join(missing))
