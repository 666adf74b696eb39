"""Wrong input in the spec, typed into `apply --yes`: exit code 3, the place, a way out, no effect.

The wording of each mistake is tested beside the spec's own tests; here is tested that none of
them gets any further, and the rows that those tables do not have.
"""

from __future__ import annotations

import re

import pytest
from hostile.site import Hostile

from tests.unit.cli.site import GUEST_YAML, HASH

PLACE = r"(?m)^\S*{file}:\d+:\d+: .*{word}.*\(.+\)$"
GUEST = GUEST_YAML.replace("HASH", HASH)

NAMES = [
    "-rf", "--help", "..", ".", "a" * 300, "a\\nb", "\\e[2J", "\\u202eweb", "\\0", "wéb", "w\u0435b",
    "Web", "snapshot1", "pvmove0", "x_mlog", "x_tdata", "a/b", "a b", "$(id)", "", "web-", "%s",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_guests(site: Hostile, name: str) -> None:
    site.put("guests/web.yaml", f'name: "{name}"\n{GUEST}')
    said = site.refuses(3, r"web\.yaml:1:7: ")
    assert "\x1b" not in said.all


@pytest.mark.parametrize(
    "name", ["-rf.yaml", "a" * 200 + ".yaml", "WEB.yaml", "x\ny.yaml", "\x1b[2J.yaml", "a b.yaml"]
)
def test_names_of_files(site: Hostile, name: str) -> None:
    site.put(f"guests/{name}", GUEST)
    site.refuses(3, "can't be a guest's name")


@pytest.mark.parametrize("twin", ["Web", "WEB"])
def test_twins_that_differ_only_in_case(site: Hostile, twin: str) -> None:
    """Device mapper tells them apart, but not every tool and person does."""
    site.put(f"guests/{twin}.yaml", GUEST)
    site.refuses(3, "can't be a guest's name")


RESERVED = [
    "_cdata", "_cmeta", "_corig", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta",
    "_tdata", "_tmeta", "_vdata", "_vorigin",
]  # fmt: skip


@pytest.mark.parametrize("word", RESERVED)
def test_names_of_disks_that_lvm_reserves(site: Hostile, word: str) -> None:
    """The list is that of lvm(8)."""
    site.edit("guests/web.yaml", "{root: 20GiB}", f"{{root: 20GiB, a{word}: 1GiB}}")
    site.refuses(3, rf"web\.yaml:4:\d+: .*a{word}")


@pytest.mark.parametrize("prefix", ["snapshot", "pvmove", "a_tdata-", "-x", "a/", "a b", "é"])
def test_prefixes_that_lvm_reserves(site: Hostile, prefix: str) -> None:
    site.edit("host.yaml", "{vg: rl_build}", f'{{vg: rl_build, lv_prefix: "{prefix}"}}')
    site.refuses(3, r"\.yaml:\d+:\d+: ")


SIZES = [
    "1e3G", "-5G", "10GB", "0", "0GiB", "20", "20G", "20gib", "1e400GiB", "NaN", ".inf", "1_0GiB",
    "0x10GiB", "9" * 400 + "GiB", "20GiB; rm", "1.0000000001GiB", "²GiB", "٣GiB", "20 000GiB", "",
    "true", "2PiB",
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("key", "old"), [("root", "root: 20GiB"), ("memory", "memory: 2GiB")])
def test_sizes(site: Hostile, key: str, old: str, size: str) -> None:
    site.edit("guests/web.yaml", old, f"{key}: {size}")
    site.refuses(3, PLACE.format(file=r"web\.yaml", word=key))


@pytest.mark.parametrize("vlan", ["0", "-1", "4095", "4096", "223.5", "0xdf", "'223'", "1e2", "٢"])
def test_vlans(site: Hostile, vlan: str) -> None:
    site.edit("host.yaml", "vlan: 223", f"vlan: {vlan}")
    site.refuses(3, r"host\.yaml:5:\d+: vlan: ")


MACS = [
    "53:54:00:12:34:56", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "52-54-00-12-34-56", "525400123456",
    "52:54:00:12:34", "52:54:00:12:34:5g", "52:54:00:12:34:56:78", "\uff152:54:00:12:34:56", "'-rf'", "fe:54:00:12:34:56",
]  # fmt: skip


@pytest.mark.parametrize("mac", MACS)
def test_mac_addresses(site: Hostile, mac: str) -> None:
    site.edit("guests/web.yaml", "{network: public,", f"{{network: public, mac: {mac},")
    site.refuses(3, PLACE.format(file=r"web\.yaml", word="mac"))


def test_one_mac_address_for_two(site: Hostile) -> None:
    nic = "{{network: public, mac: '52:54:00:12:34:{}', address: 132.230.223.{}/24}}"
    site.edit(
        "guests/web.yaml",
        "{network: public, address: 132.230.223.37/24}",
        f"{nic.format('ab', 37)}, {nic.format('AB', 38)}",
    )
    site.refuses(3, r"web\.yaml:5:\d+: .*52:54:00:12:34:ab", r"\(.+\)")


@pytest.mark.parametrize("mac", ["52:54:00:12:34:56", "02:10:20:30:40:50", "12:34:56:12:34:56"])
def test_a_mac_address_without_quotes_is_not_a_number_to_base_60(site: Hostile, mac: str) -> None:
    site.edit("guests/web.yaml", "{network: public,", f"{{network: public, mac: {mac},")
    assert site.says("apply", "--yes").code == 0
    assert f'address="{mac}"' in site.host.read("/root/kvm/web.xml", 1 << 20).decode()


YAMLS = [
    ("vcpus: 2", "vcpus: 2\nvcpus: 4", "twice"),
    ("vcpus: 2", "\tvcpus: 2", "tab"),
    ("vcpus: 2", "vcpus: &x 2", "anchors"),
    ("vcpus: 2", "vcpus: *x", "alias"),
    ("vcpus: 2", "vcpus: !!python/object/apply:os.system ['id']", "tags"),
    ("vcpus: 2", "<<: {vcpus: 2}", "merge"),
    ("vcpus: 2", "vcpus: 2\n---\nvcpus: 3", "second document"),
    ("vcpus: 2", "vcpus: {" * 3000, "nested"),
    ("vcpus: 2", "vcpus: 1e3000000000", "vcpus"),
    ("vcpus: 2", "vcpus: " + "9" * 5000, "vcpus"),
    ("vcpus: 2", "vcpus: 2\nvcpu\u200bs: 3", r"vcpu\\u200bs|u200b"),
]


@pytest.mark.parametrize(("old", "new", "word"), YAMLS)
def test_yaml_that_is_not_what_it_seems(site: Hostile, old: str, new: str, word: str) -> None:
    site.edit("guests/web.yaml", old, new)
    site.refuses(3, rf"web\.yaml:\d+:\d+: .*{word}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"\xff\xfe\x00",
        b"image: debian\nvcpus: \xff",
        b"<html><body>404</body>",
        b"[" * 100_000,
    ],
)
def test_files_that_are_no_spec(site: Hostile, content: bytes) -> None:
    site.put("guests/web.yaml", content)
    site.refuses(3, r"web\.yaml:\d+:\d+: ")


PATHS = [
    "'json:{\"driver\":\"nbd\",\"host\":\"evil\"}'", "nbd://evil/x.raw", "nbd:unix:/x:exportname=a.raw",
    "ssh://evil/a.raw", "fat:/etc", "'file:/etc/shadow'", "/dev/sda", "/dev/rl_build/root",
    "/dev/../dev/sda", "/proc/kcore", "/sys/kernel/a.raw", '"/srv/a\\0.raw"', "''", "/", "/srv/",
    "'https://evil/a.raw'", "'data:a.raw'", "host_device:/dev/sda",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths_of_images(site: Hostile, path: str) -> None:
    site.edit("host.yaml", "/srv/debian.raw", path)
    site.refuses(3, r"host\.yaml:7:\d+: file: ")


def test_all_mistakes_are_told_at_once_each_with_its_place(site: Hostile) -> None:
    site.edit("host.yaml", "vlan: 223", "vlan: 4095")
    site.edit("guests/web.yaml", "vcpus: 2", "vcpus: 0")
    site.edit("guests/web.yaml", "root: 20GiB", "root: 10GB")
    site.put("guests/Web.yaml", GUEST)
    said = site.refuses(3)
    places = re.findall(r"(?m)^\S*/(host|web|Web)\.yaml:\d+:\d+: ", said.err)
    # The third of web.yaml: its twin has its address.
    assert sorted(places) == ["Web", "host", "web", "web", "web"]
