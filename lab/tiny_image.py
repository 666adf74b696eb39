"""The tiny guest: a kernel, busybox, the guest agent and an SSH server; boots in seconds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lab import bootable, cache
from lab.errors import LabError
from lab.host_image import FILES, HERE, demand_root, extract_packages
from lab.tools import run_tool, step

PACKAGES = [
    "busybox-static", "qemu-guest-agent", "dropbear-bin", "jq", "linux-image-cloud-amd64",
    "e2fsprogs", "fdisk", "util-linux",
]  # fmt: skip
PROGRAMS = (
    "usr/sbin/qemu-ga", "usr/sbin/dropbear", "usr/bin/dropbearkey", "usr/bin/jq",
    "sbin/mke2fs", "sbin/resize2fs", "sbin/e2fsck", "sbin/blkid", "sbin/sfdisk", "usr/bin/partx",
)  # fmt: skip
NAME_SERVICE = ("libnss_files.so.2", "libnss_dns.so.2")
EARLY = ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")
LATE = (
    "virtio_net", "virtio_console", "virtio_balloon", "cdrom", "sr_mod", "isofs", "evdev", "button",
    "virtio-rng",
)  # fmt: skip
SIZE = 80 * 2**20
SPACE = 2**30


def module_order(modules: Path, wanted: tuple[str, ...]) -> list[Path]:
    """Return the files of kernel modules, each after those it needs."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    by_name = {Path(name).stem.replace("-", "_"): name for name in needs}
    order: list[str] = []
    for word in wanted:
        found = by_name.get(word.replace("-", "_"))
        if found is not None:
            order += [file for file in [*reversed(needs[found]), found] if file not in order]
    return [modules / name for name in order]


def libraries(source: Path, programs: list[str]) -> list[str]:
    """Return the shared libraries that programs need, as paths in the tree."""
    found: set[str] = set()
    for program in programs:
        done = subprocess.run(
            ["chroot", str(source), "/lib64/ld-linux-x86-64.so.2", "--list", f"/{program}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if done.returncode:
            message = f"can't list the libraries of {program}: {done.stderr.strip()}"
            raise LabError(message)
        found |= {word for word in done.stdout.split() if word.startswith("/")}
    return sorted(found)


def put_modules(source: Path, target: Path, wanted: tuple[str, ...], listing: Path) -> None:
    """Copy kernel modules into one directory, with a list in the order of loading."""
    modules = next((source / "lib/modules").glob("*"))
    target.mkdir(parents=True, exist_ok=True)
    files = module_order(modules, wanted)
    for file in files:
        shutil.copy(file, target / file.name)
    listing.write_text("".join(f"{file.name}\n" for file in files))


def fill_root(source: Path, root: Path) -> None:
    """Make the tree of the tiny guest."""
    shutil.copytree(
        FILES / "tiny", root, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "init")
    )
    for name in (
        "bin",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "root",
        "home",
        "var/log",
        "var/run",
        "var/lib",
        "lib64",
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "boot/grub").mkdir(parents=True)
    for name in PROGRAMS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, root / name)
    shutil.copy(source / "bin/busybox", root / "bin/busybox")
    services = [
        str(next(source.glob(f"**/x86_64-linux-gnu/{name}")).relative_to(source))
        for name in NAME_SERVICE
    ]
    for name in [*libraries(source, list(PROGRAMS)), *services]:
        place = root / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name.lstrip("/"), place)
    listed = subprocess.run(
        [root / "bin/busybox", "--list-full"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    for name in listed.stdout.split():
        link = root / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists() and not link.is_symlink():
            link.symlink_to("/bin/busybox")
    (root / "etc/mtab").symlink_to("/proc/mounts")
    for path, mode in (("etc/shadow", 0o600), ("root", 0o700), ("tmp", 0o1777)):
        (root / path).chmod(mode)
    put_modules(source, root / "lib/tiny", LATE, root / "lib/tiny/late")


def make_initrd(source: Path, work: Path, target: Path, log: Path) -> None:
    """Make the initial RAM disk: busybox, a few modules, one script."""
    tree = work / "initrd"
    (tree / "bin").mkdir(parents=True)
    shutil.copy(source / "bin/busybox", tree / "bin/busybox")
    shutil.copy(FILES / "tiny/init", tree / "init")
    put_modules(source, tree / "modules", EARLY, tree / "modules/early")
    (tree / "dev").mkdir()
    bootable.clamp_times(tree)
    script = "find . | LC_ALL=C sort | cpio --quiet -o -H newc --reproducible --owner=0:0 | zstd -q -10 -f -o"
    run_tool(["sh", "-c", f"{script} '{target}'"], log, limit=60, cwd=tree)


def build_tiny(place: Path) -> None:
    """Build tiny.raw."""
    demand_root()
    log = cache.log_path("tiny")
    source, root = place / "source", place / "root"
    with step(f"building the image tiny (about 15 s; log: {log})"):
        extract_packages(source, PACKAGES, log)
        version = next((source / "lib/modules").glob("*")).name
        run_tool(["chroot", str(source), "/sbin/depmod", version], log, limit=120)
        fill_root(source, root)
        shutil.copy(next((source / "boot").glob("vmlinuz-*")), root / "boot/vmlinuz")
        make_initrd(source, place, root / "boot/initrd", log)
        command = "linux /boot/vmlinuz console=ttyS0,115200 loglevel=4 mitigations=off tsc=reliable"
        (root / "boot/grub/grub.cfg").write_text(
            f"set timeout=0\n{command}\ninitrd /boot/initrd\nboot\n"
        )
        for path in root.rglob("*"):
            if not path.is_symlink() and path.owner() != "root":
                shutil.chown(path, 0, 0)
        bootable.make_disk(root, place / "tiny.raw", "tiny-root", SIZE, log)
        for tree in (source, root, place / "initrd"):
            shutil.rmtree(tree)


def tiny_image() -> Path:
    """Return the path of tiny.raw."""
    sources = cache.tree_parts(FILES / "tiny", HERE / "tiny_image.py", HERE / "bootable.py")
    return cache.entry("tiny", cache.key_of(sources), build_tiny, needs=SPACE) / "tiny.raw"
