"""A guest that was renamed: what its UUID and MAC addresses are derived from."""

from __future__ import annotations

import pytest
from fakes.spec import load_text

from kvmkeep.model.names import guest_mac, guest_uuid
from kvmkeep.model.units import GuestName
from kvmkeep.spec.identity import takes_identity
from tests.unit.spec.texts import HOST, WEB, changed, mistakes

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
