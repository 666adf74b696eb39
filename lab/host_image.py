"""The image of the lab's host: Debian with the packages of a KVM server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cache
from lab.errors import LabError
from lab.kernel import unpack_kernel
from lab.tools import run_tool, say, step

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
FILES = HERE / "files"
SUITE = "bookworm"
ROOT_SIZE = "24G"
SPACE = 6 * 2**30
BASE = "systemd-sysv udev dbus linux-image-cloud-amd64 initramfs-tools kmod procps less bash-completion"
VIRTUALIZATION = (
    "libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils guestfish guestfs-tools"
)
STORAGE = "lvm2 mdadm e2fsprogs xfsprogs fdisk gdisk zstd xz-utils xorriso"
NETWORK = "network-manager iproute2 iputils-ping iputils-arping dnsmasq-base curl ncat socat openssh-server"
BACKUP = "restic fuse3"
OTHER = "ca-certificates python3 python3-libvirt python3-guestfs gnupg gpgv jq"
PACKAGES = f"{BASE} {VIRTUALIZATION} {STORAGE} {NETWORK} {BACKUP} {OTHER}".split()
WITHOUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


def demand_root() -> None:
    """Refuse to build a root filesystem without root."""
    if os.geteuid() != 0:
        message = "building the lab's images needs root"
        raise LabError(
            message, "run it with sudo; KVMKEEP_LAB_CACHE says where the images are kept"
        )


def host_key() -> str:
    """Return the key of the host image: what it is built from."""
    parts = cache.tree_parts(
        FILES / "host", FILES / "host-setup.sh", HERE / "host_image.py", HERE / "kernel.py"
    )
    return cache.key_of(parts | {"mirror": os.environ.get("KVMKEEP_LAB_MIRROR", "").encode()})


def debootstrap(
    target: Path,
    packages: list[str],
    hook: str,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Make a Debian root filesystem in a directory."""
    argv = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        "--dpkgopt=force-unsafe-io",
    ]
    argv += ["--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Retries 3"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in WITHOUT]
    argv += [f"--include={','.join(packages)}", f"--customize-hook={hook}", SUITE, str(target)]
    run_mmdebstrap(argv, target, log, environment or {})


def extract_packages(target: Path, packages: list[str], log: Path) -> None:
    """Unpack Debian packages and what they need into a directory, without installing them."""
    argv = ["mmdebstrap", "--mode=root", "--variant=extract", "--format=directory"]
    argv += [
        "--aptopt=APT::Install-Recommends false",
        f"--include={','.join(packages)}",
        SUITE,
        str(target),
    ]
    run_mmdebstrap(argv, target, log, {})


def run_mmdebstrap(
    argv: list[str], target: Path, log: Path, environment: Mapping[str, str]
) -> None:
    """Run mmdebstrap, from another mirror if one is named."""
    mirror = os.environ.get("KVMKEEP_LAB_MIRROR")
    argv = [*argv, mirror] if mirror else argv
    run_tool(argv, log, limit=1800, environment={"TMPDIR": str(target.parent), **environment})


def make_keys(place: Path, log: Path) -> None:
    """Make the key to log in with and the key of the host."""
    for name in ("login", "host"):
        argv = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            f"kvmkeep-lab-{name}",
            "-f",
            str(place / name),
        ]
        run_tool(argv, log, limit=60)


def build_host(place: Path) -> None:
    """Build the root disk, and put the kernel and the keys beside it."""
    demand_root()
    log = cache.log_path("host")
    root = place / "root"
    make_keys(place, log)
    hook = f'sh {FILES}/host-setup.sh "$1" {FILES}/host {place}'
    with step(
        f"installing Debian {SUITE} with {len(PACKAGES)} packages for the lab's host (about 90 s; log: {log})"
    ):
        debootstrap(root, PACKAGES, hook, log)
    with step("writing the host's root disk"):
        for name in ("vmlinuz", "initrd.img"):
            shutil.copyfile(next((root / "boot").glob(f"{name}-*")), place / name)
        unpack_kernel(root / "usr/local/lib/guestfs/kernel", log)
        disk = place / "root.img"
        argv = [
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-L",
            "lab-root",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1",
        ]
        run_tool([*argv, "-m", "0", "-d", str(root), str(disk), ROOT_SIZE], log, limit=600)
        shutil.rmtree(root)


def host_image() -> Path:
    """Return the directory with root.img, vmlinuz, initrd.img, login (the key) and host.pub."""
    return cache.entry("host", host_key(), build_host, needs=SPACE)


if __name__ == "__main__":
    say(str(host_image()))
