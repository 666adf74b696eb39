"""What lies where domains have the variables of their firmware, and those in the trash had."""

from __future__ import annotations

import errno
from xml.etree import ElementTree as ET

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Variables
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.trash_folder import KeptDomain, TrashFolder
from kvmkeep.observe.firmware import firmware_variables, observe_variables
from tests.unit.health.build import domain

PLACE = "/srv/web.fd"
BY_NAME = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"
WEB = domain(variables=PLACE)
KEPT = KeptDomain(name="web", uuid="u", ours=True, sources=(), variables=PLACE)
ENTRY = TrashFolder(name="web-20261123T0710Z", files=("nvram.fd",), domain=KEPT)
COPY = f"/var/lib/kvmkeep/trash/{ENTRY.name}/nvram.fd"


class Deaf(FakeHost):
    """A host on one of whose mounts a dead server is."""

    def look(self, path: str) -> ImageFile | None:
        if path.startswith("/srv/"):
            raise TimeoutError(errno.ETIMEDOUT, "it did not answer in time", path)
        return super().look(path)


def host(**files: bytes) -> FakeHost:
    made = FakeHost()
    for name, content in files.items():
        made.put({"place": PLACE, "copy": COPY}[name], content)
    return made


def seen(
    door: FakeHost, *domains: Domain, trash: tuple[TrashFolder, ...] = ()
) -> tuple[Variables, ...]:
    return observe_variables(door, domains, trash)


def copies(door: FakeHost, *domains: Domain) -> tuple[str, ...]:
    (one,) = seen(door, *domains, trash=(ENTRY,))
    return one.copies


@pytest.mark.parametrize(
    ("system", "taken"),
    [
        ("<os/>", ""),
        ("<os><nvram> /srv/x.fd </nvram></os>", "/srv/x.fd"),
        ("<os><nvram>x.fd</nvram></os>", ""),
        ("<os firmware='bios'/>", ""),
        ("<os firmware='efi'/>", BY_NAME),
        ("<os firmware='efi'><loader stateless='yes'/></os>", ""),
        ("<os firmware='efi'><loader stateless='no'/></os>", BY_NAME),
        ("<os firmware='efi'><nvram template='/usr/share/x'/></os>", BY_NAME),
        ("<os firmware='efi'><nvram>/srv/x.fd</nvram></os>", "/srv/x.fd"),
        ("<os><nvram type='file'><source file='/srv/x.fd'/></nvram></os>", "/srv/x.fd"),
        ("<os firmware='efi'><nvram><source dev='/dev/sda'/></nvram></os>", ""),
    ],
)
def test_which_file_libvirt_takes_was_tried_with_9_0(system: str, taken: str) -> None:
    root = ET.fromstring(f"<domain><name>web</name>{system}</domain>")  # noqa: S314 - our own
    assert firmware_variables(root) == taken


def test_the_files_of_our_domains_are_looked_at_and_nobody_else_s() -> None:
    door = host(place=b"x")
    other = replace(WEB, ours=False, variables="/srv/other.fd")
    assert seen(door, replace(WEB, variables=""), other) == ()
    assert seen(door, WEB, WEB, other) == (Variables(path=PLACE, file=door.look(PLACE)),)
    assert seen(host(), WEB) == (Variables(path=PLACE),)


def test_of_the_trash_that_place_is_looked_at_to_which_a_file_can_come_back() -> None:
    door = host(copy=b"x")
    assert seen(door, trash=(ENTRY,)) == (Variables(path=PLACE),)
    bare = replace(ENTRY, files=("domain.xml",))
    without = replace(ENTRY, domain=replace(KEPT, variables=""))
    assert seen(door, trash=(bare, without, replace(ENTRY, domain=None))) == ()


def test_a_file_that_holds_what_the_trash_does_is_known() -> None:
    assert copies(host(place=b"same", copy=b"same")) == (ENTRY.name,)
    assert copies(host(place=b"else", copy=b"same")) == ()
    assert copies(host(place=b"longer", copy=b"same")) == ()
    assert copies(host(place=b"same")) == ()
    huge = host(place=b"same", copy=b"same")
    for path in (PLACE, COPY):
        huge.files[path].size = 65 << 20
    assert copies(huge) == ()
    link = host(place=b"same", copy=b"same")
    link.files[PLACE].kind = "symlink"
    assert copies(link) == ()


def test_a_file_that_a_domain_has_is_nothing_but_its_own() -> None:
    both = host(place=b"same", copy=b"same")
    assert copies(both, WEB) == ()
    assert copies(both, replace(WEB, ours=False)) == ()


def test_what_does_not_answer_is_told_with_it_alone() -> None:
    door = Deaf()
    door.put("/root/app.fd", b"x")
    web, app = seen(door, WEB, replace(WEB, variables="/root/app.fd"))
    assert web == Variables(path=PLACE, problem="it did not answer in time")
    assert app.file is not None
