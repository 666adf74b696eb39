"""What is written into the domain: labels, description, and what is remembered of NICs."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from kvmkeep.model.domain_facts import GivenNic
from kvmkeep.model.spec import FirstBoot, Route
from kvmkeep.model.units import Mac
from kvmkeep.planning.domains.metadata import settings_of
from tests.unit.planning.build import nic
from tests.unit.planning.rounds import reach
from tests.unit.planning.served import commands, notes, planned, serving, site

OWN = nic("web", mac=Mac("52:54:00:0a:0b:0c"))


@pytest.mark.parametrize("runs", [True, False])
def test_labels_and_description_go_into_the_domain(*, runs: bool) -> None:
    host, web = serving(labels=("old",))
    domain = host.libvirt.domains["web"]
    ET.SubElement(domain.xml.find("metadata"), "{urn:x}other")
    if not runs:
        domain.live = None
    other = replace(web, labels=("prod", "x<y"), description="--the shop\nof the house")
    plan = planned(host, other)
    assert [step.what for step in plan.steps[:2]] == [
        "label it prod, x<y", "describe it as the spec does",
    ]  # fmt: skip
    assert all(("--live" in text) is runs for text in commands(plan))
    reach(host, site(other))
    (found,) = host.facts(site(other)).domains
    assert (found.labels, found.description) == (other.labels, other.description)
    assert found.given == (GivenNic(mac=web.nics[0].mac, settings=settings_of(web.nics[0])),)
    assert domain.xml.find("metadata/{urn:x}other") is not None
    if runs:
        assert domain.live.findtext("description") == other.description


def test_labels_that_the_spec_has_no_more_go_and_a_description_stays() -> None:
    host, web = serving(labels=("old",), description="the shop")
    without = replace(web, labels=(), description="")
    assert [step.what for step in planned(host, without).steps[:-1]] == ["take its labels away"]
    reach(host, site(without))
    (found,) = host.facts(site(without)).domains
    assert (found.labels, found.description) == ((), "the shop")


def test_what_the_guest_was_given_at_its_first_boot_is_remembered() -> None:
    routes = (Route(to=ip_network("10.0.0.0/8"), via=ip_address("10.223.0.1")),)
    first = nic("web", routes=routes, search=("example.org",))
    host, web = serving(
        nics=(first, nic("web", 1, "internal", dhcp=True, addresses=(), gateway=None))
    )
    assert notes(planned(host, web)) == []
    moved = replace(first, addresses=(ip_interface("10.223.0.99/24"),), gateway=None, routes=())
    (note,) = planned(host, replace(web, nics=(moved, web.nics[1]))).notes
    assert note.text == (
        f"its NIC {first.mac} on network public was given "
        "addresses 10.223.0.20/24 (the spec says 10.223.0.99/24); "
        "gateway 10.223.0.254 (the spec says none); "
        "routes 10.0.0.0/8 via 10.223.0.1 (the spec says none): what it has inside is its own; "
        "change it there, or while it is off with `kvmkeep tweak web --addresses`"
    )
    assert not note.pending
    assert planned(host, replace(web, nics=(moved, web.nics[1]))).empty


def test_of_a_guest_without_a_first_boot_nothing_is_known() -> None:
    host, web = serving(first_boot=FirstBoot.NONE, nics=(OWN,))
    assert host.facts(site(web)).domains[0].given == (GivenNic(mac=OWN.mac),)
    assert planned(host, replace(web, nics=(replace(OWN, addresses=(), dhcp=True),))).notes == ()


def test_nics_are_remembered_only_where_that_is_of_use() -> None:
    host, web = serving()
    assert planned(host, web, given=()).empty
    named = replace(web, nics=(OWN,))
    (domain,) = host.facts(site(web)).domains
    known = replace(domain.nics[0], mac=OWN.mac)
    changes = {"nics": (known,), "live_nics": (known,), "given": ()}
    assert planned(host, named, **changes).steps[0].what == "remember its NICs"
    assert planned(host, replace(named, adopted=True), **changes).empty
    stale = {**changes, "given": (GivenNic(mac="52:54:00:00:00:01"),)}
    assert planned(host, replace(named, adopted=True), **stale).steps[0].what == "remember its NICs"
