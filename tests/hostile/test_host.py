"""A right spec on a host that is not as it should be: refused before the first change, exit code 4.

Then what changes behind the run's back: an image replaced at any moment never gets to run.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage, digest_of
from fakes.nm import FakeLink, FakeProfile
from faults.door import FaultyDoor
from faults.plans import a_host, with_foreign_things
from hostile.site import Hostile
from msgspec.structs import replace

from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.facts import ArrayState, Facts
from kvmkeep.model.spec import Algorithm, Checksum, Spec
from kvmkeep.observe.images import observe_images
from kvmkeep.observe.notebook import Notebook
from kvmkeep.spec.load import load
from tests.unit.cli.site import GIB
from tests.unit.planning.build import IMAGE, guest, spec
from tests.unit.planning.rounds import StepError, reach

EXTENT = 4 << 20


def fills(site: Hostile, free: int) -> None:
    """Leave so many bytes free in the volume group."""
    site.host.lvm.size = free


def test_one_extent_more_than_is_free(site: Hostile) -> None:
    """20 GiB for the guest and 20 GiB of reserve are wanted; the message tells the bytes."""
    fills(site, 40 * GIB - EXTENT)
    site.refuses(4, "rl_build", str(20 * GIB), str(20 * GIB - EXTENT), "vgextend")


def test_to_the_last_extent(site: Hostile) -> None:
    fills(site, 40 * GIB)
    assert site.says("apply", "--yes").code == 0


def test_the_group_fills_up_behind_the_plan(site: Hostile) -> None:
    """Somebody else takes the room between the look and lvcreate: nothing is overwritten."""
    site.edit("guests/web.yaml", "{root: 20GiB}", "{root: 20GiB, data: 4GiB}")

    class Late:
        def __init__(self, door: object) -> None:
            self._door = door

        def __getattr__(self, name: str) -> object:
            return getattr(self._door, name)

        def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
            if "vm-web-data" in command.argv and command.argv[0] == "lvcreate":
                fills(site, 20 * GIB)
            return site.door.run(command, watch)

    site.stages.host = Late(site.door)
    said = site.says("apply", "--yes")
    assert said.code == 7
    assert "lvcreate" in said.err
    assert "exit code 5" in said.err
    assert "Nothing was lost." in said.err
    assert site.says("plan").code == 4
    site.host.lvm.size = 1 << 40
    site.stages.host = site.door
    assert site.says("apply", "--yes").code == 0


@pytest.mark.parametrize("more", [1, 512, EXTENT])
def test_an_image_larger_than_its_disk(site: Hostile, more: int) -> None:
    size = 20 * GIB + more
    site.host.add_image("/srv/debian.raw", FakeImage("raw", size, CLOUD))
    site.refuses(4, "guest web", str(size), "disks.root larger")


def test_a_disk_smaller_than_its_image(site: Hostile) -> None:
    site.edit("guests/web.yaml", "root: 20GiB", "root: 1GiB")
    site.refuses(4, "guest web", "disks.root larger")


FOREIGN: list[tuple[str, Callable[[FakeHost], object], str]] = [
    ("an LV", lambda host: host.lvm.add("vm-web", GIB), "vm-web exists and is not ours"),
    (
        "an LV of another guest",
        lambda host: host.lvm.add("vm-web", GIB, "kvmkeep", "kvmkeep.guest=db"),
        "belongs to guest db",
    ),
    (
        "a bridge",
        lambda host: host.nm.links.update({"virbr1.223": FakeLink("virbr1.223", "bridge")}),
        "virbr1.223",
    ),
    (
        "a VLAN under another name",
        lambda host: host.nm.links.update(
            vlan223=FakeLink("vlan223", "vlan", parent="uplink0", vlan_id=223)
        ),
        "VLAN 223 of uplink0 is in use by vlan223",
    ),
    (
        "a profile",
        lambda host: host.nm.profiles.update(
            x=FakeProfile("x", "virbr1.223", "bridge", "virbr1.223", {})
        ),
        "nmcli connection show x",
    ),
]


@pytest.mark.parametrize(
    ("put", "words"), [row[1:] for row in FOREIGN], ids=[r[0] for r in FOREIGN]
)
def test_what_has_our_name_and_is_not_ours(
    site: Hostile, put: Callable[[FakeHost], object], words: str
) -> None:
    put(site.host)
    site.refuses(4, words)


def test_a_domain_that_is_not_ours(site: Hostile) -> None:
    with_foreign_things(site.host)
    legacy = site.host.libvirt.domains.pop("legacy")
    legacy.xml.find("name").text = "web"  # type: ignore[union-attr]
    site.host.libvirt.domains["web"] = legacy
    site.refuses(4, "guest web", "not ours", "virsh dumpxml web")


def test_the_mac_address_of_a_foreign_domain_and_of_the_host(site: Hostile) -> None:
    with_foreign_things(site.host)
    nic = "{network: public, address: 132.230.223.37/24"
    for mac, whose in (("52:54:00:00:00:01", "domain legacy"), ("02:00:00:00:00:02", "uplink0")):
        site.put("guests/web.yaml", Path(site.spec_dir, "guests/web.yaml").read_text().replace(
            nic, f"{nic}, mac: '{mac}'"))  # fmt: skip
        site.refuses(4, mac, whose)
        site.edit("guests/web.yaml", f", mac: '{mac}'", "")


def test_the_management_interface_is_no_uplink(site: Hostile) -> None:
    site.edit("host.yaml", "uplink: uplink0", "uplink: mgmt0")
    site.refuses(4, "reached through it")


def gone(tool: str) -> Callable[[Hostile], None]:
    return lambda site: site.host.tools.update({tool: ""})


def facts(**changes: object) -> Callable[[Hostile], None]:
    def change(site: Hostile) -> None:
        site.change = lambda found: replace(found, **changes)  # type: ignore[arg-type]

    return change


def array(state: ArrayState) -> Callable[[Hostile], None]:
    def change(site: Hostile) -> None:
        site.change = lambda found: replace(
            found, arrays=tuple(replace(one, state=state) for one in found.arrays)
        )

    return change


def no_network_manager(site: Hostile) -> None:
    site.host.nm.running = False


UNREADY, REFUSED = 5, 4
TROUBLE = [
    (gone("lvcreate"), "install the package lvcreate-package", UNREADY),
    (gone("guestfish"), "install the package guestfish-package", UNREADY),
    (gone("qemu-img"), "install the package qemu-img-package", UNREADY),
    (no_network_manager, "systemctl start NetworkManager", UNREADY),
    (array(ArrayState.DEGRADED), "mdstat", REFUSED),
    (array(ArrayState.RESYNCING), "mdstat", REFUSED),
    (array(ArrayState.FAILED), "mdstat", REFUSED),
    (facts(groups=()), "pvs; vgs; cat /proc/mdstat", REFUSED),
]


@pytest.mark.parametrize(("trouble", "hint", "code"), TROUBLE)
def test_a_host_in_trouble(
    site: Hostile, trouble: Callable[[Hostile], None], hint: str, code: int
) -> None:
    trouble(site)
    site.refuses(code, hint)
    site.refuses(code, hint, words="plan")


# --- images, as our own reader sees them


def qcow2(*, size: int = GIB, backing: int = 0, incompatible: int = 0) -> bytes:
    """Return the header of a qcow2 image: QEMU's docs/interop/qcow2.txt, version 3."""
    head = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, backing, 11 if backing else 0, 16, size, 0, size >> 29,
        3 << 16, 1 << 16, 1, 0, 0, incompatible, 0, 0, 4, 104,
    )  # fmt: skip
    return head.ljust(512, b"\0") + b"/etc/shadow".ljust((4 << 16) - 512, b"\0")


BOOT = bytes(510) + b"\x55\xaa" + bytes((1 << 20) - 512)
PAGE = b"<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n".ljust(4096)

IMAGES: list[tuple[str, bytes | None, str, str]] = [
    ("missing", None, "raw", "there is no file"),
    ("empty", b"", "raw", "it is empty"),
    ("a page of HTML", PAGE, "raw", "a web page"),
    ("cut off", BOOT[:-100], "raw", "not complete"),
    ("zeros", bytes(1 << 20), "raw", "neither a boot sector nor a partition table"),
    ("qcow2 that is called raw", qcow2(), "raw", "it is qcow2, but the spec says raw"),
    ("raw that is called qcow2", BOOT, "qcow2", "it is raw, but the spec says qcow2"),
    ("with a backing file", qcow2(backing=512), "qcow2", "it has a backing file"),
    ("with a data file", qcow2(incompatible=4), "qcow2", "its data lie in another file"),
    ("of 60 TiB", qcow2(size=60 << 40), "qcow2", "more than 16 TiB"),
    ("another magic", b"KDMV" + BOOT[4:], "raw", "VMware disk"),
    ("flipped", bytes([qcow2()[0] ^ 1]) + qcow2()[1:], "qcow2", "neither a boot sector"),
    ("packed and not called so", b"\x28\xb5\x2f\xfd" + bytes(4092), "raw", "packed with zstd"),
]


def real_images(site: Hostile) -> None:
    """Have the images looked at on the disk, by the real reader."""

    def change(found: Facts) -> Facts:
        wanted: Spec = load(site.spec_dir, MachineDoor())
        return replace(found, images=observe_images(Notebook(MachineDoor()), wanted.images))

    site.change = change


@pytest.mark.parametrize(
    ("content", "form", "words"), [row[1:] for row in IMAGES], ids=[row[0] for row in IMAGES]
)
def test_images_that_no_tool_may_open(
    site: Hostile, tmp_path: Path, content: bytes | None, form: str, words: str
) -> None:
    path = tmp_path / f"image.{form}"
    if content is not None:
        path.write_bytes(content)
    site.edit("host.yaml", "/srv/debian.raw", str(path))
    real_images(site)
    site.refuses(4, words, "image debian")


@pytest.mark.parametrize("kind", ["directory", "fifo", "symlink"])
def test_images_that_are_no_files(site: Hostile, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.raw"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        import os  # noqa: PLC0415 - the only use

        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    site.edit("host.yaml", "/srv/debian.raw", str(path))
    real_images(site)
    site.refuses(4, f"no regular file but a {kind}", "name the image file itself")


# --- replaced between check and use


class ReplacingDoor(FaultyDoor):
    """Lets somebody replace the image at the n-th action, right before it or right after it."""

    def __init__(self, host: FakeHost, at: int, evil: bytes, *, after: bool) -> None:
        super().__init__(host)
        self._when, self._evil, self._after = at, evil, after

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        self._replace(before=True)
        result = super().run(command, watch)
        self._replace(before=False)
        return result

    def write(self, file: WriteFile) -> None:
        self._replace(before=True)
        super().write(file)
        self._replace(before=False)

    def _replace(self, *, before: bool) -> None:
        number = len(self.acted) - (0 if before else 1)
        if number == self._when and before != self._after:
            self.host.put(IMAGE.source, self._evil)


def checked() -> tuple[FakeHost, Spec]:
    """A host with a good image at hand, whose checksum the spec gives."""
    host = a_host()
    digest = digest_of(host.files[IMAGE.source].content)
    image = replace(IMAGE, check=Checksum(algorithm=Algorithm.SHA256, digest=digest))
    return host, spec(guest(), images=(image,))


def test_an_image_replaced_at_any_moment_never_runs() -> None:
    host, wanted = checked()
    door = FaultyDoor(host)
    reach(host, wanted, door=door)  # type: ignore[arg-type]
    stopped = 0
    for at in range(len(door.acted)):
        for after in (False, True):
            host, wanted = checked()
            good = host.files[IMAGE.source].content
            evil = b"evil"
            host.images[evil] = FakeImage("raw", 2 * GIB, CLOUD)
            try:
                reach(host, wanted, door=ReplacingDoor(host, at, evil, after=after))  # type: ignore[arg-type]
            except StepError:
                stopped += 1
            ran = host.libvirt.domains["web"].live if "web" in host.libvirt.domains else None
            root = host.lvm.volumes.get("vm-web")
            assert ran is None or root.holds == good, f"action {at}, after: {after}"
            complete = root is not None and "kvmkeep.state=filling" not in root.tags
            assert not complete or root.holds == good
            # The right image is put back: the run after that reaches the goal.
            host.put(IMAGE.source, good)
            reach(host, wanted)
            assert host.lvm.volumes["vm-web"].holds == good
            assert host.libvirt.domains["web"].live is not None
    assert stopped > 10


def test_a_replaced_image_is_told(site: Hostile) -> None:
    """The command line says that the world has changed, and the next run says what is wrong."""
    good = site.host.files["/srv/debian.raw"].content
    site.edit("host.yaml", "raw}", f"raw, sha256: {digest_of(good)}}}")
    asked = site.door.run

    def replacing(command: Command, watch: ProgressWatcher | None = None) -> Result:
        if command.argv[0] == "qemu-img":
            site.host.put("/srv/debian.raw", b"evil")
            site.host.images[b"evil"] = FakeImage("raw", 2 * GIB, CLOUD)
        return asked(command, watch)

    class Replacing:
        def __getattr__(self, name: str) -> object:
            return getattr(site.door, name)

        run = staticmethod(replacing)

    site.stages.host = Replacing()
    said = site.says("apply", "--yes")
    assert said.code == 7
    assert "still the one that was looked at" in said.err
    assert "Nothing was lost." in said.err
    assert "web" not in site.host.libvirt.domains
    site.stages.host = site.door
    again = site.says("apply", "--yes")
    assert again.code == 7
    assert "checksum" in again.err
    assert "web" not in site.host.libvirt.domains
