"""The file of a guest that was found."""

from __future__ import annotations

from fakes.host import FakeHost
from fakes.spec import DIRECTORY, load_text

from kvmkeep.model.found import Found, FoundGuest
from kvmkeep.model.spec import FileDisk, LvDisk
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.spec.found_files import spec_files
from kvmkeep.spec.writing import guest_text, quoted
from tests.unit.spec.texts import HOST, WEB

GIB = 1 << 30
BARE = FoundGuest(
    name=GuestName("7"), uuid="12345678-1234-4234-8234-123456789012", description="", vcpus=1,
    memory=Size(1000001 << 10),
    disks=(
        LvDisk(name=Label("root"), lv="vm-7", size=Size(GIB)),
        LvDisk(name=Label("0x1"), lv="1e3", size=Size(3 << 20), named=True),
        FileDisk(name=Label("data"), path="/data/a: b", mount="/data", size=Size(GIB)),
    ),
    nics=(), autostart=False, ready="agent", remarks=(),
)  # fmt: skip


def test_what_is_written_is_read_as_it_was_meant() -> None:
    text = guest_text(BARE)
    (guest,) = load_text({"host.yaml": HOST, "guests/7.yaml": text}).guests
    assert (guest.name, guest.uuid, guest.memory) == (BARE.name, BARE.uuid, BARE.memory)
    assert guest.disks == BARE.disks
    assert (guest.nics, guest.run.autostart) == ((), False)
    assert "It has more" not in text


def test_a_name_that_another_guest_was_born_with_is_not_its_identity() -> None:
    files = {"host.yaml": HOST, "guests/shop.yaml": f'{WEB}identity: "7"\n'}
    found = Found(guests=(BARE.name,), networks=(), new=(BARE,), refusals=(), notes=())
    (edit,), _ = spec_files(load_text(files), found, FakeHost(), DIRECTORY, {})
    guests = load_text({**files, "guests/7.yaml": edit.text}).guests
    assert [(one.name, one.identity) for one in guests] == [("7", "7-2"), ("shop", "7")]


def test_remarks_of_strangers_stay_in_their_comment() -> None:
    strange = FoundGuest(
        **{**{n: getattr(BARE, n) for n in BARE.__slots__}, "remarks": ("a\nb: 1",)}
    )
    assert "#   - a?b: 1\n" in guest_text(strange)


def test_names_that_yaml_would_read_otherwise_are_quoted() -> None:
    assert [quoted(name) for name in ("web", "1", "true", "+a")] == ["web", '"1"', '"true"', '"+a"']
