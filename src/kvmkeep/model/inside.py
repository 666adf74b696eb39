"""What lies in a disk: what guestfish is asked beyond the look at first boot, and the answer.

The disk may say anything: numbers are bounded, and only printable text gets out of here.
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from kvmkeep.model.disk_look import (
    MOST,
    Partition,
    boots_by_bios,
    boots_by_uefi,
    disk_of,
    disk_script,
    first_of,
    partitions_of,
    table_of,
)
from kvmkeep.model.image_facts import Contents
from kvmkeep.model.look import (
    Filesystem,
    Questions,
    contents_of,
    look_script,
    parse_filesystems,
    root_of,
)
from kvmkeep.model.spec import Format
from kvmkeep.model.text import masked

FILES: Questions = (
    ("passwd", "-head-n 2000 {root}/etc/passwd | head -c 200000"),
    # Names only: no hash leaves the guest.
    ("unlocked", "-head-n 2000 {root}/etc/shadow | grep '^[^:]*:[$]' | cut -d: -f1 | head -n 200"),
    ("hostname", "-pread {root}/etc/hostname 256 0"),
    ("selinux", "-grep ^SELINUX= {root}/etc/selinux/config | head -c 256"),
)
PATHS: Questions = (
    ("load-policy", "/usr/sbin/load_policy"),
    ("netplan", "/usr/sbin/netplan"),
    ("NetworkManager", "/usr/sbin/NetworkManager"),
    ("networkd", "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"),
    ("networkd", "/etc/systemd/system/dbus-org.freedesktop.network1.service"),
    ("ifcfg", "/etc/sysconfig/network-scripts/ifup-eth"),
    ("ifupdown", "/etc/network/interfaces"),
    ("grubby", "/usr/sbin/grubby"),
)


class Renderer(StrEnum):
    """What sets a guest's network up; if it has several, the first of these counts."""

    NETPLAN = "netplan"
    NETWORK_MANAGER = "NetworkManager"
    NETWORKD = "networkd"
    IFCFG = "ifcfg"
    IFUPDOWN = "ifupdown"


class User(Struct, frozen=True, kw_only=True):
    """An account; `password` when one may log in with a password."""

    name: str
    uid: int
    shell: str
    password: bool


class Inside(Struct, frozen=True, kw_only=True):
    """What is in a disk. `asked` names the question that this answers.

    `filesystems` are device and type; in `table` is `gpt`, `msdos` or nothing. `bios` and `uefi`
    tell whether such a firmware finds something to boot; `selinux` is the configured mode, empty
    without SELinux. `network` is what sets the network up, as far as it is known.
    """

    asked: str
    contents: Contents
    hostname: str
    users: tuple[User, ...]
    table: str
    partitions: tuple[Partition, ...]
    filesystems: tuple[tuple[str, str], ...]
    bios: bool
    uefi: bool
    selinux: str
    network: Renderer | None


def inside_script(form: Format, asked: str) -> bytes:
    """Return what guestfish is asked; `asked` comes back with the answer."""
    disk = disk_script(asked, ("filesystems", "-list-filesystems | head -c 50000"))
    return look_script(form, disk, FILES, PATHS)


def parse_inside(text: str) -> Inside:
    """Read the answer; raise ValueError where it is not a whole one."""
    systems = parse_filesystems(text)
    disk = disk_of(systems)
    root = root_of(systems) or Filesystem(name="")
    table = table_of(disk)
    return Inside(
        asked=first_of(disk, "asked"),
        contents=contents_of(root if root.name else None),
        hostname=first_of(root, "hostname"),
        users=_users(root),
        table=table if table in {"gpt", "msdos"} else "",
        partitions=partitions_of(disk),
        filesystems=_devices(disk),
        bios=boots_by_bios(disk),
        uefi=boots_by_uefi(systems),
        selinux=selinux_of(root),
        network=network_of(root),
    )


def _devices(disk: Filesystem) -> tuple[tuple[str, str], ...]:
    pairs = (line.partition(": ") for line in disk.answers.get("filesystems", [])[:MOST])
    return tuple((masked(device, 80), masked(kind, 80)) for device, _, kind in pairs)


def _users(root: Filesystem) -> tuple[User, ...]:
    """Return root, and the accounts of people (login.defs(5), UID_MIN)."""
    unlocked = set(root.answers.get("unlocked", []))
    users: list[User] = []
    for line in root.answers.get("passwd", []):
        fields = line.split(":")
        if len(fields) != 7 or re.fullmatch(r"[0-9]{1,9}", fields[2]) is None:
            continue
        uid = int(fields[2])
        if uid == 0 or 1000 <= uid < 65534:
            users.append(
                User(
                    name=masked(fields[0], 32),
                    uid=uid,
                    shell=masked(fields[6], 80),
                    password=fields[0] in unlocked,
                )
            )
    return tuple(users[:MOST])


def network_of(root: Filesystem) -> Renderer | None:
    """Return what sets the network up, as far as it is known."""
    return next((one for one in Renderer if one.value in root.programs), None)


def selinux_of(root: Filesystem) -> str:
    """Return SELinux's configured mode; nothing without SELinux."""
    if "load-policy" not in root.programs:
        return ""
    mode = first_of(root, "selinux").removeprefix("SELINUX=").strip()
    return mode if mode in {"enforcing", "permissive", "disabled"} else "unknown"
