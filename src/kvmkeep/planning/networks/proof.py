"""Whether a network is as it was planned, and the host is still reached: asked of the kernel."""

from __future__ import annotations

import re

from msgspec.structs import replace

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.spec import Address, Network
from kvmkeep.planning.scene import Scene

LIMIT = 4.0
"""Seconds that each proof may take, beyond what STP takes by itself."""

_DUPLICATE = 1
"""arping(8) of iputils, "-D": what it ends with where somebody answers for the address."""

_PING = ("ping", "-c", "1", "-w", "3")
"""One a second until one is answered, three at most (ping(8), "-w")."""


def network_proof(scene: Scene, network: Network) -> tuple[Poll, ...]:
    """Return what must hold in the kernel for a change to be kept."""
    at = f"/sys/class/net/{network.bridge}/bridge"
    master = f"/sys/class/net/{network.vlan_interface}/master"
    polls = [
        _poll(
            ("readlink", "--canonicalize-existing", master),
            f"/sys/devices/virtual/net/{network.bridge}",
            f"{network.vlan_interface} to be a port of {network.bridge}",
        ),
        _tagged(scene, network),
    ]
    uplink = scene.links.get(scene.spec.uplink)
    if uplink is not None and uplink.carrier:
        state = f"/sys/class/net/{network.vlan_interface}/operstate"
        polls.append(_reads(state, "up", f"{network.vlan_interface}'s state"))
    polls.append(_reads(f"{at}/stp_state", "1" if network.stp else "0", "the bridge's STP"))
    # The kernel counts in hundredths of a second (USER_HZ).
    if network.stp:
        delay = str(network.forward_delay * 100)
        polls.append(_reads(f"{at}/forward_delay", delay, "the bridge's forward delay"))
    if network.mtu:
        # Where the kernel refuses one, NetworkManager only writes that to its log (_commit_mtu()
        # in its nm-device.c).
        polls.extend(
            _reads(f"/sys/class/net/{name}/mtu", str(network.mtu), f"{name}'s MTU")
            for name in (network.bridge, network.vlan_interface)
        )
    return (*polls, _ageing(scene, network, f"{at}/ageing_time"))


def ways_out(scene: Scene) -> tuple[Poll, ...]:
    """Return what tells that the host is reached: what answers before a change must after it.

    A gateway may drop pings; on its link it answers for its address all the same.
    """
    management = scene.facts.management
    if management is None:
        return ()
    polls: list[Poll] = []
    for interface, gateway in (
        (management.interface, management.gateway),
        (management.interface6, management.gateway6),
    ):
        if not gateway:
            continue
        message = f"the gateway {gateway} to answer"
        polls.append(_poll((*_PING, "-I", interface, gateway), "", message))
        arping = scene.tools.get("arping")
        if ":" not in gateway and (arping is None or arping.path):
            argv, ok = _arping(interface, gateway)
            asks = _poll(argv, "", f"the gateway {gateway} to answer on its link")
            polls.append(replace(asks, command=replace(asks.command, ok=ok)))
    # Those who are logged in by SSH too: one is probably the administrator who waits for this.
    polls.extend(
        _poll((*_PING, peer), "", f"{peer} to answer, logged in by SSH")
        for peer in management.peers
    )
    return tuple(polls)


def own_gateway(scene: Scene, network: Network, *, new_port: bool) -> tuple[Poll, ...]:
    """Return what tells that a network's own gateways answer, if it has any.

    With STP, a new port of a bridge listens and learns before it passes a frame on.
    """
    silent = 2 * network.forward_delay if network.stp and new_port else 0
    vlan = f"Is VLAN {network.vlan} on the switch port of {scene.spec.uplink}?"
    polls: list[Poll] = []
    for gateway in network.gateways:
        poll = _poll((), "", f"the gateway {gateway} of network {network.name} to answer")
        argv, ok = _asks_gateway(scene, network, gateway)
        polls.append(
            replace(
                poll,
                limit=LIMIT + silent,
                command=replace(poll.command, argv=argv, ok=ok),
                otherwise=f"{vlan} {poll.otherwise}",
            )
        )
    return tuple(polls)


def _asks_gateway(
    scene: Scene, network: Network, gateway: Address
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return what asks a network's own gateway, and how it ends where that answers.

    The host has no address there: it asks as one does who looks for a free one (RFC 5227; for
    IPv6, where no tool does that, RFC 4862).
    """
    if gateway.version == 4:
        return _arping(network.bridge, str(gateway))
    program = scene.facts.units.command
    return (program, "neighbour", network.bridge, str(gateway)), (0,)


def _arping(interface: str, address: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    asks = ("arping", "-D", "-q", "-c", "3", "-w", "2", "-I", interface, address)
    return asks, (_DUPLICATE,)


def longest(polls: tuple[Poll, ...]) -> int:
    """Return how many seconds the slowest of all may take beyond the usual limit."""
    return round(max(poll.limit - LIMIT for poll in polls))


def is_vlan(interface: str, vlan: str, parent: str) -> tuple[str, ...]:
    """Return what asks the kernel whether an interface is a VLAN of another one."""
    line = f"^{re.escape(interface)} *[|] {vlan} *[|] {re.escape(parent)}$"
    return ("grep", "--quiet", "--extended-regexp", "-e", line, "/proc/net/vlan/config")


def _tagged(scene: Scene, network: Network) -> Poll:
    return _poll(
        is_vlan(network.vlan_interface, str(network.vlan), scene.spec.uplink),
        "",
        f"{network.vlan_interface} to be VLAN {network.vlan} of {scene.spec.uplink}",
    )


def _ageing(scene: Scene, network: Network, path: str) -> Poll:
    """Wait for the ageing time, or for that which stands in for it while the topology changes.

    STP begins to change it only once a new port was silent for twice the forward delay, and ends
    20 s and a delay later (__br_set_topology_change() in Linux' net/bridge/br_stp.c).
    """
    wanted = str(network.ageing_time * 100)
    if not network.stp:
        return _reads(path, wanted, "the bridge's ageing time")
    link = scene.links.get(network.bridge)
    delays = [network.forward_delay]
    if link is not None and link.stp:
        delays.append(link.forward_delay)
    texts = tuple(dict.fromkeys([wanted, *(str(2 * delay * 100) for delay in delays)]))
    argv = ("grep", "--line-regexp", "--extended-regexp", "-e", "|".join(texts), path)
    message = f"the bridge's ageing time to be {' or '.join(texts)}"
    return _poll(argv, "", message)


def _reads(path: str, text: str, thing: str) -> Poll:
    return _poll(("cat", path), text, f"{thing} to be {text}")


def _poll(argv: tuple[str, ...], expect: str, message: str) -> Poll:
    return Poll(
        command=Command(argv=argv, why=f"wait for {message}", expect=expect, timeout=10.0),
        limit=LIMIT,
        every=0.5,
        message=message,
        otherwise="Look at `ip -d link`, `nmcli device` and `journalctl -u NetworkManager`.",
    )
