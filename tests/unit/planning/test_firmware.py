from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Firmware, Spec
from kvmkeep.planning.domains.xml import BASE
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, nic, spec
from tests.unit.planning.rounds import reach

WWW = guest("www")
NEW = guest("web", nics=(nic("web", number=7),))
FILE = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"
OTHER = "/var/lib/libvirt/qemu/nvram/www_VARS.fd"
UEFI = BASE.replace("<os>", "<os firmware='efi'>")
FLASH = BASE.replace("<os>", "<os><loader type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>")
GIVEN = FLASH.replace("</loader>", "</loader><nvram>/srv/%CHANGEME-VM-NAME%.fd</nvram>")


def site(
    *guests: object, nvram: str = FILE, template: str = UEFI, kept: str = "", owner: str = ""
) -> Plan:
    """Plan on a host where www has the file `nvram`; it was called web before."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(WWW))
    wanted: Spec = spec(*(guests or (NEW, WWW)), template=template)
    facts = host.facts(wanted)
    domains = tuple(replace(one, variables=nvram, name=owner or one.name) for one in facts.domains)
    saved = facts.saved
    if kept:
        del host.libvirt.domains["www"]
        domains = (replace(domains[0], name="old", uuid=guest("old").uuid, disks=()),)
        (one,) = host.facts(wanted).saved
        assert one.domain
        saved = (replace(one, domain=replace(one.domain, variables=kept)),)
    return make_plan(wanted, replace(facts, domains=domains, saved=saved))


def refused(plan: Plan) -> list[str]:
    return [f"{one.subject}: {one.reason}" for one in plan.refusals if "firmware" in one.reason]


@pytest.mark.parametrize("template", [UEFI, FLASH])
def test_a_new_guest_gets_no_variables_that_a_renamed_one_still_has(template: str) -> None:
    (found,) = (one for one in site(template=template).refusals if "firmware" in one.reason)
    assert found.subject == "guest web"
    assert found.reason == f"the variables of its firmware would be those of the domain www, {FILE}"
    assert "virsh edit www" in found.hint


def test_a_name_of_libvirt_s_is_typed_as_one_word() -> None:
    (found,) = (one for one in site(owner="my guest").refusals if "firmware" in one.reason)
    assert found.hint.endswith("virsh edit 'my guest'")


def test_a_template_may_say_where_they_lie() -> None:
    assert refused(site(template=GIVEN)) == []
    assert len(refused(site(template=GIVEN, nvram="/srv/web.fd"))) == 1


@pytest.mark.parametrize("template", ["", BASE, "<domain/>", "<domain>"])
def test_a_guest_without_uefi_has_none(template: str) -> None:
    assert refused(site(template=template)) == []


def test_a_guest_s_own_firmware_counts_before_that_of_the_template() -> None:
    uefi, bios = (replace(NEW, firmware=one) for one in (Firmware.UEFI, Firmware.BIOS))
    assert len(refused(site(uefi, WWW, template=BASE))) == 1
    assert refused(site(bios, WWW, template=UEFI)) == []


def test_others_are_left_alone() -> None:
    assert refused(site(nvram="")) == []
    assert refused(site(nvram=OTHER)) == []
    assert refused(site(WWW)) == []


def test_a_definition_that_is_lost_comes_back_with_the_variables_that_it_had() -> None:
    assert refused(site(WWW, kept="/srv/of-www.fd")) == []
    assert len(refused(site(WWW, kept=FILE))) == 1
