"""A network's own VLAN interface in the bridge of another one: it is taken back, never deleted."""

from __future__ import annotations

from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.health.judge import judge
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from tests.unit.health.build import VITALS
from tests.unit.planning.build import guest, network, nic, spec
from tests.unit.planning.rounds import reach

PUBLIC, INTERNAL = network(), network("internal", 68)
FIRST, SECOND = PUBLIC.vlan_interface, INTERNAL.vlan_interface
WEB = guest(nics=(nic("web", on="public"),))


def made() -> tuple[FakeHost, Spec]:
    host, wanted = FakeHost(), spec(networks=(PUBLIC, INTERNAL))
    reach(host, wanted)
    return host, wanted


def uuid(host: FakeHost, interface: str) -> str:
    return next(p.uuid for p in host.nm.profiles.values() if p.interface == interface)


def subjects(plan: Plan) -> list[str]:
    return [step.subject for step in plan.steps]


def masters(host: FakeHost) -> dict[str, str]:
    return {one.name: one.master for one in host.nm.links.values() if one.name in (FIRST, SECOND)}


def test_it_leaves_before_the_bridge_that_it_is_in_is_changed() -> None:
    host, wanted = made()
    host.nm.links[SECOND].master = PUBLIC.bridge
    assert subjects(make_plan(wanted, host.facts(wanted))) == ["network internal"]
    changed = replace(wanted, networks=(replace(PUBLIC, ageing_time=300), INTERNAL))
    plan = make_plan(changed, host.facts(changed))
    assert plan.refusals == ()
    assert subjects(plan) == ["network internal", "network public"]
    reach(host, changed)
    assert masters(host) == {FIRST: PUBLIC.bridge, SECOND: INTERNAL.bridge}


def test_one_that_is_to_become_another_networks_leaves_first() -> None:
    host = FakeHost()
    reach(host, spec(networks=(PUBLIC,)))
    moved = replace(PUBLIC, vlan=224, vlan_interface="uplink0.224")
    other = replace(INTERNAL, vlan_interface=FIRST)
    wanted = spec(networks=(moved, other))
    assert subjects(make_plan(wanted, host.facts(wanted))) == ["network internal", "network public"]
    reach(host, wanted)
    assert host.nm.links["uplink0.224"].master == PUBLIC.bridge
    assert host.nm.links[FIRST].master == INTERNAL.bridge


def test_a_run_that_leaves_its_network_out_is_refused() -> None:
    host, wanted = made()
    host.nm.links[SECOND].master = PUBLIC.bridge
    changed = replace(wanted, guests=(WEB,), networks=(replace(PUBLIC, ageing_time=300), INTERNAL))
    found = make_plan(changed, host.facts(changed), ["web"]).refusals
    (refusal,) = [one for one in found if one.subject == "network public"]
    assert refusal.hint == f"have it in {INTERNAL.bridge} first: kvmkeep apply, of all guests"


def test_of_two_that_changed_places_one_is_taken_out_by_hand() -> None:
    host, wanted = made()
    host.nm.links[FIRST].master = INTERNAL.bridge
    host.nm.links[SECOND].master = PUBLIC.bridge
    (refusal,) = make_plan(wanted, host.facts(wanted)).refusals
    assert refusal.subject == "network public"
    assert refusal.hint == (
        f"take it out first: nmcli connection modify uuid {uuid(host, SECOND)} "
        f"connection.master {INTERNAL.bridge}; ip link set dev {SECOND} nomaster"
    )
    host.nm.links[SECOND].master = ""
    reach(host, wanted)
    assert masters(host) == {FIRST: PUBLIC.bridge, SECOND: INTERNAL.bridge}


def test_check_tells_to_apply() -> None:
    host, wanted = made()
    host.nm.links[SECOND].master = PUBLIC.bridge
    facts = host.facts(wanted)
    found = judge(wanted, facts, make_plan(wanted, facts), VITALS)
    (one,) = [one for one in found if one.name == "bridge-other-port"]
    assert (one.subject, one.todo) == ("network public", "kvmkeep plan; kvmkeep apply")
