"""A network's `bridge` changes: all guests move with it, or nothing is done."""

from __future__ import annotations

import copy
from xml.etree import ElementTree as ET

from fakes.host import CLOUD, FakeHost, FakeImage
from fakes.nm import FakeLink
from msgspec.structs import replace

from kvmkeep.model.health import Severity
from kvmkeep.model.names import UNDO_FILE
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.plan import make_plan
from tests.unit.health.build import BRIDGE, PORT, SPEC, TAP, domain, findings, link
from tests.unit.planning.build import GIB, IMAGE, guest, network, nic, spec
from tests.unit.planning.rounds import reach

WEB, DB = guest("web"), guest("db", nics=(nic("db", 1),))
NEW = network(bridge="br223")


def two() -> FakeHost:
    """Return a host with two running guests on one network."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(WEB, DB))
    for number, name in enumerate(("web", "db")):
        tree = host.libvirt.domains[name].live
        ET.SubElement(tree.find("devices/interface"), "target", dev=f"vnet{number}")
        host.nm.links[f"vnet{number}"] = FakeLink(f"vnet{number}", "tun", master="virbr1.223")
    return host


def stranger(host: FakeHost) -> None:
    """Add a domain of somebody else on the guests' bridge."""
    other = copy.deepcopy(host.libvirt.domains["db"])
    for tree in (other.xml, other.live):
        tree.find("name").text = "other"
        tree.find("uuid").text = "11111111-2222-3333-4444-555555555555"
        tree.find("devices/interface/mac").set("address", "52:54:00:99:99:98")
        for one in tree.findall("devices/disk") + tree.findall("metadata"):
            (tree if one.tag == "metadata" else tree.find("devices")).remove(one)
    host.libvirt.domains["other"] = other


def refused(host: FakeHost, wanted: Spec, *only: str) -> list[tuple[str, str, str]]:
    found = make_plan(wanted, host.facts(wanted), only).refusals
    return [(one.subject, one.reason, one.hint) for one in found]


def test_of_some_guests_it_is_refused_while_others_are_on_it() -> None:
    host = two()
    assert refused(host, spec(WEB, DB, networks=(NEW,)), "web") == [
        (
            "network public",
            "its VLAN goes from bridge virbr1.223 to br223, and these would stay behind, without "
            "a way out: db",
            "have all of them move with it: kvmkeep apply, of all guests; or keep "
            "`bridge: virbr1.223`",
        )
    ]
    assert refused(host, spec(WEB, DB), "web") == []


def test_all_of_them_move_before_anything_else_is_done() -> None:
    host = two()
    wanted = spec(replace(WEB, memory=Size(GIB)), DB, networks=(NEW,))
    plan = make_plan(wanted, host.facts(wanted))
    assert plan.refusals == ()
    assert [step.what for step in plan.steps[:3]] == [
        "complete bridge br223 and uplink0.223",
        f"move its NIC {WEB.nics[0].mac} from virbr1.223 to br223",
        f"move its NIC {DB.nics[0].mac} from virbr1.223 to br223",
    ]
    kept = [step.subject for step in plan.steps if "keep its definition" in step.what]
    assert kept == ["guest web", "guest db"]
    reach(host, wanted)
    assert refused(host, wanted, "web") == []


def test_moves_rest_on_what_the_network_rests_on() -> None:
    host = two()
    host.put(UNDO_FILE, b"")
    wanted = spec(WEB, DB, networks=(NEW,))
    moves = [
        step
        for step in make_plan(wanted, host.facts(wanted)).steps
        if step.what.startswith("move its NIC")
    ]
    assert len(moves) == 2
    assert all("unfinished change" in step.assumes for step in moves)


def test_a_domain_of_others_would_stay_behind() -> None:
    host = two()
    stranger(host)
    ((_, reason, hint),) = refused(host, spec(WEB, DB, networks=(NEW,)))
    assert reason.endswith("without a way out: other")
    assert hint.startswith("shut down other and put br223 there: virsh edit NAME; or keep")


def test_a_nic_of_others_in_a_guest_would_stay_behind() -> None:
    host = two()
    for tree in (host.libvirt.domains["db"].xml, host.libvirt.domains["db"].live):
        foreign = copy.deepcopy(tree.find("devices/interface"))
        foreign.find("mac").set("address", "52:54:00:99:99:99")
        tree.find("devices").append(foreign)
    ((_, reason, _),) = refused(host, spec(WEB, DB, networks=(NEW,)))
    assert reason.endswith("without a way out: db")


def test_a_port_that_somebody_took_astray_comes_back() -> None:
    host = two()
    stranger(host)
    host.nm.links["br9"] = FakeLink("br9", "bridge")
    host.nm.links["uplink0.223"].master = "br9"
    for tree in (host.libvirt.domains["other"].xml, host.libvirt.domains["other"].live):
        tree.find("devices/interface/source").set("bridge", "br9")
    assert refused(host, spec(WEB, DB)) == []


def test_networks_that_change_their_bridges_leave_nobody_behind() -> None:
    host = two()
    wanted = spec(
        WEB, DB, networks=(network(bridge="br9"), network("internal", 68, bridge="virbr1.223"))
    )
    assert refused(host, wanted, "web") == []


def test_a_guest_on_a_bridge_that_its_vlan_has_left_is_cut_off() -> None:
    host = two()
    wanted = spec(WEB, DB, networks=(NEW,))
    facts = host.facts(wanted)
    own = [one for one in facts.nm.profiles if one.interface == "virbr1.223"]
    links = (link("uplink0"), BRIDGE, replace(BRIDGE, name="br223"), replace(PORT, master="br223"))
    nm = replace(facts.nm, profiles=tuple(own))
    networks = (network(bridge="br223", ageing_time=300, stp=False),)
    for uuid, todo in (
        (SPEC.guests[0].uuid, "kvmkeep plan; kvmkeep apply"),
        ("1-2", "have it name another bridge (virsh edit web), and start it anew"),
    ):
        (found,) = (
            one
            for one in findings(
                replace(SPEC, networks=networks), links=(*links, TAP), nm=nm,
                domains=(domain(uuid=uuid),),
            )
            if one.name == "guest-cut-off"
        )  # fmt: skip
        assert found.severity is Severity.CRITICAL
        assert found.what == (
            f"its NIC {WEB.nics[0].mac} (vnet0) is on virbr1.223, which has no port but guests' "
            "and is no network's of the spec"
        )
        assert found.todo == todo
