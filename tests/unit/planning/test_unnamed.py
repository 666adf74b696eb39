"""Guests of ours whose file left the spec: told with what that means, and never doubled."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Guest
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import guest, network, spec
from tests.unit.planning.test_disk_change import planned, site

WEB = guest()
ADDRESS = WEB.nics[0].addresses[0]


def shop(**changes: object) -> Guest:
    """Return what a guest's file says once it is called otherwise: all but what follows a name."""
    one = guest("shop")
    return replace(one, nics=(replace(one.nics[0], **changes),))


def refusals(plan: Plan) -> list[str]:
    return [f"{one.subject}: {one.reason}" for one in plan.refusals]


HINT = (
    "if that is to be called shop: have it named web in the spec again, and its file web.yaml, "
    "then: kvmkeep rename web shop; if it is another one, let it go first: kvmkeep remove web, or "
    "kvmkeep release web"
)


@pytest.mark.parametrize("off", [True, False], ids=["off", "running"])
def test_a_renamed_file_makes_no_second_guest_with_the_address(*, off: bool) -> None:
    host = site(WEB, off=off)
    plan = planned(host, spec(shop()))
    assert refusals(plan) == [
        f"guest shop: its address {ADDRESS.ip} is that of guest web, which the spec does not name "
        "any more"
    ]
    assert [one.hint for one in plan.refusals] == [HINT]


def test_a_renamed_file_with_its_mac() -> None:
    host = site(WEB)
    other = shop(mac=WEB.nics[0].mac, addresses=(ip_interface("10.223.0.99/24"),))
    plan = planned(host, spec(other))
    assert refusals(plan) == [
        f"guest shop: its MAC address {WEB.nics[0].mac} is that of guest web, which the spec does "
        "not name any more"
    ]
    assert [one.hint for one in plan.refusals] == [HINT]


def test_another_address_or_another_network_is_another_guest() -> None:
    host = site(WEB)
    assert planned(host, spec(shop(addresses=(ip_interface("10.223.0.99/24"),)))).refusals == ()
    elsewhere = spec(shop(network="inner"), networks=(network(), network("inner", 224)))
    assert planned(host, elsewhere).refusals == ()


def test_a_nic_that_is_gone_may_be_on_any_network() -> None:
    host = site(WEB, off=True)
    devices = host.libvirt.domains["web"].xml.find("devices")
    devices.remove(devices.find("interface"))
    assert len(planned(host, spec(shop())).refusals) == 1


def test_a_guest_in_service_is_not_refused_for_one_that_was_kept_beside_it() -> None:
    host = site(WEB, off=True)
    facts = host.facts(spec(WEB))
    (domain,) = facts.domains
    before = replace(domain, name="old", uuid=guest("old").uuid, nics=(), disks=())
    assert make_plan(spec(WEB), replace(facts, domains=(domain, before))).refusals == ()


def test_what_it_means_is_told() -> None:
    host: FakeHost = site(WEB)
    (note,) = planned(host, spec()).notes
    assert note.text == (
        "it is ours, but the spec does not name it; it is left as it is, and so it is neither "
        "started after a power cut nor backed up (put its file back, or have one written: kvmkeep "
        "adopt web; or let it go: kvmkeep remove web, or kvmkeep release web)"
    )
    del host.libvirt.domains["web"]
    (note,) = planned(host, spec()).notes
    assert note.text == (
        "it is ours, but the spec does not name it; it is left as it is (to remove it: kvmkeep "
        "remove web)"
    )
