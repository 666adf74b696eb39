from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainNic, DomainState
from kvmkeep.model.facts import Problem
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.network_facts import Link, Management, Nm, Profile
from tests.unit.health.build import BRIDGE, MAC, PORT, SPEC, TAP, domain, findings, link, only
from tests.unit.planning.build import guest, network, spec

WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL
UPLINK = link("uplink0")
NO_NM = Nm(running=False, profiles=(), device_paths=())


def links(*changed: Link, without: str = "") -> tuple[Link, ...]:
    found = {one.name: one for one in (UPLINK, BRIDGE, PORT, TAP, *changed)}
    return tuple(one for one in found.values() if one.name != without)


@pytest.mark.parametrize(
    ("uplink", "name"),
    [
        (replace(UPLINK, up=False), "uplink-down"),
        (replace(UPLINK, carrier=False), "uplink-no-carrier"),
    ],
)
def test_an_uplink_in_trouble(uplink: Link, name: str) -> None:
    assert only(CRITICAL, name, links=links(uplink)).subject == "uplink uplink0"


def test_an_uplink_that_is_gone() -> None:
    only(CRITICAL, "uplink-absent", links=links(without="uplink0"))
    assert findings(replace(SPEC, networks=()), links=links(without="uplink0")) == ()


def test_an_uplink_with_an_address_of_the_host() -> None:
    profile = Profile(
        uuid="abc", name="Wired 1", type="802-3-ethernet", interface="uplink0", device="uplink0",
        filename="/run/x", settings=(("ipv4.method", "auto"), ("ipv6.method", "auto")),
    )  # fmt: skip
    nm = Nm(running=True, profiles=(profile,), device_paths=())
    asked = replace(UPLINK, addresses=("192.0.2.7/24", "fe80::7/64"))
    found = only(WARNING, "uplink-has-address", links=links(asked), nm=nm)
    assert found.what == "its profile has asked for an address of the host: 192.0.2.7/24"
    assert found.todo.startswith("nmcli connection modify uuid abc ipv4.method disabled ")


def test_a_bond_with_a_dead_port() -> None:
    bond = replace(UPLINK, kind="bond")
    e0, e1, e2 = (link(name, master="uplink0") for name in ("e0", "e1", "e2"))
    assert findings(links=links(bond, e0, e1, e2)) == ()
    dead = links(bond, e0, replace(e1, carrier=False), replace(e2, up=False))
    found = only(WARNING, "uplink-degraded", links=dead)
    assert found.what == "2 of its 3 ports have no carrier: e1, e2"
    assert "ethtool e1;" in found.todo
    # All are dead: told once.
    only(CRITICAL, "uplink-no-carrier", links=(replace(bond, carrier=False), *dead[1:]))


def test_a_port_that_stp_keeps_blocking() -> None:
    blocked = replace(PORT, port_state="blocking")
    found = only(CRITICAL, "bridge-port-blocked", links=links(blocked))
    assert "uplink0.223 blocked" in found.what
    assert findings(links=links(replace(PORT, port_state="forwarding"))) == ()
    settling = links(blocked, replace(BRIDGE, topology_change=True))
    assert findings(links=settling) == ()
    elsewhere = links(replace(blocked, master="br9"))
    only(CRITICAL, "bridge-port-missing", links=elsewhere)
    second = link("eno2", master="virbr1.223", port_state="forwarding")
    both = findings(links=links(blocked, second))
    assert [(one.severity, one.name) for one in both] == [
        (WARNING, "bridge-other-port"),
        (WARNING, "bridge-port-blocked"),
    ]


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (links(without="virbr1.223"), "its bridge virbr1.223 is not there"),
        (links(replace(BRIDGE, up=False)), "its bridge virbr1.223 is down"),
        (links(replace(BRIDGE, kind="")), "its bridge virbr1.223 is a device, not a bridge"),
        (links(replace(BRIDGE, kind="bond")), "its bridge virbr1.223 is a bond, not a bridge"),
    ],
)
def test_a_bridge_that_is_none(changed: tuple[Link, ...], what: str) -> None:
    assert only(CRITICAL, "bridge-absent", links=changed).what == what


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (links(without="uplink0.223"), "uplink0.223 is not there"),
        (
            links(replace(PORT, master="")),
            "uplink0.223 is a port of no bridge, not of virbr1.223",
        ),
        (
            links(replace(PORT, vlan_id=224)),
            "uplink0.223 is VLAN 224 of uplink0, not 223 of uplink0",
        ),
        (links(replace(PORT, up=False)), "uplink0.223 is down"),
    ],
)
def test_a_port_that_is_not_there(changed: tuple[Link, ...], what: str) -> None:
    assert only(CRITICAL, "bridge-port-missing", links=changed).what == what


@pytest.mark.parametrize(
    ("bridge", "what"),
    [
        (replace(BRIDGE, ageing_time=0), "its ageing time is 0 s, not 300 s"),
        (replace(BRIDGE, stp=True), "STP is on, not off"),
    ],
)
def test_a_bridge_that_somebody_changed(bridge: Link, what: str) -> None:
    found = only(WARNING, "bridge-differs", links=links(bridge))
    assert found.what == f"virbr1.223 is not as the spec says: {what}"
    assert found.todo.startswith("nmcli device reapply virbr1.223")
    # It would take running guests off the bridge.
    assert "connection up" not in found.todo


def test_an_address_of_the_host_on_a_bridge_that_has_none() -> None:
    def host(method: str, *addresses: str) -> tuple[Finding, ...]:
        profile = Profile(
            uuid="u", name="virbr1.223", type="bridge", interface="virbr1.223",
            device="virbr1.223", filename="", settings=(("ipv4.method", method),),
        )  # fmt: skip
        nm = Nm(running=True, profiles=(profile,), device_paths=())
        return findings(links=links(replace(BRIDGE, addresses=addresses)), nm=nm)

    (found,) = host("disabled", "fe80::1/64", "10.223.0.1/24")
    assert (found.severity, found.name) == (WARNING, "bridge-has-address")
    assert found.todo == "ip address del 10.223.0.1/24 dev virbr1.223"
    assert host("disabled", "fe80::1/64") == host("disabled") == ()
    # Where the profile gives it one, somebody meant it.
    assert host("manual", "10.223.0.1/24") == ()


def test_during_a_topology_change_the_kernel_lies_about_the_ageing_time() -> None:
    bridge = replace(BRIDGE, ageing_time=30, topology_change=True)
    assert findings(links=links(bridge)) == ()


def test_what_the_defaults_mean_is_told_without_alarm() -> None:
    wanted = spec(guest(), networks=(network(),))
    bridge = replace(BRIDGE, ageing_time=0, stp=True)
    found = findings(wanted, links=links(bridge))
    assert [(one.severity, one.name) for one in found] == [
        (Severity.OK, "bridge-floods"),
        (Severity.OK, "bridge-slow-start"),
    ]
    assert "silent for 30 s" in found[1].what
    late = findings(wanted, links=links(replace(bridge, forward_delay=4)))
    assert late[0].what.endswith("its forward delay is 4 s, not 15 s")


def test_a_port_of_another_vlan_has_to_be_made_anew() -> None:
    profile = Profile(
        uuid="u-u-i-d", name="by hand", type="vlan", interface="uplink0.223", device="uplink0.223",
        filename="", settings=(),
    )  # fmt: skip
    nm = Nm(running=True, profiles=(profile,), device_paths=())
    found = only(CRITICAL, "bridge-port-missing", links=links(replace(PORT, vlan_id=224)), nm=nm)
    anew = "nmcli connection down u-u-i-d; nmcli connection up u-u-i-d; "
    assert found.todo.startswith(anew)


def test_mtus() -> None:
    wanted = spec(guest(), networks=(network(ageing_time=300, stp=False, mtu=9000),))
    found = findings(wanted)
    assert found[0].what.endswith("its MTU is 1500, not 9000")
    assert found[0].todo.startswith("ip link set dev virbr1.223 mtu 9000; ")
    half = findings(wanted, links=links(replace(PORT, mtu=9000)))
    assert [one.name for one in half] == ["bridge-differs", "bridge-mtu"]
    assert half[1].todo.startswith("ip link set dev virbr1.223 mtu 9000; ")
    unsaid = only(WARNING, "bridge-mtu", links=links(replace(PORT, mtu=1400)))
    assert "say `mtu` of the network in host.yaml" in unsaid.todo
    half = findings(wanted, links=links(replace(BRIDGE, mtu=9000)))
    assert [one.name for one in half] == ["bridge-mtu"]
    assert half[0].todo.startswith("ip link set dev uplink0.223 mtu 9000; ")
    big = links(replace(BRIDGE, mtu=9000), replace(PORT, mtu=9000))
    assert findings(wanted, links=big) == ()
    found = findings(wanted, links=links(replace(BRIDGE, mtu=9000)))
    assert [one.name for one in found] == ["bridge-mtu"]
    assert found[0].what == "the MTU of virbr1.223 is 9000, that of uplink0.223 1500"


def test_a_bridge_with_a_second_way_out() -> None:
    other = link("uplink0.224", kind="vlan", vlan_id=224, parent="uplink0", master="virbr1.223")
    found = only(WARNING, "bridge-other-port", links=links(other))
    assert found.subject == "network public"
    assert found.what == "uplink0.224 is a port of its bridge virbr1.223 too"
    assert found.todo == "ip link set dev uplink0.224 nomaster"
    ours = Profile(
        uuid="u", name="uplink0.224", type="vlan", interface="uplink0.224", device="uplink0.224",
        filename="", settings=(("connection.stable-id", "kvmkeep"),),
    )  # fmt: skip
    nm = Nm(running=True, profiles=(ours,), device_paths=())
    found = only(WARNING, "bridge-other-port", links=links(other), nm=nm)
    assert found.todo == "nmcli connection delete uuid u"


def test_a_guest_whose_nic_is_no_port() -> None:
    for changed in (links(without="vnet0"), links(replace(TAP, master=""))):
        found = only(CRITICAL, "guest-cut-off", links=changed)
        assert found.what == f"its NIC {MAC} (vnet0) is not a port of virbr1.223"
        assert found.todo == "ip link set dev vnet0 master virbr1.223"
        off = domain(state=DomainState.SHUTOFF)
        assert "guest-cut-off" not in [one.name for one in findings(links=changed, domains=(off,))]


def test_a_tap_device_is_known_by_its_name_since_udev_may_give_it_another_mac() -> None:
    assert findings(links=links(replace(TAP, mac="02:8c:25:2f:b2:e2"))) == ()


def test_a_nic_that_is_in_no_bridge_by_its_kind() -> None:
    nic = DomainNic(mac="52:54:00:00:00:09", bridge="", model="virtio", kind="user")
    assert findings(domains=(domain(live_nics=(nic,)),)) == ()


def test_frames_that_the_host_filters() -> None:
    found = only(WARNING, "bridge-filtered", bridge_filters=("bridge-nf-call-iptables",))
    assert found.todo.startswith("sysctl --write net.bridge.bridge-nf-call-iptables=0;")


def test_the_way_to_the_host() -> None:
    silent = Management(interface="mgmt0", gateway="192.0.2.1", answers=False)
    only(WARNING, "gateway-silent", management=silent)
    assert findings(management=None) == ()
    assert findings(management=replace(silent, gateway="")) == ()
    only(WARNING, "networkmanager-off", nm=NO_NM)
    hole = Problem(what="NetworkManager", reason="nmcli failed", hint="try: nmcli")
    only(Severity.UNKNOWN, "not-seen", nm=NO_NM, problems=(hole,))


def test_interfaces_that_were_not_seen_are_not_absent() -> None:
    hole = Problem(what="network interfaces", reason="ip failed", hint="try: ip")
    only(Severity.UNKNOWN, "not-seen", links=(), problems=(hole,))
