from __future__ import annotations

import pytest

from kvmkeep.model.inside import Renderer, inside_script, parse_inside
from kvmkeep.model.spec import Format
from kvmkeep.model.units import Size

GRUB = (b"\xeb\x63" + bytes(90) + (1).to_bytes(8, "little") + b"GRUB ").ljust(
    510, b"\0"
) + b"\x55\xaa"
GPT_TYPES = {
    1: "21686148-6449-6E6F-744E-656564454649",
    15: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
}


def answer(disk: dict[str, str], root: dict[str, str], *more: str) -> str:
    lines = ["@kvmkeep look 1 raw", "@kvmkeep filesystem the disk"]
    lines += [f"@kvmkeep {kind}\n{text}" for kind, text in disk.items()]
    lines += more
    lines.append("@kvmkeep filesystem /dev/sda1")
    lines += [f"@kvmkeep {kind}\n{text}" for kind, text in root.items()]
    return "\n".join([*lines, "@kvmkeep end", ""])


def partitions(*sizes: tuple[int, int]) -> str:
    return "\n".join(
        f"[{n}] = {{\n  part_num: {number}\n  part_start: 1048576\n  part_end: 2\n  part_size: {size}\n}}"
        for n, (number, size) in enumerate(sizes)
    )


def test_a_cloud_image_for_both_firmwares() -> None:
    disk = {
        "asked": "20261123T071034Z", "table": "gpt", "partitions": partitions((1, 512), (15, 4096)),
        "sector-0": GRUB.hex(" "), "sector-1": "00 " * 511 + "52", "filesystems": "/dev/sda1: ext4\n/dev/sda15: vfat",
    } | {f"type-{number}": guid for number, guid in GPT_TYPES.items()}  # fmt: skip
    root = {
        "os-release": 'PRETTY_NAME="Debian 12"', "hostname": "web",
        "passwd": "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/:/bin/false\n"
        "anna:x:1000:1000::/home/anna:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nodd:line",
        "unlocked": "anna", "netplan": "true", "networkd": "true", "cloud-init": "true",
    }  # fmt: skip
    efi = ("@kvmkeep filesystem /dev/sda15", "@kvmkeep efi", "true")
    found = parse_inside(answer(disk, root, *efi))
    assert (found.asked, found.table, found.hostname) == ("20261123T071034Z", "gpt", "web")
    assert (found.bios, found.uefi) == (True, True)
    assert [(one.number, one.size) for one in found.partitions] == [
        (1, Size(512)),
        (15, Size(4096)),
    ]
    assert found.filesystems == (("/dev/sda1", "ext4"), ("/dev/sda15", "vfat"))
    assert [(one.name, one.password) for one in found.users] == [("root", False), ("anna", True)]
    assert found.network is Renderer.NETPLAN
    assert found.contents.cloud_init
    assert found.contents.os == "Debian 12"
    assert found.selinux == ""


def test_a_partition_of_an_mbr_has_its_byte_for_a_type() -> None:
    # libguestfs 1.48.6 of Debian 12 answers both questions: sgdisk makes a GPT of it for itself.
    both = "0FC63DAF-8483-4772-8E79-3D69D8477DE4\n0x83"
    disk = {"table": "msdos", "partitions": partitions((1, 512)), "type-1": both}
    assert parse_inside(answer(disk, {})).partitions[0].type == "0x83"
    (gpt,) = parse_inside(answer(disk | {"table": "gpt"}, {})).partitions
    assert gpt.type == "0fc63daf-8483-4772-8e79-3d69d8477de4"


def test_grub_for_bios_is_of_no_use_without_its_core_image() -> None:
    disk = {"table": "gpt", "sector-0": GRUB.hex(" "), "sector-1": "00 " * 512}
    assert not parse_inside(answer(disk, {})).bios
    partition = {"partitions": partitions((14, 512)), "first-14": "52 " * 512}
    far = GRUB.replace((1).to_bytes(8, "little"), (2048).to_bytes(8, "little")).hex(" ")
    assert parse_inside(answer(disk | partition | {"sector-0": far}, {})).bios
    assert not parse_inside(
        answer(disk | partition | {"sector-0": far, "first-14": "00 " * 512}, {})
    ).bios
    assert not parse_inside(answer(disk | {"sector-0": "no hex"}, {})).bios


@pytest.mark.parametrize("kind", ["", "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "0x0c"])
def test_ovmf_boots_from_fat_whatever_type_its_partition_has(kind: str) -> None:
    efi = ("@kvmkeep filesystem /dev/sda2", "@kvmkeep efi", "true")
    disk = {"partitions": partitions((2, 512)), "type-2": kind}
    assert parse_inside(answer(disk, {}, *efi)).uefi
    assert not parse_inside(answer(disk, {})).uefi


def test_a_boot_file_for_uefi_is_of_no_use_where_no_firmware_can_read_it() -> None:
    lines = inside_script(Format.RAW, "NOW").decode().splitlines()
    asked = [number for number, line in enumerate(lines) if "EFI/BOOT" in line]
    assert len(asked) == 17
    for number in asked:
        assert lines[number - 2].startswith("-mount-vfs ro vfat /dev/sda")


@pytest.mark.parametrize(
    ("line", "mode"),
    [("SELINUX=enforcing", "enforcing"), ("SELINUX=\x1b[2J", "unknown"), ("", "unknown")],
)
def test_selinux(line: str, mode: str) -> None:
    root = {"os-release": "NAME=Rocky", "load-policy": "true", "selinux": line}
    assert parse_inside(answer({}, root)).selinux == mode


def test_a_hostile_disk_can_neither_move_the_cursor_nor_flood() -> None:
    disk = {
        "filesystems": "\n".join(f"/dev/\x1b[2J{number}: ext4" for number in range(9000)),
        "partitions": partitions(*((n % 200, 10**18) for n in range(900))), "table": "\x1b]0;x\x07",
    }  # fmt: skip
    passwd = "\n".join(f"u{n}\x1b:x:{n}:0::/:/bin/\x07sh" for n in range(1000, 9000))
    huge = "big:x:" + "9" * 40 + ":0::/:/bin/sh"
    root = {"os-release": "NAME=x", "passwd": f"{huge}\n{passwd}", "hostname": "\x1b[31m" * 999}
    found = parse_inside(answer(disk, root))
    assert all(char.isprintable() for char in repr(found))
    assert max(len(found.filesystems), len(found.partitions), len(found.users)) == 200
    assert "\\x1b" not in repr(found)


def test_what_is_no_whole_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="not complete"):
        parse_inside(answer({}, {}).removesuffix("@kvmkeep end\n"))


def test_the_script_asks_nothing_for_a_hash_and_ends_only_with_a_living_appliance() -> None:
    script = inside_script(Format.RAW, "NOW").decode()
    shadow = [line for line in script.splitlines() if "/etc/shadow" in line]
    assert shadow
    assert all("| cut -d: -f1 |" in line for line in shadow)
    assert script.endswith('ping-daemon\necho "@kvmkeep end"\n')
    assert '@kvmkeep asked"\necho NOW\n' in script
