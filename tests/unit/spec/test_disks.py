"""Disks of the spec: a size, an LV of another name, or a file on its mount."""

from __future__ import annotations

import pytest
from fakes.spec import load_text

from kvmkeep.model.spec import FileDisk, Guest, LvDisk
from kvmkeep.model.units import Label, Size
from tests.unit.spec.texts import BARE, HOST, changed, mistakes

GIB = 1 << 30
LV_AND_FILE = "{root: 4GiB, old: {size: 1GiB, lv: web_old}, a: {file: /data/a/x.img, size: 2GiB, mount: /data/}}"


def guest_with(disks: str) -> Guest:
    return load_text({"host.yaml": HOST, "guests/web.yaml": with_disks(disks)}).guests[0]


def with_disks(disks: str) -> str:
    return changed(BARE, "{root: 4GiB}", disks)


def told_of(disks: str, **others: str) -> list[str]:
    files = {f"guests/{name}.yaml": text for name, text in others.items()}
    found = mistakes({"host.yaml": HOST, "guests/web.yaml": with_disks(disks), **files})
    return [line.removeprefix("guests/web.yaml:") for line in found]


def test_a_disk_is_a_size_or_an_lv_or_a_file_in_the_order_of_the_spec() -> None:
    guest = guest_with(LV_AND_FILE)
    root = LvDisk(name=Label("root"), lv="vm-web", size=Size(4 * GIB))
    old = LvDisk(name=Label("old"), lv="web_old", size=Size(GIB), named=True)
    file = FileDisk(name=Label("a"), path="/data/a/x.img", mount="/data", size=Size(2 * GIB))
    assert guest.disks == (root, old, file)
    assert guest.root == root
    assert guest.volumes == (root, old)
    assert guest.files == (file,)


def test_the_root_disk_may_have_another_lv_and_comes_first() -> None:
    guest = guest_with("{data: 1GiB, root: {lv: web-by-hand, size: 4GiB}}")
    assert [(disk.name, disk.lv) for disk in guest.volumes] == [
        ("root", "web-by-hand"), ("data", "vm-web-data"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("disks", "wanted"),
    [
        ("{root: 4GiB, a: {lv: x}}", ["4:24: size is missing (such as size: 100GiB)"]),
        ("{root: 4GiB, a: {size: 4}}",
         ["4:31: size: a number stands here, but text is wanted (write a unit, such as 20GiB)"]),
        ("{root: 4GiB, a: [1GiB]}",
         ["4:24: a: a list stands here, but text or keys with values is wanted"]),
        ("{root: 4GiB, a: {size: 1GB}}",
         ["4:31: size: '1GB' is not a whole number of MiB (write 1GiB, or else 954MiB)"]),
        ("{root: 4GiB, a: {size: 1GiB, lv: 'a b'}}", ["4:41: lv: 'a b' can't be an LV's name"]),
        ("{root: 4GiB, a: {size: 1GiB, lv: ''}}", ["4:41: lv: '' can't be an LV's name"]),
        ("{root: 4GiB, a: {size: 1GiB, lv: vm-web}}",
         ["4:21: the logical volume vm-web is that of disk root of guest web already, "
          "at guests/web.yaml:4:9 (rename the guest or the disk)"]),
        ("{root: 4GiB, a: {size: 1GiB, file: /data/x}}",
         ["4:24: a: mount is missing: a file is only used on its mount (such as mount: /data)"]),
        ("{root: 4GiB, a: {size: 1GiB, mount: /data}}",
         ["4:24: a: file is missing: a file is only used on its mount "
          "(such as file: /data/vm/web-data.img)"]),
        ("{root: 4GiB, a: {size: 1GiB, mount: /data, file: x.img}}",
         ["4:57: file: 'x.img' is not an absolute path (it begins with /)"]),
        ("{root: 4GiB, a: {size: 1GiB, mount: /data, file: /dev/sda}}",
         ["4:57: file: '/dev/sda' is not an ordinary file (copy it to one)"]),
        ("{root: 4GiB, a: {size: 1GiB, mount: /, file: /x.img}}",
         ["4:44: mount: the root directory can't be used here"]),
        ("{root: 4GiB, a: {size: 1GiB, mount: /data, file: /data/../srv/x}}",
         ["4:57: file: '/srv/x' does not lie under '/data'"]),
        ("{root: 4GiB, a: {size: 1GiB, mount: /data, file: /database/x}}",
         ["4:57: file: '/database/x' does not lie under '/data'"]),
        ("{root: 4GiB, a: {size: 1GiB, mount: /data, file: /data/x, lv: x}}",
         ["4:70: lv: a disk is either an LV or a file (remove one of them)"]),
        ("{root: {size: 4GiB, mount: /data, file: /data/x}}",
         ["4:9: the disk root is made from the image, on an LV (only further disks can be files)"]),
        ("{root: 4GiB, A: {size: 1GiB, mount: /data, file: /data/x}}",
         ["4:21: 'A' can't be a name here (1 to 32 of a-z, 0-9, '.', '_' and '-', "
          "beginning and ending with a letter or digit)"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_disk_is_told_with_its_place(disks: str, wanted: list[str]) -> None:
    assert told_of(disks) == wanted


def test_two_guests_can_not_have_one_file() -> None:
    disks = "{root: 4GiB, a: {size: 1GiB, mount: /data, file: /data//x}}"
    other = with_disks("{root: 4GiB, b: {size: 1GiB, mount: /data, file: /data/x}}")
    assert told_of(disks, db=other) == [
        "4:21: the file /data/x is that of disk b of guest db already, at guests/db.yaml:4:21 "
        "(two disks in one file destroy each other)"
    ]
