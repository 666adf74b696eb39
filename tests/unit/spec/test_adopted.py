"""Guests that were taken over: what they need, and what can't be said of them."""

from __future__ import annotations

from fakes.spec import load_text

from kvmkeep.model.spec import FirstBoot
from kvmkeep.model.units import Size
from tests.unit.spec.texts import BARE, HOST, KEY, mistakes

UUID = "2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"
OLD = f"""\
adopted: true
uuid: {UUID.upper()}
vcpus: 1
memory: 1000001KiB
disks: {{root: 4GiB}}
nics:
  - {{network: internal, mac: 52:54:00:00:00:01}}
"""


def test_it_is_the_machine_that_it_was() -> None:
    (guest,) = load_text({"host.yaml": HOST, "guests/old.yaml": OLD}).guests
    assert (guest.adopted, guest.uuid) == (True, UUID)
    assert guest.memory == Size(1000001 << 10)
    assert (guest.image, guest.login.user, guest.first_boot) == ("", "", FirstBoot.NONE)
    (nic,) = guest.nics
    assert (nic.mac, nic.dhcp, nic.addresses) == ("52:54:00:00:00:01", False, ())


def test_what_it_lacks_and_what_it_can_not_have() -> None:
    text = OLD.replace(f"uuid: {UUID.upper()}\n", "").replace(", mac: 52:54:00:00:00:01", "")
    text = text.replace("1000001KiB", "1000.5KiB") + (
        f"image: rocky9\nlogin: {{user: me, ssh_keys: ['{KEY}']}}\nfirst_boot: auto\n"
        "hostname: it\nuser_data: {a: 1}\n"
    )
    told = mistakes({"host.yaml": HOST, "guests/old.yaml": text})
    assert [line.removeprefix("guests/old.yaml:") for line in told] == [
        "1:1: uuid is missing (virsh domuuid tells it)",
        "3:9: memory: '1000.5KiB' is not a whole number of KiB",
        "6:5: mac is missing (virsh domiflist tells it)",
        "7:1: image has no effect on an adopted guest (remove it)",
        "8:1: login has no effect on an adopted guest (remove it)",
        "9:1: first_boot has no effect on an adopted guest (remove it)",
        "10:1: hostname has no effect on an adopted guest (remove it)",
        "11:1: user_data has no effect on an adopted guest (remove it)",
    ]


def test_a_guest_that_is_made_needs_an_image() -> None:
    text = BARE.replace("image: rocky9\n", "")
    (line,) = mistakes({"host.yaml": HOST, "guests/a.yaml": text})
    assert line == "guests/a.yaml:1:1: image is missing (such as image: rocky9)"


def test_a_uuid_is_one_and_nobody_elses() -> None:
    for wrong in ("2f5b0b0e", "00000000-0000-0000-0000-000000000000"):
        told = mistakes({"host.yaml": HOST, "guests/a.yaml": f"{BARE}uuid: {wrong}\n"})
        assert f"'{wrong}' is not a UUID" in told[0]
    (derived,) = load_text({"host.yaml": HOST, "guests/a.yaml": BARE}).guests
    told = mistakes(
        {"host.yaml": HOST, "guests/a.yaml": BARE, "guests/b.yaml": f"{BARE}uuid: {derived.uuid}\n"}
    )
    assert told == [
        f"guests/b.yaml:6:7: the UUID {derived.uuid} is that of guests/a.yaml already, "
        "at guests/a.yaml:1:1 (each guest needs its own)"
    ]
