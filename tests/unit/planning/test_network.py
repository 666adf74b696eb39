from __future__ import annotations

from ipaddress import ip_address

import pytest
from fakes.host import FakeHost
from fakes.nm import FakeLink, FakeProfile
from msgspec.structs import replace

from kvmkeep.health.judge import judge
from kvmkeep.model.command import Checkpoint, Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import UNDO_FILE
from kvmkeep.model.network_facts import Management, Undoing
from kvmkeep.model.plan import Note, Plan
from kvmkeep.model.spec import Network, Spec
from kvmkeep.planning.plan import make_plan
from tests.unit.health.build import VITALS, domain
from tests.unit.planning.build import network, spec
from tests.unit.planning.rounds import reach

BRIDGE, PORT = "virbr1.223", "uplink0.223"


def wanted(**changes: object) -> Spec:
    return spec(networks=(network(**changes),))


def made(**changes: object) -> tuple[FakeHost, Spec]:
    host, one = FakeHost(), wanted(**changes)
    reach(host, one)
    return host, one


def plan(host: FakeHost, one: Spec) -> Plan:
    return make_plan(one, host.facts(one))


def reasons(found: Plan) -> str:
    return "\n".join(f"{one.subject}: {one.reason}" for one in found.refusals)


def body(found: Plan) -> tuple[Command, ...]:
    """The commands under the checkpoint of a plan's only step."""
    (step,) = found.steps
    (checkpoint,) = step.actions
    assert isinstance(checkpoint, Checkpoint)
    return checkpoint.body


def nmcli(found: Plan) -> list[str]:
    """The same, without their first word."""
    return [str(command).removeprefix("nmcli ") for command in body(found)]


@pytest.mark.parametrize(
    "changes",
    [{}, {"stp": False, "forward_delay": 0}, {"mtu": 1400}, {"ageing_time": 300, "vlan": 68}],
)
def test_made_once_and_then_as_the_spec_says(changes: dict[str, object]) -> None:
    host, one = made(**changes)
    assert plan(host, one).empty
    bridge = host.nm.links[one.networks[0].bridge]
    assert (bridge.ageing_time, bridge.stp) == (one.networks[0].ageing_time, one.networks[0].stp)


def test_nmcli_adds_what_the_site_describes() -> None:
    add_bridge, add_port, up = nmcli(plan(FakeHost(), wanted(mtu=1400)))
    assert add_bridge.startswith(f"connection add type bridge ifname {BRIDGE} con-name {BRIDGE} ")
    for pair in ("bridge.ageing-time 0", "ipv4.method disabled", "ipv6.method disabled",
                 "connection.stable-id kvmkeep", "802-3-ethernet.mtu 1400"):  # fmt: skip
        assert pair in add_bridge
    for pair in ("vlan.parent uplink0", "vlan.id 223", f"connection.master {BRIDGE}",
                 "connection.slave-type bridge", "connection.stable-id kvmkeep"):  # fmt: skip
        assert pair in add_port
    assert up.startswith("--wait 30 connection up uuid ")


def test_setting_that_differs_is_changed_without_taking_guests_off() -> None:
    host, one = made()
    changed = spec(networks=(network(ageing_time=300),))
    modify, reapply = nmcli(plan(host, changed))
    assert modify.endswith("bridge.ageing-time 300")
    assert reapply == f"device reapply {BRIDGE}"
    reach(host, changed)
    assert host.nm.links[BRIDGE].ageing_time == 300
    reach(host, one)


def test_stp_shortens_the_ageing_time_while_the_topology_changes() -> None:
    host, one = made()
    link = host.nm.links[BRIDGE]
    link.ageing_time, link.topology_change = 30, True
    assert plan(host, one).empty
    link.ageing_time = 31
    assert nmcli(plan(host, one)) == [f"device reapply {BRIDGE}"]


def test_a_change_is_kept_while_the_topology_of_the_one_before_it_changes() -> None:
    host, _ = made(ageing_time=300)
    host.nm.links[BRIDGE].ageing_time, host.nm.links[BRIDGE].topology_change = 30, True
    reach(host, changed := wanted(ageing_time=300, forward_delay=4))
    assert plan(host, changed).empty
    (change,) = plan(host, wanted(ageing_time=600)).steps[0].actions
    assert isinstance(change, Checkpoint)
    (ageing,) = [poll for poll in change.verify if "ageing" in poll.message]
    # Of what the kernel sets while the topology changes, that by the delay of now may still be
    # there.
    assert str(ageing.command) == (
        "grep --line-regexp --extended-regexp -e '60000|3000|800' "
        f"/sys/class/net/{BRIDGE}/bridge/ageing_time"
    )
    assert ageing.limit == 4, "a change that is wrong is not left as it is for a minute"


def test_bridge_changed_behind_network_managers_back() -> None:
    host, one = made()
    host.nm.links[BRIDGE].stp = False
    assert nmcli(plan(host, one)) == [f"device reapply {BRIDGE}"]


def test_what_somebody_switched_off_is_switched_on() -> None:
    host, one = made()
    host.nm.links[BRIDGE].up = host.nm.links[PORT].up = False
    assert [str(command) for command in body(plan(host, one))] == [
        f"ip link set dev {BRIDGE} up", f"ip link set dev {PORT} up",
    ]  # fmt: skip
    reach(host, one)
    # A VLAN goes off with its parent, and can't be on without it.
    host.nm.links["uplink0"].up = host.nm.links[PORT].up = False
    assert plan(host, one).empty


def test_an_mtu_is_proven_and_what_somebody_changed_is_set_right() -> None:
    host, one = made(mtu=1400)
    assert [host.nm.links[name].mtu for name in (BRIDGE, PORT)] == [1400, 1400]
    host.nm.links[PORT].mtu = 1300
    assert [str(command) for command in body(plan(host, one))] == [
        f"ip link set dev {PORT} mtu 1400"
    ]
    reach(host, one)
    host.nm.links[BRIDGE].mtu = 1300
    found = plan(host, one)
    assert nmcli(found) == [f"device reapply {BRIDGE}"]
    (change,) = found.steps[0].actions
    assert isinstance(change, Checkpoint)
    asked = {str(poll.command): poll.command.expect for poll in change.verify}
    assert asked[f"cat /sys/class/net/{BRIDGE}/mtu"] == "1400"
    assert asked[f"cat /sys/class/net/{PORT}/mtu"] == "1400"
    reach(host, one)
    # Where none is wanted, none is asked for.
    without = make_plan(wanted(), FakeHost().facts(wanted()))
    assert "mtu" not in str(without)


def test_guests_that_keep_an_mtu_until_they_start_anew_are_named() -> None:
    host, one = made()
    facts = replace(host.facts(one), domains=(domain("web"), domain("idle", live_nics=())))
    text = "its MTU becomes 1400; these have 1500 until they are shut down and started: web"
    assert Note(subject="network public", text=text) in make_plan(wanted(mtu=1400), facts).notes
    same = make_plan(wanted(mtu=1500), facts)
    assert "its MTU" not in str(same.notes)


@pytest.mark.parametrize(
    "hurt",
    [
        {BRIDGE: {"up": False}},
        {PORT: {"up": False}},
        {PORT: {"master": ""}},
        {BRIDGE: {"stp": False}},
        {BRIDGE: {"ageing_time": 7}},
        {BRIDGE: {"forward_delay": 7}},
        {BRIDGE: None},
        {PORT: None},
    ],
)
def test_what_check_sends_to_a_plan_is_planned(hurt: dict[str, dict[str, object] | None]) -> None:
    host, one = made()
    for name, changes in hurt.items():
        if changes is None:
            del host.nm.links[name]
        for key, value in (changes or {}).items():
            setattr(host.nm.links[name], key, value)
    facts = host.facts(one)
    found = judge(one, facts, Plan(), VITALS)
    todo = [finding.todo for finding in found if finding.subject == "network public"]
    assert any("kvmkeep plan; kvmkeep apply" in text for text in todo)
    assert not make_plan(one, facts).empty


def test_port_that_left_its_bridge_is_activated_alone() -> None:
    host, one = made()
    host.nm.links[PORT].master = ""
    (up,) = nmcli(plan(host, one))
    assert up.startswith("--wait 30 connection up")


def test_port_with_another_vlan() -> None:
    host, one = made()
    port = next(p for p in host.nm.profiles.values() if p.type == "vlan")
    port.settings["vlan.id"] = "224"
    modify, _ = nmcli(plan(host, one))
    assert modify.endswith("vlan.id 223")


def test_a_vlan_interface_that_becomes_another_vlan_is_made_anew() -> None:
    host, _ = made()
    port = next(p for p in host.nm.profiles.values() if p.type == "vlan")
    host.nm.links["uplink1"] = FakeLink("uplink1")
    own = replace(network(), vlan=224, bridge=BRIDGE, vlan_interface=PORT)
    other = spec(networks=(own,), uplink="uplink1")
    modify, down, up = nmcli(plan(host, other))
    assert modify.endswith("vlan.parent uplink1 vlan.id 224")
    assert down == f"--wait 20 connection down uuid {port.uuid}"
    assert up == f"--wait 30 connection up uuid {port.uuid}"
    reach(host, other)
    link = host.nm.links[PORT]
    assert (link.vlan_id, link.parent, link.master) == (224, "uplink1", BRIDGE)


def test_a_setting_that_was_cleared_is_set_again() -> None:
    host, one = made()
    port = next(p for p in host.nm.profiles.values() if p.type == "vlan")
    port.settings["connection.master"] = port.settings["connection.slave-type"] = ""
    (step,) = plan(host, one).steps
    assert step.what == (
        f"change connection.master of {PORT} from nothing to {BRIDGE}, "
        f"connection.slave-type of {PORT} from nothing to bridge"
    )
    modify, up = nmcli(plan(host, one))
    assert modify.endswith(f"connection.master {BRIDGE} connection.slave-type bridge")
    assert up.endswith(f"connection up uuid {port.uuid}")
    reach(host, one)


def test_profiles_that_are_not_active_are_activated() -> None:
    host, one = made()
    for name in (BRIDGE, PORT):
        del host.nm.links[name]
    reach(host, one)
    for profile in host.nm.profiles.values():
        profile.device = ""
    assert len(nmcli(plan(host, one))) == 2
    reach(host, one)


def test_half_of_it_is_completed() -> None:
    host, one = made()
    port = next(p for p in host.nm.profiles.values() if p.type == "vlan")
    del host.nm.profiles[port.uuid], host.nm.links[PORT]
    (step,) = plan(host, one).steps
    assert step.what == f"complete bridge {BRIDGE} and {PORT}"
    reach(host, one)


def test_words_that_nmcli_explains_and_settings_it_does_not_tell_are_no_difference() -> None:
    host, one = made()
    for profile in host.nm.profiles.values():
        profile.settings.pop("connection.autoconnect")
        if profile.type == "bridge":
            profile.settings["connection.autoconnect-slaves"] = "1 (yes)"
    assert plan(host, one).empty


def test_foreign_profile_with_our_name_is_refused() -> None:
    host = FakeHost()
    host.nm.profiles["1"] = FakeProfile("1", "by hand", "bridge", BRIDGE, {})
    assert f"the NetworkManager profile by hand (1) uses {BRIDGE}" in reasons(plan(host, wanted()))


def test_profile_that_lost_our_mark_is_refused() -> None:
    host, one = made()
    for profile in host.nm.profiles.values():
        profile.settings["connection.stable-id"] = ""
    assert reasons(plan(host, one)).count("no longer has `connection.stable-id kvmkeep`") == 2


def test_foreign_interface_and_vlan_are_refused() -> None:
    host = FakeHost()
    host.nm.links[BRIDGE] = FakeLink(BRIDGE, "bridge")
    host.nm.links["v"] = FakeLink("v", "vlan", parent="uplink0", vlan_id=223)
    text = reasons(plan(host, wanted()))
    assert f"an interface {BRIDGE} that no profile of ours made" in text
    assert "VLAN 223 of uplink0 is in use by v" in text


def with_port(name: str, kind: str, *, profile: bool = False) -> FakeHost:
    """A network that is made, and something else that is a port of its bridge."""
    host, _ = made()
    host.nm.links[name] = FakeLink(name, kind, master=BRIDGE)
    if profile:
        bridge = next(p for p in host.nm.profiles.values() if p.type == "bridge")
        settings = {"connection.master": bridge.uuid}
        host.nm.profiles["abc"] = FakeProfile("abc", "by hand", "802-3-ethernet", name, settings)
    return host


def test_a_bridge_does_not_get_a_second_way_out() -> None:
    """Another uplink or VLAN: the interface that was the bridge's port is still one."""
    host, _ = made()
    host.nm.links["uplink1"] = FakeLink("uplink1")
    own = replace(network(), vlan_interface="uplink1.223")
    port = next(p for p in host.nm.profiles.values() if p.type == "vlan")
    (refusal,) = plan(host, spec(uplink="uplink1", networks=(own,))).refusals
    assert refusal.subject == "network public"
    assert refusal.reason == (
        f"{PORT} is a port of its bridge {BRIDGE} too: with another one, networks would be joined, "
        "or a loop made"
    )
    assert refusal.hint == (
        f"say `vlan_interface: {PORT}` of the network to have it become VLAN 223 of uplink1, or "
        f"remove it first: nmcli connection delete uuid {port.uuid}"
    )
    own = replace(network(), vlan=224, bridge=BRIDGE, vlan_interface="uplink0.224")
    (refusal,) = plan(host, spec(networks=(own,))).refusals
    assert "have it become VLAN 224 of uplink0" in refusal.hint
    reach(host, spec(networks=(replace(own, vlan_interface=PORT),)))
    assert [one.name for one in host.nm.links.values() if one.master == BRIDGE] == [PORT]


@pytest.mark.parametrize(
    ("kind", "profile", "hint"),
    [
        ("", False, "take it out first: ip link set dev eno3 nomaster"),
        ("vlan", False, "take it out first: ip link set dev eno3 nomaster"),
        (
            "",
            True,
            "take it out first: nmcli connection modify uuid abc connection.master '' "
            "connection.slave-type ''; nmcli connection up uuid abc",
        ),
    ],
)
def test_a_bridge_with_a_port_of_others_is_not_changed(
    kind: str, hint: str, *, profile: bool
) -> None:
    host = with_port("eno3", kind, profile=profile)
    (refusal,) = plan(host, wanted(ageing_time=300)).refusals
    assert refusal.hint == hint
    assert plan(host, wanted()).refusals == (), "what is as it should be stands in nobody's way"
    host.put(UNDO_FILE, b"")
    assert plan(host, wanted(ageing_time=300)).refusals == (), "what is there is seen only then"


def test_a_profile_that_would_become_a_port_counts_as_one() -> None:
    host = with_port("eno3", "", profile=True)
    del host.nm.links["eno3"]
    assert "eno3 is a port of" in reasons(plan(host, wanted(ageing_time=300)))


def test_a_bridge_that_no_network_has_any_more_is_told_while_nobody_uses_it() -> None:
    host, _ = made()
    uuids = {one.interface: one.uuid for one in host.nm.profiles.values()}
    delete = f"nmcli connection delete uuid {uuids[BRIDGE]} uuid {uuids[PORT]}"
    later = wanted(vlan=224, bridge="virbr1.224", vlan_interface="uplink0.224")
    for one in (spec(networks=()), later):
        (note,) = plan(host, one).notes
        assert note.subject == f"bridge {BRIDGE}"
        assert note.text == (
            "it is ours, but no network of the spec has it; no domain is on it, and it is left as "
            f"it is (to remove it: {delete})"
        )
    facts = host.facts(later)
    assert make_plan(later, replace(facts, domains=(domain(ours=False),))).notes == (), "used"
    armed = replace(facts, nm=replace(facts.nm, undoing=Undoing.ARMED))
    assert make_plan(later, armed).notes == (), "it may be the old one that comes back"
    host.nm.links[BRIDGE].addresses = ("fe80::1/64", "192.0.2.7/24")
    assert plan(host, later).notes == ()
    host.nm.links[BRIDGE].addresses = ("fe80::1/64",)
    host.nm.links["veth1"] = FakeLink("veth1", "veth", master=BRIDGE)
    assert plan(host, later).notes == ()
    del host.nm.links["veth1"], host.nm.links[PORT], host.nm.links[BRIDGE]
    assert len(plan(host, later).notes) == 1, "it comes up at the next boot"
    back = replace(network(), bridge="br9", vlan_interface=PORT)
    (note,) = plan(host, spec(networks=(back,))).notes
    assert note.text.endswith(f"nmcli connection delete uuid {uuids[BRIDGE]})")


def test_what_has_the_vlan_and_is_ours_is_removed_by_one_line() -> None:
    host, _ = made()
    port = next(one for one in host.nm.profiles.values() if one.interface == PORT)
    one = wanted(bridge="br9", vlan_interface="guests9")
    (refusal,) = plan(host, one).refusals
    assert refusal.hint.endswith(f"or remove {PORT}: nmcli connection delete uuid {port.uuid}")
    port.settings["connection.stable-id"] = "mine"
    (refusal,) = plan(host, one).refusals
    assert refusal.hint.endswith(f"or remove {PORT}")


@pytest.mark.parametrize("kind", ["tun", "veth"])
def test_guests_and_containers_on_a_bridge_are_no_second_way_out(kind: str) -> None:
    assert plan(with_port("vnet0", kind), wanted(ageing_time=300)).refusals == ()


def test_network_manager_must_run() -> None:
    host = FakeHost()
    host.nm.running = False
    assert "NetworkManager: it is not running" in reasons(plan(host, wanted()))
    assert reasons(plan(host, spec(networks=()))) == ""


def test_while_network_manager_is_stopped_nothing_is_said_of_interfaces_that_are_there() -> None:
    host, one = made()
    # nmcli tells no profile then, so whose the interfaces are can't be known.
    host.nm.running = False
    host.nm.profiles.clear()
    found = plan(host, one)
    assert reasons(found) == "NetworkManager: it is not running"
    assert found.steps == ()


def test_uplink_must_be_there_and_large_enough() -> None:
    host = FakeHost()
    text = reasons(plan(host, wanted(mtu=9000)))
    assert "its MTU of 9000 is larger than the uplink's 1500" in text
    del host.nm.links["uplink0"]
    assert "uplink uplink0: there is no such interface" in reasons(plan(host, wanted()))


def test_uplink_without_carrier_is_said_and_not_waited_for() -> None:
    host = FakeHost()
    host.nm.links["uplink0"].carrier = False
    one = wanted()
    assert [note.subject for note in plan(host, one).notes] == ["uplink uplink0"]
    reach(host, one)


@pytest.mark.parametrize("way", ["itself", "a VLAN of it", "the bridge it is a port of"])
def test_uplink_that_the_host_is_reached_through_is_refused(way: str) -> None:
    host = FakeHost()
    name = {"itself": "uplink0"}.get(way, "mgmt0")
    if way == "a VLAN of it":
        host.nm.links["mgmt0"].parent = "uplink0"
    if way == "the bridge it is a port of":
        host.nm.links["uplink0"].master = "mgmt0"
    host.management = (name, "192.0.2.1", True)
    assert "this host is reached through it" in reasons(plan(host, wanted()))


@pytest.mark.parametrize(
    ("way", "links"),
    [
        ("br0", ["br0 bridge", "uplink0.10 vlan br0 uplink0"]),
        ("bond0.10", ["bond0 bond", "uplink0  bond0", "bond0.10 vlan - bond0"]),
        ("br0", ["br0 bridge", "bond0 bond br0", "uplink0  bond0"]),
        ("br0.5", ["br0 bridge", "uplink0  br0", "br0.5 vlan - br0"]),
    ],
)
def test_uplink_below_what_the_host_is_reached_through_is_refused(
    way: str, links: list[str]
) -> None:
    host = FakeHost()
    for line in links:
        name, kind, master, parent = [*line.split(" "), "", ""][:4]
        host.nm.links[name] = FakeLink(name, kind, master=master.strip("-"), parent=parent)
    host.management = (way, "192.0.2.1", True)
    assert f"reached through it (default route on {way})" in reasons(plan(host, wanted()))


@pytest.mark.parametrize("kind", ["bond", "team"])
def test_port_of_a_bond_is_no_uplink_but_the_bond_is(kind: str) -> None:
    host = FakeHost()
    host.nm.links["bond0"] = FakeLink("bond0", kind)
    host.nm.links["uplink0"].master = "bond0"
    (refusal,) = plan(host, wanted()).refusals
    assert refusal.reason == "it is a port of bond0, which may have it rest"
    assert refusal.hint == "write `uplink: bond0`"
    names = {"bridge": BRIDGE, "vlan_interface": "bond0.223"}
    assert plan(host, spec(uplink="bond0", networks=(network(**names),))).refusals == ()
    host.management = ("bond0", "192.0.2.1", True)
    (refusal,) = plan(host, wanted()).refusals
    assert refusal.reason.startswith("this host is reached through it"), "bond0 would be, too"


def test_port_of_a_bridge_that_the_host_is_not_reached_through_is_an_uplink() -> None:
    host = FakeHost()
    host.nm.links["br0"] = FakeLink("br0", "bridge")
    host.nm.links["uplink0"].master = "br0"
    assert plan(host, wanted()).refusals == ()


def test_gateway_that_never_answered_is_asked_once() -> None:
    host, one = FakeHost(), wanted()
    host.management = ("mgmt0", "192.0.2.1", False)
    reach(host, one)
    for program in ("ping", "arping"):
        asked = [call for call in host.calls if call.argv[0] == program and "mgmt0" in call.argv]
        assert len(asked) == 1


def test_a_gateway_that_drops_pings_is_asked_on_its_link() -> None:
    host, one = FakeHost(), wanted()
    host.management, host.filtered = ("mgmt0", "192.0.2.1", False), True
    reach(host, one)
    asked = [call.argv[-2:] for call in host.calls if call.argv[0] == "arping"]
    assert asked.count(("mgmt0", "192.0.2.1")) == 2
    # It is no reason to refuse a change where it can't be asked so.
    host.tools = {"arping": ""}
    facts = host.facts(one)
    found = make_plan(spec(networks=(network(ageing_time=7, gateway=None),)), facts)
    assert (found.refusals, len(found.steps)) == ((), 1)


def test_a_networks_own_gateway_is_asked_on_the_bridge_by_either_protocol() -> None:
    for gateway, words in (
        ("10.223.0.254", ("arping", "-D", "-q", "-c", "3", "-w", "2", "-I", BRIDGE)),
        ("fd00:223::1", ("/usr/bin/kvmkeep", "neighbour", BRIDGE)),
    ):
        one = spec(networks=(network(gateway=ip_address(gateway), stp=False),))
        facts = FakeHost().facts(one)
        (change,) = make_plan(one, facts).steps[0].actions
        assert isinstance(change, Checkpoint)
        asked = change.keeps[-1]
        assert asked.command.argv == (*words, gateway)
        assert asked.message == f"the gateway {gateway} of network public to answer"
        unknown = replace(facts, units=replace(facts.units, program=""))
        (other,) = make_plan(one, unknown).steps[0].actions
        assert isinstance(other, Checkpoint)
        assert other.keeps[-1].command.argv[0] in {"arping", "kvmkeep"}
    without = spec(networks=(network(gateway=None),))
    (change,) = make_plan(without, FakeHost().facts(without)).steps[0].actions
    assert isinstance(change, Checkpoint)
    assert [poll for poll in change.keeps if "of network public" in poll.message] == []


def test_both_gateways_of_a_network_are_asked() -> None:
    found = plan(FakeHost(), wanted(second_gateway=ip_address("fd00:223::1")))
    (change,) = found.steps[0].actions
    assert isinstance(change, Checkpoint)
    assert [poll.command.argv[-1] for poll in change.own] == ["10.223.0.254", "fd00:223::1"]


def test_a_new_networks_gateway_is_waited_for_as_long_as_stp_takes() -> None:
    changes = {"gateway": ip_address("10.223.0.254"), "stp": True, "forward_delay": 15}
    (step,) = plan(FakeHost(), wanted(**changes)).steps
    (change,) = step.actions
    assert isinstance(change, Checkpoint)
    (own,) = change.own
    assert own.limit == 34
    assert own.otherwise.startswith("Is VLAN 223 on the switch port of uplink0?")


def test_who_is_logged_in_by_ssh_is_asked_before_and_after() -> None:
    host, one = FakeHost(), wanted()
    host.peers = {"192.0.2.77": True, "192.0.2.78": False}
    (step,) = plan(host, one).steps
    (change,) = step.actions
    assert isinstance(change, Checkpoint)
    asked = [str(poll.command) for poll in change.keeps if poll.command.argv[-1] in host.peers]
    assert asked == ["ping -c 1 -w 3 192.0.2.77", "ping -c 1 -w 3 192.0.2.78"]
    reach(host, one)
    pings = [call.argv[-1] for call in host.calls if call.argv[0] == "ping"]
    assert (pings.count("192.0.2.77"), pings.count("192.0.2.78")) == (2, 1)


def test_host_without_default_route() -> None:
    one = wanted()
    facts: Facts = replace(FakeHost().facts(one), management=None)
    assert make_plan(one, facts).refusals == ()


def test_without_default_route_no_interface_of_an_ssh_session_is_an_uplink() -> None:
    one = wanted()
    way = Management(
        interface="mgmt0", gateway="", answers=False, peers=("192.0.2.77",), others=("uplink0",)
    )
    facts: Facts = replace(FakeHost().facts(one), management=way)
    (refusal,) = make_plan(one, facts).refusals
    assert "(somebody is logged in by SSH over mgmt0, uplink0)" in refusal.reason
    found = make_plan(one, replace(facts, management=replace(way, others=())))
    assert found.refusals == ()
    (change,) = found.steps[0].actions
    assert isinstance(change, Checkpoint)
    asked = [str(poll.command) for poll in change.keeps if poll.command.argv[0] == "ping"]
    assert asked == ["ping -c 1 -w 3 192.0.2.77"]


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ({"others": ("uplink0",)}, "somebody is logged in by SSH over uplink0"),
        ({"interface6": "uplink0"}, "IPv6's default route is on uplink0"),
        ({"interface6": "uplink0", "others": ("uplink0",)}, "somebody is logged in by SSH over"),
        ({"others": ("br0",)}, "somebody is logged in by SSH over br0"),
        ({"others": ("uplink0.10",)}, ""),
    ],
)
def test_no_network_is_changed_on_what_somebody_is_logged_in_over(
    way: dict[str, object], reason: str
) -> None:
    host, one = made()
    host.nm.links["br0"] = FakeLink("br0", "bridge")
    host.nm.links["uplink0.10"] = FakeLink("uplink0.10", "vlan", parent="uplink0")
    if way.get("others") == ("br0",):
        host.nm.links["uplink0"].master = "br0"
    facts = host.facts(one)
    assert facts.management is not None
    facts = replace(facts, management=replace(facts.management, **way))
    assert make_plan(one, facts).refusals == (), "what is in service does not depend on that"
    found = make_plan(wanted(ageing_time=300), facts).refusals
    assert [one.subject for one in found] == ["uplink uplink0"] * bool(reason)
    if reason:
        assert f"this host is reached through it ({reason}" in found[0].reason
        assert "take its addresses away: ip address show dev uplink0" in found[0].hint


def with_addresses(host: FakeHost, *addresses: str, **methods: str) -> None:
    """Give the uplink addresses, and a profile."""
    host.nm.links["uplink0"].addresses = addresses
    told = {f"{key}.method": value for key, value in methods.items()}
    told |= {"ipv4.dns": "192.0.2.53"}
    host.nm.profiles["abc"] = FakeProfile("abc", "Wired 1", "802-3-ethernet", "uplink0", told)
    host.nm.profiles["abc"].device = "uplink0"


def test_an_address_that_the_uplinks_own_profile_has_asked_for_is_told() -> None:
    host, one = made()
    with_addresses(host, "192.0.2.7/24", "fe80::7/64", "2001:db8::7/64", ipv4="auto", ipv6="auto")
    (note,) = plan(host, one).notes
    assert note.subject == "uplink uplink0"
    assert note.text == (
        "its profile has asked for 192.0.2.7/24, 2001:db8::7/64: with that, the host itself is on "
        "the guests' wire, and may have a second default route; to end that: nmcli connection "
        "modify uuid abc ipv4.method disabled ipv6.method disabled ipv4.dns ''; nmcli device "
        "reapply uplink0"
    )
    with_addresses(host, "192.0.2.7/24", "fe80::7/64", ipv4="manual", ipv6="auto")
    assert plan(host, one).notes == (), "it is meant"
    del host.nm.links["uplink0"]
    assert [note for note in plan(host, one).notes if "asked for" in note.text] == []


def test_the_gateways_of_both_protocols_are_asked() -> None:
    one = wanted()
    facts = FakeHost().facts(one)
    assert facts.management is not None
    way = replace(facts.management, interface6="mgmt0", gateway6="fe80::1")
    (change,) = make_plan(one, replace(facts, management=way)).steps[0].actions
    assert isinstance(change, Checkpoint)
    asked = [str(poll.command) for poll in change.keeps if poll.command.argv[0] == "ping"]
    assert asked == [
        "ping -c 1 -w 3 -I mgmt0 192.0.2.1",
        "ping -c 1 -w 3 -I mgmt0 fe80::1",
    ]


def test_each_network_has_its_own_step_and_checkpoint() -> None:
    networks: tuple[Network, ...] = (network(), network("internal", 2368))
    found = make_plan(spec(networks=networks), FakeHost().facts(spec()))
    assert [step.subject for step in found.steps] == ["network public", "network internal"]


def test_uplink_missing_while_a_profile_remains() -> None:
    host, one = made()
    del host.nm.links["uplink0"], host.nm.links[PORT]
    found = plan(host, one)
    assert "there is no such interface" in reasons(found)
    (step,) = found.steps
    (checkpoint,) = step.actions
    assert isinstance(checkpoint, Checkpoint)
    assert not [p for p in checkpoint.verify if "operstate" in str(p.command)]
