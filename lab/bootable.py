"""A bootable disk image without a loop device: MBR, GRUB, one ext4 partition; reproducible."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from lab.tools import run_tool

EPOCH = 1767225600  # 2026-01-01: nothing in an image is younger
SECTOR = 512
START = 2048
GRUB = Path("/usr/lib/grub/i386-pc")
GRUB_MODULES = "biosdisk part_msdos ext2 linux normal configfile"
NAMESPACE = uuid.UUID("6b766d6b-6565-7000-8000-6c6162000000")
FIELDS = ("atime", "ctime", "crtime", "mtime")
ENVIRONMENT = {"SOURCE_DATE_EPOCH": str(EPOCH), "E2FSPROGS_FAKE_TIME": str(EPOCH)}


def clamp_times(root: Path) -> None:
    """Make no file younger than the epoch."""
    for directory, names, files in os.walk(root):
        for name in (*names, *files, "."):
            path = os.path.normpath(os.path.join(directory, name))  # noqa: PTH118  (200,000 paths)
            changed = os.lstat(path).st_mtime
            os.utime(path, (EPOCH, min(EPOCH, int(changed))), follow_symlinks=False)


def write_ext4(
    root: Path, image: Path, label: str, size: int, log: Path, *, start: int = 0
) -> None:
    """Write a tree as an ext4 filesystem into an image, with fixed identifiers and times."""
    clamp_times(root)
    with image.open("ab") as handle:
        handle.truncate(size)
    fixed = str(uuid.uuid5(NAMESPACE, label))
    options = f"hash_seed={fixed},offset={start},lazy_itable_init=0,nodiscard"
    features = "^orphan_file,^metadata_csum_seed"
    argv = [
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-L",
        label,
        "-U",
        fixed,
        "-m",
        "1",
        "-b",
        "4096",
        "-I",
        "256",
        "-O",
        features,
    ]
    argv += ["-E", options, "-d", str(root), str(image), f"{(size - start) // 1024}k"]
    run_tool(argv, log, limit=600, environment=ENVIRONMENT)
    fix_inode_times(image, start, log)


def fix_inode_times(image: Path, start: int, log: Path) -> None:
    """Set what mke2fs takes from the clock: the times at which the files came into being."""
    device = f"{image}?offset={start}" if start else str(image)
    listing = image.with_suffix(".inodes")
    with listing.open("wb") as handle:
        run_tool(["dumpe2fs", "-h", device], log, limit=60, stdout=handle)
    text = listing.read_text()
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    used = int(values["Inode count"]) - int(values["Free inodes"])
    lines = [
        f"set_inode_field <{number}> {field} @{EPOCH}"
        for number in range(1, used + 2)
        for field in FIELDS[:3]
    ]
    lines += [f"set_super_value {field} @{EPOCH}" for field in ("mkfs_time", "wtime", "lastcheck")]
    listing.write_text("\n".join(lines) + "\n")
    with Path(os.devnull).open("wb") as nowhere:
        run_tool(
            ["debugfs", "-w", "-f", str(listing), device],
            log,
            limit=300,
            stdout=nowhere,
            environment=ENVIRONMENT,
        )
    listing.unlink()


def make_disk(root: Path, image: Path, label: str, size: int, log: Path) -> None:
    """Write a bootable disk image from a tree that has /boot/grub/grub.cfg."""
    write_ext4(root, image, label, size, log, start=START * SECTOR)
    table = image.with_suffix(".sfdisk")
    identity = uuid.uuid5(NAMESPACE, f"{label} disk").hex[:8]
    table.write_text(f"label: dos\nlabel-id: 0x{identity}\n{START},,L,*\n")
    script = f"sfdisk --quiet --no-reread --no-tell-kernel '{image}' < '{table}'"
    run_tool(["sh", "-c", script], log, limit=60)
    table.unlink()
    core = image.with_suffix(".grub")
    argv = [
        "grub-mkimage",
        "-O",
        "i386-pc",
        "-p",
        "(hd0,msdos1)/boot/grub",
        "-o",
        str(core),
        *GRUB_MODULES.split(),
    ]
    run_tool(argv, log, limit=60)
    # The boot code looks for the core image in the sector after it; both are made for that.
    with image.open("r+b") as handle:
        handle.write((GRUB / "boot.img").read_bytes()[:440])
        handle.seek(SECTOR)
        handle.write(core.read_bytes())
    core.unlink()
