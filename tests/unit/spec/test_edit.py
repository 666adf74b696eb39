"""Changing one part of a YAML text, and leaving all else of it to the byte."""

from __future__ import annotations

import pytest

from kvmkeep.model.found import FoundNic, Key, SpecChange
from kvmkeep.model.spec import FileDisk, LvDisk
from kvmkeep.model.units import Label, Mac, Size
from kvmkeep.spec.edit import edited

GIB = 1 << 30
NIC = FoundNic(network=Label("dmz"), mac=Mac("52:54:00:00:00:02"))
DATA = LvDisk(name=Label("data"), lv="web-data", size=Size(GIB), named=True)
BLOCK = """\
# Of the shop.
image: rocky9   # the old one
vcpus: 2
memory: "2GiB"  # enough
disks:
  root: 20GiB   # SSD
  # Of the database:
  logs: {size: 4GiB, lv: shop-logs}
nics:
  - network: internal
    mac: 52:54:00:00:00:01
    # Of the firewall.
  - {network: public, address: dhcp}
run: {ready: agent}
labels: []
# The end.
"""


def change(value: object, *key: str | int) -> SpecChange:
    return SpecChange(key=key, value=value, what="")  # type: ignore[arg-type]


def one(text: str, value: object, *key: str | int) -> str | None:
    return edited(text, (change(value, *key),))


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        (("vcpus",), 4, "vcpus: 2\n", "vcpus: 4\n"),
        (("memory",), Size(3 * GIB), 'memory: "2GiB"  # enough', "memory: 3GiB  # enough"),
        (("disks", "root"), Size(30 * GIB), "root: 20GiB   # SSD", "root: 30GiB   # SSD"),
        (("disks", "logs", "size"), Size(5 * GIB), "size: 4GiB", "size: 5GiB"),
        (("disks", "data"), DATA, "  root: 20GiB   # SSD\n",
         "  root: 20GiB   # SSD\n  data: {size: 1GiB, lv: web-data}\n"),
        (("disks", "data"), FileDisk(name=Label("data"), path="/d/x", mount="/d", size=Size(GIB)),
         "  root: 20GiB   # SSD\n",
         '  root: 20GiB   # SSD\n  data: {file: "/d/x", size: 1GiB, mount: "/d"}\n'),
        (("disks", "logs"), None, "  logs: {size: 4GiB, lv: shop-logs}\n", ""),
        (("disks", "logs", "lv"), None, ", lv: shop-logs", ""),
        (("nics", 0, "network"), "dmz", "network: internal", "network: dmz"),
        (("nics", 2), NIC, "dhcp}\n", 'dhcp}\n  - {network: dmz, mac: "52:54:00:00:00:02"}\n'),
        (("nics", 1), None, "  - {network: public, address: dhcp}\n", ""),
        (("nics", 0), None, "  - network: internal\n    mac: 52:54:00:00:00:01\n", ""),
        (("run", "autostart"), False, "{ready: agent}", "{ready: agent, autostart: false}"),
        (("description",), "1", "# The end.\n", '# The end.\ndescription: "1"\n'),
        (("labels", 0), "shop", "[]", "[shop]"),
        (("image",), "rocky10", "image: rocky9", "image: rocky10"),
    ],
)  # fmt: skip
def test_only_the_part_is_changed(key: Key, value: object, old: str, new: str) -> None:
    assert BLOCK.count(old) == 1
    assert one(BLOCK, value, *key) == BLOCK.replace(old, new)


@pytest.mark.parametrize(
    ("text", "key", "value", "wanted"),
    [
        ("{vcpus: 2, disks: {root: 1GiB}}", ("vcpus",), 3, "{vcpus: 3, disks: {root: 1GiB}}"),
        ("{disks: {root: 1GiB}}", ("vcpus",), 3, "{vcpus: 3, disks: {root: 1GiB}}"),
        ("{vcpus: 2, a: 1}", ("run", "autostart"), True, "{vcpus: 2, a: 1, run: {autostart: true}}"),
        ("a: 1", ("run", "autostart"), True, "a: 1\nrun: {autostart: true}\n"),
        ("a: 1", ("b",), 2, "a: 1\nb: 2\n"),
        ("a: b\n...\n", ("c",), 1, "a: b\nc: 1\n...\n"),
        ("a: {}\n", ("a", "b"), 2, "a: {b: 2}\n"),
        ("a: [x, y]\n", ("a", 2), "z", "a: [x, y, z]\n"),
        ("a: [x, y]\n", ("a", 0), None, "a: [y]\n"),
        ("a: [x, y]\n", ("a", 1), None, "a: [x]\n"),
        ("a:\n  - x\n  - y", ("a", 2), "z", "a:\n  - x\n  - y\n  - z\n"),
        ("a:\n  b:\n    c: {d: 1}\n", ("a", "e"), 2, "a:\n  e: 2\n  b:\n    c: {d: 1}\n"),
        ("a: 'it''s'\nb: 1\n", ("c",), 2, "a: 'it''s'\nb: 1\nc: 2\n"),
    ],
)  # fmt: skip
def test_texts_in_braces_and_others(text: str, key: Key, value: object, wanted: str) -> None:
    assert one(text, value, *key) == wanted


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a: 'it''s'\n", ("a",), "x"),
        ("a: [1\n", ("a",), "x"),
        ("a: b\n", ("a", "b"), "x"),
        ("a: [x]\n", ("a", 3), "x"),
        ("a: [x]\n", ("a", 3, "y"), "x"),
        ("a: b\n", ("c",), None),
        ("x:\n  ? a\n  : b\n", ("x", "c"), 1),
        ("a: b\n", ("a",), None),
        ("a:\n  - x\n", ("a", 1), None),
        ("a:\n- {b: 1}\n", ("a", "x"), 1),
    ],
)
def test_what_can_not_be_changed_in_its_place(text: str, key: Key, value: object) -> None:
    assert one(text, value, *key) is None


def test_several_changes_one_after_the_other() -> None:
    changes = (change(4, "vcpus"), change(NIC, "nics", 2), change(None, "nics", 0))
    text = edited(BLOCK, changes)
    assert text is not None
    assert "# Of the firewall." in text
    assert "internal" not in text
    assert text.count("\n") == BLOCK.count("\n") - 1
