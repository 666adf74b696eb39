"""What lies in a disk: what guestfish is asked beyond the look at first boot, and the answer.

The disk may say anything: numbers are bounded, and only printable text gets out of here.
"""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from kvmkeep.model.bios import SECTOR, Sectors, bios_boots
from kvmkeep.model.image_facts import Contents
from kvmkeep.model.look import (
    MARK,
    Filesystem,
    Questions,
    contents_of,
    look_script,
    parse_filesystems,
    root_of,
)
from kvmkeep.model.spec import Format
from kvmkeep.model.text import masked
from kvmkeep.model.units import Size

_DISK = "the disk"
_PARTITIONS = 16
_MOST = 200
"""Of each kind, so many are told."""

# GRUB's manual, "BIOS installation".
_BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"

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


class Partition(Struct, frozen=True, kw_only=True):
    """A partition; `type` is the GUID of GPT or the byte of an MBR."""

    number: int
    size: Size
    type: str


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
    disk = [f'echo "{MARK}filesystem {_DISK}"', f'echo "{MARK}asked"', f"echo {asked}"]
    for kind, line in (
        ("table", "-part-get-parttype /dev/sda"),
        ("partitions", "-part-list /dev/sda | head -c 20000"),
        ("sector-0", _sector("/dev/sda", 0)),
        ("sector-1", _sector("/dev/sda", SECTOR)),
        ("filesystems", "-list-filesystems | head -c 50000"),
    ):
        disk += [f'echo "{MARK}{kind}"', line]
    for number in range(1, _PARTITIONS + 1):
        disk += [
            f'echo "{MARK}type-{number}"',
            f"-part-get-gpt-type /dev/sda {number}",
            f"-part-get-mbr-id /dev/sda {number}",
            f'echo "{MARK}first-{number}"',
            _sector(f"/dev/sda{number}", 0),
        ]
    for device in ("/dev/sda", *(f"/dev/sda{n}" for n in range(1, _PARTITIONS + 1))):
        # Firmware reads FAT only (UEFI specification, "File System Format"), and OVMF looks for
        # its removable media's boot file there whatever type the partition has.
        disk += [
            f'echo "{MARK}filesystem {device}"',
            f"-mount-vfs ro vfat {device} /",
            f'echo "{MARK}efi"',
            "-exists /EFI/BOOT/BOOTX64.EFI",
            "-umount-all",
        ]
    return look_script(form, tuple(disk), FILES, PATHS)


def parse_inside(text: str) -> Inside:
    """Read the answer; raise ValueError where it is not a whole one."""
    systems = parse_filesystems(text)
    disk = next((one for one in systems if one.name == _DISK), Filesystem(name=_DISK))
    root = root_of(systems) or Filesystem(name="")
    table = _first(disk, "table")
    partitions = _partitions(disk, table)
    ways = any(one.type == _BIOS_BOOT for one in partitions)
    return Inside(
        asked=_first(disk, "asked"),
        contents=contents_of(root if root.name else None),
        hostname=_first(root, "hostname"),
        users=_users(root),
        table=table if table in {"gpt", "msdos"} else "",
        partitions=partitions,
        filesystems=_devices(disk),
        bios=bios_boots(_sectors(disk), table, boot_partition=ways),
        uefi=any("efi" in one.programs for one in systems),
        selinux=selinux_of(root),
        network=network_of(root),
    )


def _first(system: Filesystem, kind: str) -> str:
    lines = system.answers.get(kind, [])
    return masked(lines[0].strip(), 2000) if lines else ""


def _sector(device: str, at: int) -> str:
    return f"-pread-device {device} {SECTOR} {at} | od -An -v -tx1 -w{SECTOR}"


def _sectors(disk: Filesystem) -> Sectors:
    """Return the first two sectors of the disk, and the first of each partition."""
    read = {
        start // SECTOR: _bytes(_first(disk, f"first-{number}"))
        for number, start, _ in _listed(disk)
    }
    read |= {number: _bytes(_first(disk, f"sector-{number}")) for number in (0, 1)}
    return Sectors(read={number: sector for number, sector in read.items() if sector})


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _listed(disk: Filesystem) -> list[tuple[int, int, int]]:
    """Return each partition's number, start and size, in bytes."""
    text = "\n".join(disk.answers.get("partitions", []))
    number = "([0-9]{1,18})"
    line = rf"part_num: ([0-9]{{1,3}})\n *part_start: {number}\n.*\n *part_size: {number}"
    return [(int(n), int(start), int(size)) for n, start, size in re.findall(line, text)[:_MOST]]


def _partitions(disk: Filesystem, table: str) -> tuple[Partition, ...]:
    return tuple(
        Partition(
            number=number,
            size=Size(size),
            type=_type(disk.answers.get(f"type-{number}", []), table),
        )
        for number, _, size in _listed(disk)
    )


def _type(answers: list[str], table: str) -> str:
    """Return a partition's type; of an MBR, libguestfs 1.48 tells sgdisk's idea of a GUID too."""
    fit = [one for one in answers if table != "msdos" or one.startswith("0x")]
    return masked(fit[0].strip().lower(), 36) if fit else ""


def _devices(disk: Filesystem) -> tuple[tuple[str, str], ...]:
    pairs = (line.partition(": ") for line in disk.answers.get("filesystems", [])[:_MOST])
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
    return tuple(users[:_MOST])


def network_of(root: Filesystem) -> Renderer | None:
    """Return what sets the network up, as far as it is known."""
    return next((one for one in Renderer if one.value in root.programs), None)


def selinux_of(root: Filesystem) -> str:
    """Return SELinux's configured mode; nothing without SELinux."""
    if "load-policy" not in root.programs:
        return ""
    mode = _first(root, "selinux").removeprefix("SELINUX=").strip()
    return mode if mode in {"enforcing", "permissive", "disabled"} else "unknown"
