"""Networks as the kernel has them: bridge, port, carrier, and who else touches the frames."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import LINKS, NETWORK_MANAGER
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.links import is_team
from kvmkeep.model.network_facts import Link
from kvmkeep.model.spec import Network
from kvmkeep.planning.networks.ports import is_dead_end, other_ports
from kvmkeep.planning.networks.taps import loose_nics, put_back
from kvmkeep.planning.networks.uplink import automatic_addresses, without_addresses

_REPAIR = "kvmkeep plan; kvmkeep apply"


def network_findings(patient: Patient) -> Iterator[Finding]:
    """Return what is wrong with the uplink, the networks and the way to the host."""
    if patient.unseen(LINKS):
        return
    if patient.spec.networks:
        yield from _uplink(patient)
        yield from _uplink_addresses(patient)
    for network in patient.spec.networks:
        yield from _network(patient, network)
    for domain in patient.facts.domains:
        yield from _taps(patient, domain)
        yield from _dead_ends(patient, domain)
    yield from _filters(patient)
    yield from _management(patient)


def _uplink(patient: Patient) -> Iterator[Finding]:
    name = patient.spec.uplink
    link = patient.scene.links.get(name)
    subject = f"uplink {name}"
    why = "no guest reaches its network"
    if link is None:
        yield Finding(
            name="uplink-absent",
            severity=Severity.CRITICAL,
            subject=subject,
            what="there is no such interface",
            why=why,
            todo="ip link; a new kernel or another slot may have renamed it: correct `uplink`",
        )
    elif not link.up:
        yield Finding(
            name="uplink-down",
            severity=Severity.CRITICAL,
            subject=subject,
            what="it is switched off",
            why=why,
            todo=f"ip link set {name} up; nmcli device status",
        )
    elif not link.carrier:
        yield Finding(
            name="uplink-no-carrier",
            severity=Severity.CRITICAL,
            subject=subject,
            what="it has no carrier",
            why=why,
            todo=f"look at cable, transceiver and switch port; ethtool {name}",
        )
    elif is_team(link):
        yield from _team(patient, link)


def _uplink_addresses(patient: Patient) -> Iterator[Finding]:
    found = automatic_addresses(patient.scene)
    if found:
        yield Finding(
            name="uplink-has-address",
            severity=Severity.WARNING,
            subject=f"uplink {patient.spec.uplink}",
            what=f"its profile has asked for an address of the host: {', '.join(found)}",
            why="the host itself is on the guests' wire, and may have a second default route",
            todo=without_addresses(patient.scene),
        )


def _team(patient: Patient, team: Link) -> Iterator[Finding]:
    """Tell of ports of a bond or team that carry nothing: the others stand in for them."""
    ports = [one for one in patient.facts.links if one.master == team.name]
    dead = [one.name for one in ports if not (one.up and one.carrier)]
    if dead:
        yield Finding(
            name="uplink-degraded",
            severity=Severity.WARNING,
            subject=f"uplink {team.name}",
            what=f"{len(dead)} of its {len(ports)} ports have no carrier: {', '.join(dead)}",
            why="once the others go too, no guest reaches its network",
            todo=f"look at cable, transceiver and switch port; ethtool {dead[0]}; "
            f"ip link show master {team.name}",
        )


def _network(patient: Patient, network: Network) -> Iterator[Finding]:
    bridge = patient.scene.links.get(network.bridge)
    port = patient.scene.links.get(network.vlan_interface)
    subject = f"network {network.name}"
    if bridge is None or bridge.kind != "bridge" or not bridge.up:
        state = "is not there" if bridge is None else "is down"
        if bridge is not None and bridge.kind != "bridge":
            state = f"is a {bridge.kind or 'device'}, not a bridge"
        yield Finding(
            name="bridge-absent",
            severity=Severity.CRITICAL,
            subject=subject,
            what=f"its bridge {network.bridge} {state}",
            why="guests on it have no network, and can't be started",
            todo=_REPAIR,
        )
        return
    yield from _port(patient, network, port)
    yield from _blocked(patient, network, bridge, port)
    yield from _settings(network, bridge, port)
    yield from _other_ports(patient, network)
    yield from _addresses(patient, network, bridge)
    yield from _truths(network)


def _port(patient: Patient, network: Network, port: Link | None) -> Iterator[Finding]:
    name = network.vlan_interface
    state, todo = "", _REPAIR
    if port is None:
        state = f"{name} is not there"
    elif port.master != network.bridge:
        state = f"{name} is a port of {port.master or 'no bridge'}, not of {network.bridge}"
    elif (port.vlan_id, port.parent) != (network.vlan, patient.spec.uplink):
        state = f"{name} is VLAN {port.vlan_id} of {port.parent}, not {network.vlan} of "
        state += patient.spec.uplink
        profiles = (one.uuid for one in patient.facts.nm.profiles if one.interface == name)
        profile = next(profiles, name)
        # It can be no other VLAN as long as it is there, whatever its profile says.
        todo = f"nmcli connection down {profile}; nmcli connection up {profile}; {_REPAIR}"
    elif not port.up:
        state = f"{name} is down"
    if state:
        yield Finding(
            name="bridge-port-missing",
            severity=Severity.CRITICAL,
            subject=f"network {network.name}",
            what=state,
            why="guests on it reach each other, but nobody else",
            todo=todo,
        )


def _blocked(
    patient: Patient, network: Network, bridge: Link, port: Link | None
) -> Iterator[Finding]:
    """Tell of a port that STP has pass nothing on, once the topology is settled."""
    if port is None or port.master != bridge.name or bridge.topology_change:
        return
    if port.port_state == "blocking":
        # Where the bridge has a second way out, that may be what carries the frames.
        another = any(other_ports(patient.scene, network))
        yield Finding(
            name="bridge-port-blocked",
            severity=Severity.WARNING if another else Severity.CRITICAL,
            subject=f"network {network.name}",
            what=f"STP keeps {port.name} blocked: {bridge.name} has a loop, or another way out",
            why="guests on it reach each other, but nobody else over that port",
            todo=f"bridge -details link show; ip -details link show dev {bridge.name}; "
            "take the second way away, at the switch or in a guest that bridges",
        )


def _settings(network: Network, bridge: Link, port: Link | None) -> Iterator[Finding]:
    """Compare with what was asked for: NetworkManager's profile may be right all the same."""
    wrong: list[str] = []
    if bridge.ageing_time != network.ageing_time and not bridge.topology_change:
        wrong.append(f"its ageing time is {bridge.ageing_time} s, not {network.ageing_time} s")
    if bridge.stp != network.stp:
        wrong.append(f"STP is {_on(on=bridge.stp)}, not {_on(on=network.stp)}")
    elif network.stp and bridge.forward_delay != network.forward_delay:
        delay = bridge.forward_delay
        wrong.append(f"its forward delay is {delay} s, not {network.forward_delay} s")
    todo = f"nmcli device reapply {network.bridge}; if that does not help: {_REPAIR}"
    if network.mtu and bridge.mtu != network.mtu:
        wrong.append(f"its MTU is {bridge.mtu}, not {network.mtu}")
        todo = f"ip link set dev {network.bridge} mtu {network.mtu}; {todo}"
    if wrong:
        yield Finding(
            name="bridge-differs",
            severity=Severity.WARNING,
            subject=f"network {network.name}",
            what=f"{network.bridge} is not as the spec says: {'; '.join(wrong)}",
            why="somebody changed it, and it is lost at the next reboot",
            # `connection up` would take the bridge away for a moment, and guests off it.
            todo=todo,
        )
    if port is not None and port.master == bridge.name and port.mtu != bridge.mtu:
        other = bridge if port.mtu == network.mtu else port
        todo = f"ip link set dev {other.name} mtu {network.mtu}"
        if not network.mtu:
            todo = f"ip link show {port.name}; say `mtu` of the network in host.yaml"
        yield Finding(
            name="bridge-mtu",
            severity=Severity.WARNING,
            subject=f"network {network.name}",
            what=f"the MTU of {bridge.name} is {bridge.mtu}, that of {port.name} {port.mtu}",
            why="large packets are lost without a word; small ones, such as ping's, pass",
            todo=f"{todo}; {_REPAIR}",
        )


def _other_ports(patient: Patient, network: Network) -> Iterator[Finding]:
    for port in other_ports(patient.scene, network):
        yield Finding(
            name="bridge-other-port",
            severity=Severity.WARNING,
            subject=f"network {network.name}",
            what=f"{port.name} is a port of its bridge {network.bridge} too",
            why="another network is joined to this one, or frames go round in a loop",
            todo=port.out if port.owner is None else _REPAIR,
        )


def _addresses(patient: Patient, network: Network, bridge: Link) -> Iterator[Finding]:
    """Tell of addresses that the bridge's own profile does not want."""
    profiles = (one for one in patient.facts.nm.profiles if one.device == bridge.name)
    if not any(one.setting("ipv4.method") == "disabled" for one in profiles):
        return
    own = [one for one in bridge.addresses if not one.startswith("fe80:")]
    if own:
        yield Finding(
            name="bridge-has-address",
            severity=Severity.WARNING,
            subject=f"network {network.name}",
            what=f"{bridge.name} has an address of the host: {', '.join(own)}",
            why="guests on it reach the host itself, past any firewall between the networks",
            todo=f"ip address del {own[0]} dev {bridge.name}",
        )


def _truths(network: Network) -> Iterator[Finding]:
    """Tell what the wanted settings mean, since their names do not."""
    if network.ageing_time == 0:
        yield Finding(
            name="bridge-floods",
            severity=Severity.OK,
            subject=f"network {network.name}",
            what="with an ageing time of 0, its bridge learns no address and floods like a hub",
            why="each guest on it sees the others' frames",
            todo="if that is not meant: `ageing_time: 300` of the network in host.yaml",
        )
    if network.stp:
        silent = 2 * network.forward_delay
        yield Finding(
            name="bridge-slow-start",
            severity=Severity.OK,
            subject=f"network {network.name}",
            what=f"with STP, a guest's network is silent for {silent} s after its start",
            why="the new port listens and learns first",
            todo="if there is no loop to fear: `stp: false` of the network in host.yaml",
        )


def _on(*, on: bool) -> str:
    return "on" if on else "off"


def _taps(patient: Patient, domain: Domain) -> Iterator[Finding]:
    """Find each NIC whose tap device is not where the NIC says."""
    for nic in loose_nics(domain, patient.scene.links):
        yield Finding(
            name="guest-cut-off",
            severity=Severity.CRITICAL,
            subject=f"guest {domain.name}",
            what=f"its NIC {nic.mac} ({nic.tap}) is not a port of {nic.bridge}",
            why="the guest runs, and nobody reaches it there",
            todo=str(put_back(nic)),
        )


def _dead_ends(patient: Patient, domain: Domain) -> Iterator[Finding]:
    """Find each NIC on a bridge of ours that leads nowhere, as its network has another one now."""
    loose = {one.tap for one in loose_nics(domain, patient.scene.links)}
    todo = _REPAIR
    if domain.uuid not in {guest.uuid for guest in patient.spec.guests}:
        todo = f"have it name another bridge (virsh edit {domain.name}), and start it anew"
    for nic in domain.live_nics:
        if nic.tap and nic.tap not in loose and is_dead_end(patient.scene, nic.bridge):
            yield Finding(
                name="guest-cut-off",
                severity=Severity.CRITICAL,
                subject=f"guest {domain.name}",
                what=f"its NIC {nic.mac} ({nic.tap}) is on {nic.bridge}, which has no port but "
                "guests' and is no network's of the spec",
                why="the guest runs, and nobody reaches it there",
                todo=todo,
            )


def _filters(patient: Patient) -> Iterator[Finding]:
    filters = patient.vitals.bridge_filters
    if filters:
        names = " ".join(f"net.bridge.{name}=0" for name in filters)
        yield Finding(
            name="bridge-filtered",
            severity=Severity.WARNING,
            subject="bridges",
            what=f"the host's packet filter sees guests' frames: {', '.join(filters)}",
            why="a rule made for the host, such as Docker's, drops what guests send each other",
            todo=f"sysctl --write {names}; to keep it so: a file in /etc/sysctl.d",
        )


def _management(patient: Patient) -> Iterator[Finding]:
    way = patient.facts.management
    if way is not None and way.gateway and not way.answers:
        yield Finding(
            name="gateway-silent",
            severity=Severity.WARNING,
            subject=f"gateway {way.gateway}",
            what=f"it answers neither pings nor for its address over {way.interface}",
            why="the host may not be reached from elsewhere",
            todo=f"ping -I {way.interface} {way.gateway}; ip neighbour; ip route",
        )
    if not patient.facts.nm.running and not patient.unseen(NETWORK_MANAGER):
        yield Finding(
            name="networkmanager-off",
            severity=Severity.WARNING,
            subject="NetworkManager",
            what="it is not running",
            why="networks go on, but are not there after a reboot and can't be changed",
            todo="systemctl enable --now NetworkManager; journalctl -u NetworkManager",
        )
