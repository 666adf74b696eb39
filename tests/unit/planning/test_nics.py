"""NICs: added, moved and taken out while the guest runs and in its definition; others stay."""

from __future__ import annotations

import copy
from xml.etree import ElementTree as ET

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.plan import Risk
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import Mac
from tests.unit.planning.build import nic, spec
from tests.unit.planning.rounds import StepError, reach
from tests.unit.planning.served import NETWORKS, commands, notes, planned, serving, site

FIRST = nic("web")
SECOND = nic("web", 1, on="internal", gateway=None)
GIVEN = nic("web", 2, on="internal", mac=Mac("52:54:00:0a:0b:0c"), gateway=None)


def macs(host: FakeHost, *, live: bool = False) -> list[tuple[str, str]]:
    domain = host.libvirt.domains["web"]
    xml = domain.live if live else domain.xml
    return [
        (one.find("mac").get("address"), one.find("source").get("bridge"))
        for one in xml.findall("devices/interface")
    ]


def both(host: FakeHost) -> list[tuple[str, str]]:
    """Return the NICs, which must be the same now and from the next start on."""
    assert macs(host) == macs(host, live=True)
    return macs(host)


def with_nics(web: Guest, *nics: object) -> Guest:
    return replace(web, nics=nics)


def test_a_nic_is_added_while_the_guest_runs() -> None:
    host, web = serving()
    more = with_nics(web, FIRST, SECOND)
    plan = planned(host, more)
    assert plan.steps[0].what == f"give it the NIC {SECOND.mac} on network internal"
    assert plan.steps[0].risk is Risk.GUEST
    assert commands(plan) == ["attach-device --domain web --file /dev/stdin --config --live"]
    reach(host, site(more))
    assert both(host) == [(FIRST.mac, "virbr1.223"), (SECOND.mac, "virbr1.2368")]
    assert planned(host, more).notes == ()


def test_it_looks_as_the_template_says() -> None:
    host, web = serving()
    template = (
        "<domain type='kvm'><os><type>hvm</type></os><devices><interface type='bridge'>"
        "<source bridge='%CHANGEME-BRIDGE-NAME%'/><model type='e1000e'/></interface>"
        "</devices></domain>"
    )
    more = spec(with_nics(web, FIRST, SECOND), networks=NETWORKS, template=template)
    reach(host, more)
    models = [one.get("type") for one in host.libvirt.domains["web"].xml.iter("model")]
    assert "e1000e" in models


def test_a_guest_that_is_off_has_it_from_its_next_start_on() -> None:
    host, web = serving()
    host.libvirt.domains["web"].live = None
    more = with_nics(web, FIRST, SECOND)
    plan = planned(host, more)
    assert plan.steps[0].what == f"give it the NIC {SECOND.mac} on network internal"
    reach(host, site(more))
    assert len(macs(host)) == 2
    assert notes(planned(host, more)) == []


def test_without_a_free_port_it_waits_for_the_next_start() -> None:
    host, web = serving()
    more = with_nics(web, FIRST, SECOND, GIVEN)
    plan = planned(host, more, ports=1)
    assert [text.split()[-1] for text in commands(plan)[:2]] == ["--live", "--config"]
    assert plan.steps[1].what.endswith("from its next start on")
    assert notes(plan) == [
        f"when it is shut down and started again, it has the NIC {GIVEN.mac} on network internal: "
        "the running machine has no free port for it"
    ]
    assert plan.notes[0].pending
    reach(host, site(more))
    host.libvirt.domains["web"].live.find("devices").remove(
        host.libvirt.domains["web"].live.findall("devices/interface")[-1]
    )
    assert planned(host, more, ports=0).empty
    assert not planned(host, more, ports=1).empty


def test_a_nic_that_the_spec_names_no_more_is_taken_out() -> None:
    host, web = serving(nics=(FIRST, SECOND))
    less = with_nics(web, FIRST)
    plan = planned(host, less)
    assert plan.steps[0].what == f"take out its NIC {SECOND.mac} on virbr1.2368"
    assert commands(plan)[:2] == [
        f"detach-interface --domain web --type bridge --mac {SECOND.mac} --config",
        f"detach-interface --domain web --type bridge --mac {SECOND.mac} --live",
    ]
    reach(host, site(less))
    assert both(host) == [(FIRST.mac, "virbr1.223")]


def test_one_whose_address_was_given_is_remembered_until_it_is_gone() -> None:
    host, web = serving()
    reach(host, site(with_nics(web, FIRST, GIVEN)))
    assert len(both(host)) == 2
    reach(host, site(web))
    assert both(host) == [(FIRST.mac, "virbr1.223")]
    assert not [
        one for one in host.libvirt.domains["web"].xml.iter() if one.get("mac") == GIVEN.mac
    ]


def test_a_guest_that_does_not_let_go_is_told_and_asked_again() -> None:
    host, web = serving(nics=(FIRST, SECOND))
    host.libvirt.stiff.add("web")
    less = with_nics(web, FIRST)
    with pytest.raises(StepError, match="the guest to let go of the NIC"):
        reach(host, site(less))
    assert (len(macs(host)), len(macs(host, live=True))) == (1, 2)
    assert commands(planned(host, less))[0].split()[-1] == "--live"
    host.libvirt.stiff.clear()
    reach(host, site(less))
    assert len(both(host)) == 1


def test_of_a_guest_that_stands_still_it_goes_at_the_next_start() -> None:
    host, web = serving(nics=(FIRST, SECOND))
    less = with_nics(web, FIRST)
    host.libvirt.domains["web"].paused = True
    assert "--live" not in " ".join(
        text for text in commands(planned(host, less)) if "metadata" not in text
    )
    reach(host, site(less))
    plan = planned(host, less, state=DomainState.PAUSED)
    assert notes(plan) == [
        f"when it is shut down and started again, it has no NIC {SECOND.mac} any more"
    ]
    assert plan.notes[0].pending


def test_a_nic_moves_to_another_bridge_and_keeps_what_else_it_has() -> None:
    host, web = serving()
    domain = host.libvirt.domains["web"]
    for tree in (domain.xml, domain.live):
        ET.SubElement(tree.find("devices/interface"), "bandwidth")
    ET.SubElement(domain.live.find("devices/interface"), "target", dev="vnet7")
    moved = with_nics(web, nic("web", on="internal", gateway=None))
    plan = planned(host, moved)
    assert plan.steps[0].what == f"move its NIC {FIRST.mac} from virbr1.223 to virbr1.2368"
    assert commands(plan)[:2] == [
        "update-device --domain web --file /dev/stdin --config",
        "update-device --domain web --file /dev/stdin --live",
    ]
    reach(host, site(moved))
    assert both(host) == [(FIRST.mac, "virbr1.2368")]
    assert len([*domain.xml.iter("bandwidth"), *domain.live.iter("bandwidth")]) == 2
    assert [*domain.xml.iter("target")][-1].get("dev") != "vnet7"


def test_what_somebody_else_did_to_our_nics_is_undone() -> None:
    host, web = serving(nics=(FIRST, SECOND))
    domain = host.libvirt.domains["web"]
    gone = domain.live.findall("devices/interface")[1]
    domain.live.find("devices").remove(gone)
    domain.xml.find("devices/interface/source").set("bridge", "br0")
    plan = planned(host, web)
    assert [step.what for step in plan.steps[:2]] == [
        f"move its NIC {FIRST.mac} from br0 to virbr1.223",
        f"give it the NIC {SECOND.mac} on network internal",
    ]
    reach(host, site(web))
    assert sorted(macs(host)) == sorted(macs(host, live=True))


def test_foreign_nics_are_left_and_told() -> None:
    host, web = serving()
    domain = host.libvirt.domains["web"]
    foreign = copy.deepcopy(domain.xml.find("devices/interface"))
    foreign.find("mac").set("address", "52:54:00:99:99:99")
    domain.live.find("devices").append(foreign)
    assert planned(host, web).empty
    assert notes(planned(host, web)) == [
        "its NIC 52:54:00:99:99:99 (on virbr1.223) is not in the spec, and not ours: "
        "it is left alone"
    ]


def test_a_nic_of_ours_that_is_not_on_a_bridge_any_more_is_left_and_told() -> None:
    host, web = serving()
    domain = host.libvirt.domains["web"]
    for tree in (domain.xml, domain.live):
        tree.find("devices/interface").set("type", "network")
        tree.find("devices/interface/source").attrib.clear()
    reach(host, site(web))
    assert notes(planned(host, web)) == [
        f"its NIC {FIRST.mac} is not on a bridge, but of type network: it is left so"
    ]
    foreign = replace(host.facts(site(web)).domains[0].nics[0], mac="52:54:00:99:99:99")
    told = notes(planned(host, web, nics=(foreign,), live=None, live_nics=()))
    assert told[0].startswith("its NIC 52:54:00:99:99:99 is not in the spec")
