"""An image that boots under one firmware alone, and guests that are to have the other one."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Firmware, Guest
from kvmkeep.planning.domains.firmware_choice import firmware_of
from kvmkeep.planning.domains.xml import BASE, domain_xml
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, network, spec
from tests.unit.planning.rounds import reach

BIOS, UEFI = Firmware.BIOS, Firmware.UEFI
EFI = BASE.replace("<os>", "<os firmware='efi'>")
FLASH = BASE.replace(
    "<os>",
    "<os><loader type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>"
    "<nvram>/srv/%CHANGEME-VM-NAME%.fd</nvram>",
)


def planned(
    boots: tuple[Firmware, ...] | None, firmware: Firmware | None = None, template: str = ""
) -> Plan:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec())
    wanted = spec(guest(firmware=firmware), template=template)
    facts = host.facts(wanted)
    (known,) = facts.images
    known = replace(known, contents=replace(CLOUD, boots=boots))
    return make_plan(wanted, replace(facts, images=(known,)))


def told(plan: Plan) -> list[str]:
    return [note.text for note in plan.notes if "boots" in note.text]


@pytest.mark.parametrize(
    ("boots", "template", "reason", "hint"),
    [
        ((UEFI,), "", "boots by UEFI alone, and the base template has a BIOS", "firmware: uefi"),
        ((BIOS,), EFI, "boots by BIOS alone, and the base template has UEFI", "firmware: bios"),
        ((BIOS,), FLASH, "boots by BIOS alone, and the base template has UEFI", "firmware: bios"),
    ],
)
def test_an_image_for_the_other_firmware_is_refused_with_the_key_to_write(
    boots: tuple[Firmware, ...], template: str, reason: str, hint: str
) -> None:
    (refusal,) = planned(boots, template=template).refusals
    assert refusal.reason == f"image debian {reason}"
    assert refusal.hint == f"write `{hint}` into its file, or use another image"
    (wanted,) = boots
    plan = planned(boots, wanted, template)
    assert plan.refusals == ()
    assert told(plan) == []


@pytest.mark.parametrize("boots", [None, (BIOS,), (BIOS, UEFI)])
def test_an_image_that_boots_or_was_never_asked_is_not_blamed(
    boots: tuple[Firmware, ...] | None,
) -> None:
    plan = planned(boots)
    assert plan.refusals == ()
    assert told(plan) == []


@pytest.mark.parametrize(("boots", "firmware"), [((), None), ((UEFI,), BIOS)])
def test_what_the_look_may_not_know_is_told_and_not_refused(
    boots: tuple[Firmware, ...], firmware: Firmware | None
) -> None:
    plan = planned(boots, firmware)
    assert plan.refusals == ()
    (text,) = told(plan)
    assert text.startswith("nothing was found in image debian that BIOS boots")


def system(one: Guest, template: str) -> ET.Element:
    site = spec(one, template=template)
    xml = domain_xml(site, one, {network().name: network()})
    found = ET.fromstring(xml).find("os")  # noqa: S314 - our own
    assert found is not None
    return found


@pytest.mark.parametrize("template", ["", EFI, FLASH])
def test_a_guest_is_made_with_the_firmware_of_its_file(template: str) -> None:
    as_it_is = guest()
    assert firmware_of(spec(template=template), as_it_is) is (UEFI if template else BIOS)
    bios = system(guest(firmware=BIOS), template)
    assert bios.get("firmware") is None
    assert [one.tag for one in bios] == ["type", "boot"]
    uefi = system(guest(firmware=UEFI), template)
    if template:
        assert ET.tostring(uefi) == ET.tostring(system(as_it_is, template)), (
            "as the template has it"
        )
    else:
        assert uefi.get("firmware") == "efi"
        assert uefi.find("firmware/feature").attrib == {"enabled": "no", "name": "enrolled-keys"}


def test_a_guest_in_service_keeps_its_firmware_and_that_is_told() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(guest()))
    for firmware, notes in ((None, 0), (BIOS, 0), (UEFI, 1)):
        wanted = spec(guest(firmware=firmware))
        plan = make_plan(wanted, host.facts(wanted))
        assert plan.steps == ()
        assert len(plan.notes) == notes
    assert "it boots by BIOS, and the spec says firmware: uefi" in plan.notes[0].text
