"""All guest images: built, listed with their hashes, and on one disk for the lab."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab import bootable, cache
from lab.cloud_image import cloud_images
from lab.host_image import HERE
from lab.tiny_image import tiny_image
from lab.tools import Guard, kill_group, run_tool, step

if TYPE_CHECKING:
    from collections.abc import Iterator

DISK = "images.ext4"
DISK_SIZE = 8 * 2**30
SPACE = 4 * 2**30
LIMIT = 1200
SUMS = "SHA256SUMS"
NAMES = ("cloud.qcow2", "cloud.raw", "cloud.raw.zst", "openstack-only.raw")


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def build_images(place: Path, files: list[Path]) -> None:
    """Put the images, their hashes and a read-only disk with both into one directory."""
    log = cache.log_path("images")
    tree = place / "images"
    tree.mkdir()
    with step("hashing the guest images and writing their disk for the lab"):
        for file in files:
            # The same file under a second name: no second copy, and it outlives its first name.
            os.link(file, tree / file.name)
        sums = "".join(f"{sha256_of(file)}  {file.name}\n" for file in sorted(tree.iterdir()))
        (tree / SUMS).write_text(sums)
        disk = place / DISK
        with disk.open("wb") as handle:
            handle.truncate(DISK_SIZE)
        argv = [
            "mke2fs",
            "-q",
            "-F",
            "-t",
            "ext4",
            "-L",
            "lab-images",
            "-m",
            "0",
            "-O",
            "^has_journal",
        ]
        run_tool(
            [*argv, "-d", str(tree), str(disk)], log, limit=600, environment=bootable.ENVIRONMENT
        )


def guest_images() -> Path:
    """Return the directory of the entry: images/ with the files, and the disk."""
    cloud, tiny = cloud_images(), tiny_image()
    files = [*(cloud / name for name in NAMES), tiny]
    parts = {"cloud": cloud.name.encode(), "tiny": tiny.parent.name.encode()}
    parts |= cache.tree_parts(HERE / "guest_images.py")
    return cache.entry(
        "images", cache.key_of(parts), lambda place: build_images(place, files), needs=SPACE
    )


@contextlib.contextmanager
def built_meanwhile() -> Iterator[None]:
    """Build what is missing of the images beside something else, and wait for it in the end.

    It is a process of its own, which a stop can end at any moment. How it ends says nothing:
    `guest_images` finds what it has built, or builds it and tells what is wrong.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "lab", "images"],
        cwd=HERE.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    guard = Guard(process.pid)
    try:
        yield
        process.wait(timeout=LIMIT)
    finally:
        if process.poll() is None:
            # It removes what it has half built, as after Ctrl-C.
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            kill_group(process)
        guard.release()
