"""The cloud images: Debian with real cloud-init, and the same for OpenStack only."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from lab import bootable, cache
from lab.host_image import FILES, HERE, debootstrap, demand_root
from lab.tools import run_tool, step

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = "systemd-sysv udev dbus linux-image-cloud-amd64 initramfs-tools kmod procps less zstd"
CLOUD = "cloud-init cloud-guest-utils fdisk e2fsprogs qemu-guest-agent openssh-server sudo"
NETWORK = "ifupdown isc-dhcp-client iproute2 iputils-ping netbase ca-certificates"
PACKAGES = f"{SYSTEM} {CLOUD} {NETWORK}".split()
SIZE = 2 * 2**30
SPACE = 5 * 2**30
OPENSTACK_ONLY = (
    "# Made for OpenStack: no other source of settings is asked.\ndatasource_list: [OpenStack]\n"
)


def build_cloud(place: Path) -> None:
    """Build cloud.raw, cloud.qcow2, cloud.raw.zst and openstack-only.raw."""
    demand_root()
    log = cache.log_path("cloud")
    root = place / "root"
    hook = f'sh {FILES}/cloud/setup.sh "$1" {FILES}/cloud'
    with step(f"building the image cloud: Debian with cloud-init (about 60 s; log: {log})"):
        debootstrap(root, PACKAGES, hook, log, environment=bootable.ENVIRONMENT)
        for name in ("dev", "proc", "sys", "run"):
            shutil.rmtree(root / name)
            (root / name).mkdir()
        raw = place / "cloud.raw"
        bootable.make_disk(root, raw, "cloud-root", SIZE, log)
    with step("writing cloud.qcow2, cloud.raw.zst and openstack-only.raw"):
        convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-m", "1"]
        run_tool([*convert, str(raw), str(place / "cloud.qcow2")], log, limit=300)
        run_tool(["zstd", "-q", "-3", "-T2", str(raw), "-o", f"{raw}.zst"], log, limit=300)
        (root / "etc/cloud/cloud.cfg.d/91_openstack_only.cfg").write_text(OPENSTACK_ONLY)
        bootable.make_disk(root, place / "openstack-only.raw", "cloud-root", SIZE, log)
        shutil.rmtree(root)


def cloud_images() -> Path:
    """Return the directory with the cloud images."""
    sources = cache.tree_parts(FILES / "cloud", HERE / "cloud_image.py", HERE / "bootable.py")
    return cache.entry("cloud", cache.key_of(sources), build_cloud, needs=SPACE)
