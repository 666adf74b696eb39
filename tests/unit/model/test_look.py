"""The look into an image: guestfish's answers, whole, cut off and hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.model.first_look import first_look_script, parse_first_look
from kvmkeep.model.image_facts import Contents
from kvmkeep.model.look import datasource_list, look_argv
from kvmkeep.model.spec import Firmware, Format

BEGIN = "@kvmkeep look 1 raw\n"
END = "@kvmkeep end\n"
DEBIAN = """\
@kvmkeep filesystem /dev/sda
@kvmkeep os-release
@kvmkeep config
@kvmkeep agent
false
@kvmkeep filesystem /dev/sda1
@kvmkeep os-release
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
ID=debian
@kvmkeep os-release
PRETTY_NAME="a second file"
@kvmkeep ds-identify
@kvmkeep config
users:
  - default

@kvmkeep config
@kvmkeep cloud-init
true
@kvmkeep cloud-init
false
@kvmkeep disabled
false
@kvmkeep agent
true
"""


def answer(
    *, config: str = "", identify: str = "", programs: str = "cloud-init", os: str = "NAME=Tiny"
) -> Contents:
    told = "".join(f"@kvmkeep {name}\ntrue\n" for name in programs.split())
    return parse_first_look(
        f"{BEGIN}@kvmkeep filesystem /dev/sda1\n@kvmkeep os-release\n{os}\n"
        f"@kvmkeep ds-identify\n{identify}\n@kvmkeep config\n{config}\n{told}{END}"
    )


def test_a_debian_image() -> None:
    assert parse_first_look(BEGIN + DEBIAN + END) == Contents(
        os="Debian GNU/Linux 12 (bookworm)",
        cloud_init=True,
        datasources=(),
        agent=True,
        bakes_disks=False,
        detail="root filesystem /dev/sda1; cloud-init has its default list of datasources",
    )


def test_which_firmware_finds_something_to_boot_where_that_was_asked() -> None:
    asked = "@kvmkeep filesystem the disk\n@kvmkeep asked\nfirmware\n"
    sector = (b"\xeb\x63GRUB ".ljust(510, b"\0") + b"\x55\xaa").hex(" ")
    bios = f"@kvmkeep sector-0\n{sector}\n"
    uefi = "@kvmkeep filesystem /dev/sda15\n@kvmkeep efi\ntrue\n"
    for lines, boots in (
        ("", None),
        (asked, ()),
        (asked + bios, (Firmware.BIOS,)),
        (asked + uefi, (Firmware.UEFI,)),
        (asked + bios + uefi, (Firmware.BIOS, Firmware.UEFI)),
    ):
        found = parse_first_look(BEGIN + lines + DEBIAN + END)
        assert found.boots == boots
        assert found.os.startswith("Debian")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello\n",
        BEGIN,
        BEGIN + DEBIAN,
        (BEGIN + DEBIAN + END)[:-5],
        "@kvmkeep look 2 raw\n" + END,
    ],
)
def test_what_is_no_whole_answer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        parse_first_look(text)


def test_lines_before_the_first_filesystem_do_not_count() -> None:
    text = "noise\n@kvmkeep os-release\nNAME=Nobody\n"
    assert parse_first_look(BEGIN + text + DEBIAN + END) == parse_first_look(BEGIN + DEBIAN + END)


def test_an_image_without_an_operating_system() -> None:
    found = parse_first_look(BEGIN + "@kvmkeep filesystem /dev/sda\n@kvmkeep os-release\n" + END)
    assert not found.cloud_init
    assert found.detail == "no filesystem with an operating system was found in it"


@pytest.mark.parametrize(("name", "on_volume"), [("/dev/*/root", True), ("/dev/sda1", False)])
def test_whether_the_root_filesystem_lies_on_a_volume(name: str, *, on_volume: bool) -> None:
    text = f"@kvmkeep filesystem {name}\n@kvmkeep os-release\nNAME=Rocky\n"
    assert parse_first_look(BEGIN + text + END).on_volume is on_volume


def test_a_system_goes_before_a_mere_boot_partition() -> None:
    boot = "@kvmkeep filesystem /dev/sda2\n@kvmkeep config\nx: 1\n"
    assert parse_first_look(BEGIN + boot + DEBIAN + END).os.startswith("Debian")
    assert parse_first_look(BEGIN + DEBIAN + boot + END).os.startswith("Debian")


@pytest.mark.parametrize(
    ("programs", "identify", "usable", "detail"),
    [
        ("", "", False, "cloud-init is not installed"),
        ("cloud-init disabled", "", False, "cloud-init is installed but disabled"),
        ("cloud-init", "policy: disabled", False, "cloud-init is installed but disabled"),
        ("cloud-init", "policy: search,found=all", True, "its default list of datasources"),
        ("cloud-init", "datasource: NoCloud # forced", True, "its list of datasources is NoCloud"),
        ("cloud-init", 'datasource: "Ec2"\nnonsense', True, "its list of datasources is Ec2"),
    ],
)
def test_whether_cloud_init_will_run(
    programs: str, identify: str, *, usable: bool, detail: str
) -> None:
    found = answer(programs=programs, identify=identify)
    assert found.cloud_init is usable
    assert detail in found.detail


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ("", ()),
        ("datasource_list: [NoCloud, None]", ("NoCloud", "None")),
        ("datasource_list: ['NoCloud', \"ConfigDrive\"]", ("NoCloud", "ConfigDrive")),
        ("datasource_list:\n- NoCloud", ()),
        ("datasource_list: [Ec2]\nsystem_info:\n  datasource_list: [OpenStack]", ("OpenStack",)),
        ("# datasource_list: [Ec2]", ()),
        ("datasource_list:[Ec2]", ()),
        ("datasource_list: OpenStack", ("OpenStack",)),
        ("datasource_list: [ ]", ()),
        ("datasource_list: [a\x1b[31mb]", ("a?[31mb",)),
    ],
)
def test_the_list_as_ds_identify_reads_it(config: str, names: tuple[str, ...]) -> None:
    assert datasource_list(config) == names


def test_a_list_without_end_is_bounded() -> None:
    assert len(datasource_list(f"datasource_list: [{'A, ' * 1000}]")) == 40
    assert max(map(len, datasource_list(f"datasource_list: [{'A' * 1000}]"))) == 40


@pytest.mark.parametrize(
    ("config", "bakes"),
    [
        ("disk_setup:\n  /dev/sdb: {table_type: gpt}", True),
        ("fs_setup:\n- {device: /dev/sdb}", True),
        ("fs_setup: [{device: /dev/sdb}]", True),
        ("disk_setup: # none\n\n  /dev/vdb: {}", True),
        ("fs_setup:\n-\n  device: /dev/sdb", True),
        ("disk_setup:\n---\nx: 1", False),
        ("disk_setup: {}", False),
        ("disk_setup: null", False),
        ("disk_setup:\nfs_setup: []", False),
        ("# disk_setup: {a: b}", False),
        ("  disk_setup: {a: b}", False),
        ("cc_modules: [disk_setup]", False),
    ],
)
def test_an_image_that_formats_other_disks(config: str, *, bakes: bool) -> None:
    assert answer(config=config).bakes_disks is bakes


@pytest.mark.parametrize("key", ["disk_setup:", "disk_setup", "fs_setup: null"])
def test_a_configuration_of_blanks_is_read_as_fast_as_any(key: str) -> None:
    """Each look at the host reads it again: a slow pattern would hold all verbs up."""
    for blanks in (" " * 131_000, "\n" * 131_000, " \n" * 65_000, " #\n" * 43_000):
        assert not answer(config=f"{key}{blanks}").bakes_disks


@pytest.mark.parametrize(
    ("os", "name"),
    [
        ("NAME='Rocky Linux'\nVERSION_ID=9.4", "Rocky Linux 9.4"),
        ("ID=tiny", "tiny"),
        ("NAME=", "unnamed"),
        ("no equals", "unnamed"),
        ('PRETTY_NAME="a\x07b"', "a?b"),
        (f"NAME={'x' * 500}", "x" * 80),
    ],
)
def test_the_systems_name(os: str, name: str) -> None:
    assert answer(os=os).os == name


def test_a_configuration_that_was_cut_off_is_told() -> None:
    assert "not read to its end" in answer(config="#" * 131072).detail


@given(st.text(max_size=300))
def test_no_answer_breaks_the_reader(text: str) -> None:
    try:
        found = parse_first_look(f"{BEGIN}@kvmkeep filesystem /dev/sda1\n{text}\n{END}")
    except ValueError:
        return
    assert found.detail.isprintable()
    assert found.os.isprintable()


def test_the_question_is_read_only_and_names_the_format() -> None:
    assert look_argv("/srv/a.img", Format.QCOW2) == (
        "guestfish", "--ro", "--format=qcow2", "-a", "/srv/a.img",
    )  # fmt: skip
    script = first_look_script(Format.RAW).decode()
    assert script.splitlines()[0] == 'echo "@kvmkeep look 1 raw"'
    assert script.endswith('ping-daemon\necho "@kvmkeep end"\n')
    words = [line.lstrip("-").removeprefix("glob ").split()[0] for line in script.splitlines()]
    assert set(words) <= {
        "echo", "run", "mount-ro", "mount-options", "mkmountpoint", "pread", "head-n", "exists",
        "umount-all", "ping-daemon", "mount-vfs", "part-get-parttype", "part-list",
        "part-get-gpt-type", "part-get-mbr-id", "pread-device",
    }  # fmt: skip
    assert all(" ro," in line for line in script.splitlines() if "mount-options" in line)
