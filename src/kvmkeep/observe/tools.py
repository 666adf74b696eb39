"""Programs that steps run, and the packages that bring them."""

from __future__ import annotations

from kvmkeep.host.door import Door
from kvmkeep.model.command import NOT_FOUND, NOT_STARTED, Command
from kvmkeep.model.facts import Tool

# Program, Debian's package, EL's package.
_TABLE = (
    ("arping", "iputils-arping (in place of arping, another program)", "iputils"),
    ("bash", "bash", "bash"),
    ("borg", "borgbackup (1.2.5 or newer; for Debian 12 in bookworm-backports)", "borgbackup"),
    ("blkdiscard", "util-linux", "util-linux"),
    ("busctl", "systemd", "systemd"),
    ("curl", "curl", "curl"),
    ("fusermount3", "fuse3", "fuse3"),
    ("flock", "util-linux", "util-linux"),
    ("gpgv", "gpgv", "gnupg2"),
    ("grep", "grep", "grep"),
    ("guestfish", "guestfish", "libguestfs"),
    ("gzip", "gzip", "gzip"),
    ("ip", "iproute2", "iproute"),
    ("lvchange", "lvm2", "lvm2"),
    ("lvcreate", "lvm2", "lvm2"),
    ("lvconvert", "lvm2", "lvm2"),
    ("lvextend", "lvm2", "lvm2"),
    ("lvremove", "lvm2", "lvm2"),
    ("lvs", "lvm2", "lvm2"),
    ("mdadm", "mdadm", "mdadm"),
    ("mountpoint", "util-linux", "util-linux"),
    ("nc", "netcat-openbsd", "nmap-ncat"),
    ("nmcli", "network-manager", "NetworkManager"),
    ("openssl", "openssl", "openssl"),
    ("choom", "util-linux", "util-linux"),
    ("ionice", "util-linux", "util-linux"),
    ("ping", "iputils-ping", "iputils"),
    ("prlimit", "util-linux", "util-linux"),
    ("qemu-img", "qemu-utils", "qemu-img"),
    ("restic", "restic", "restic"),
    ("setpriv", "util-linux", "util-linux"),
    ("sha256sum", "coreutils", "coreutils"),
    ("sha512sum", "coreutils", "coreutils"),
    ("systemctl", "systemd", "systemd"),
    ("systemd-run", "systemd", "systemd"),
    ("virt-customize", "guestfs-tools", "guestfs-tools"),
    ("virt-rescue", "guestfs-tools", "libguestfs-rescue"),
    ("virsh", "libvirt-clients", "libvirt-client"),
    ("xorriso", "xorriso", "xorriso"),
    ("xz", "xz-utils", "xz"),
    ("zstd", "zstd", "zstd"),
)

_EL = frozenset({"rhel", "fedora", "centos", "rocky", "almalinux"})


def observe_tools(door: Door, os_release: str) -> tuple[Tool, ...]:
    """Return where each program is, with its package on this kind of system (os-release(5))."""
    like_el = not _EL.isdisjoint(_ids(os_release))
    return tuple(
        Tool(name=name, path=_path(door, name), package=el if like_el else debian)
        for name, debian, el in _TABLE
    )


def _path(door: Door, name: str) -> str:
    """Return where a program is; Debian's package arping has one that ends with 1 for any trouble.

    That of iputils ends so where an address is taken, and with 2 where it can't ask (arping(8)).
    """
    path = door.which(name)
    if name != "arping" or not path:
        return path
    result = door.run(Command(argv=("arping", "-V"), why="see whose arping it is", timeout=5.0))
    unknown = result.timed_out or result.code in {NOT_FOUND, NOT_STARTED}
    return path if unknown or b"iputils" in result.stdout + result.stderr else ""


def _ids(os_release: str) -> set[str]:
    found: set[str] = set()
    for line in os_release.splitlines():
        key, _, value = line.partition("=")
        if key in {"ID", "ID_LIKE"}:
            found.update(value.strip().strip("\"'").lower().split())
    return found
