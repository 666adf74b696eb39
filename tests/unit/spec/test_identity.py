"""A guest that was renamed: what its UUID and MAC addresses are derived from."""

from __future__ import annotations

import pytest
from fakes.spec import load_text

from kvmkeep.model.names import guest_mac, guest_uuid
from kvmkeep.model.units import GuestName, parse_guest_name
from kvmkeep.spec.identity import free_identity, takes_identity
from tests.unit.spec.texts import BARE, HOST, WEB, changed, mistakes

OLD = GuestName("web")


def test_uuid_and_macs_are_those_of_the_name_it_was_born_with() -> None:
    files = {"host.yaml": HOST, "guests/shop.yaml": f"{WEB}\nidentity: web\n"}
    (guest,) = load_text(files).guests
    host = load_text(files).host.name
    assert (guest.name, guest.identity, guest.uuid) == ("shop", OLD, guest_uuid(host, OLD))
    assert guest.nics[0].mac == guest_mac(host, OLD, 0)
    assert guest.root.lv == "vm-shop"


def test_two_guests_of_one_identity() -> None:
    told = mistakes(
        {"host.yaml": HOST, "guests/shop.yaml": f"{WEB}\nidentity: old\n",
         "guests/web.yaml": f"{changed(WEB, '10.5.68.237', '10.5.68.238')}\nidentity: old\n"}
    )  # fmt: skip
    assert any("the identity old is that of guests/shop.yaml already" in line for line in told)


ADOPTED = """\
adopted: true
uuid: 2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01
vcpus: 1
memory: 1GiB
disks: {root: 4GiB}
nics: [{network: internal, mac: "52:54:00:00:00:01"}]
"""
SHARED = "the identity web is that of guests/web-old.yaml already, at guests/web-old.yaml:7:1 "
WAY = "write `identity: web-2` into this file: backups that there are stay with the other"


def test_an_adopted_guest_that_was_renamed_and_a_new_one_of_its_old_name() -> None:
    files = {"host.yaml": HOST, "guests/web-old.yaml": f"{ADOPTED}identity: web\n"}
    made = load_text({"host.yaml": HOST, "guests/web.yaml": WEB}).guests[0]
    (line,) = mistakes({**files, "guests/web.yaml": WEB})
    assert line == (
        f"guests/web.yaml:1:1: {SHARED}({WAY}; if the host has it already, `uuid: {made.uuid}` "
        f"and `mac: {made.nics[0].mac}` as well)"
    )
    own = f'{{mac: "{made.nics[0].mac}", network'
    text = f"{WEB.replace('{network', own)}uuid: {made.uuid}\n"
    (line,) = mistakes({**files, "guests/web.yaml": text})
    assert line.endswith(f"({WAY})")
    guests = load_text({**files, "guests/web.yaml": f"{text}identity: web-2\n"}).guests
    new, old = guests
    assert (new.name, new.identity, new.uuid) == ("web", "web-2", made.uuid)
    assert new.nics[0].mac == made.nics[0].mac
    assert (old.name, old.identity) == ("web-old", "web")


def test_the_one_that_was_renamed_is_never_told_to_change() -> None:
    """Its older backups hang on its identity, whichever file comes first."""
    files = {
        "host.yaml": HOST, "guests/a.yaml": BARE, "guests/a-2.yaml": BARE,
        "guests/b.yaml": f"{BARE}identity: a\n",
    }  # fmt: skip
    (line,) = mistakes(files)
    assert line == (
        "guests/a.yaml:1:1: the identity a is that of guests/b.yaml already, at "
        f"guests/b.yaml:6:1 ({WAY.replace('web-2', 'a-3')})"
    )


def test_two_adopted_guests_of_one_identity() -> None:
    second = ADOPTED.replace("0d6a3f0c9a01", "0d6a3f0c9a02").replace("00:01", "00:02")
    (line,) = mistakes(
        {
            "host.yaml": HOST, "guests/web-old.yaml": f"{ADOPTED}identity: web\n",
            "guests/web.yaml": second,
        }
    )  # fmt: skip
    assert line == f"guests/web.yaml:1:1: {SHARED}({WAY})"


def test_an_identity_that_is_free() -> None:
    assert free_identity(OLD, {"web", "web-2"}) == "web-3"
    assert parse_guest_name(free_identity(GuestName("a" * 63), ()))


def test_an_identity_that_can_be_no_name() -> None:
    (line,) = mistakes({"host.yaml": HOST, "guests/web.yaml": f"{WEB}\nidentity: ../x\n"})
    assert "identity: '../x' can't be" in line


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        (WEB, True),
        (f"{WEB}\nidentity: older\n", True),
        (f"{WEB}\n# the end", True),
        (f"{WEB}\n...\n", False),
        ("{image: rocky9}", False),
        ("", True),
        ("\xff", False),
        ("description: |\n  text\n", True),
    ],
)
def test_files_that_take_a_further_line(text: str, takes: bool) -> None:  # noqa: FBT001
    assert takes_identity(text.encode("latin-1")) is takes
