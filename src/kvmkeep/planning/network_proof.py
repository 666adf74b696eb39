"""Whether a network is as it was planned, and the host is still reached: asked of the kernel."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.spec import Network
from kvmkeep.planning.scene import Scene


def network_proof(scene: Scene, network: Network) -> tuple[Poll, ...]:
    """Return what must hold in the kernel, and of the way to the host, for a change to be kept."""
    at = f"/sys/class/net/{network.bridge}/bridge"
    # The kernel counts in hundredths of a second (USER_HZ).
    polls = [
        _ageing(network, f"{at}/ageing_time"),
        _reads(f"{at}/stp_state", "1" if network.stp else "0", "the bridge's STP"),
    ]
    if network.stp:
        delay = str(network.forward_delay * 100)
        polls.append(_reads(f"{at}/forward_delay", delay, "the bridge's forward delay"))
    master = f"/sys/class/net/{network.vlan_interface}/master"
    polls.append(
        _poll(
            ("readlink", "--canonicalize-existing", master),
            f"/sys/devices/virtual/net/{network.bridge}",
            f"{network.vlan_interface} to be a port of {network.bridge}",
        )
    )
    uplink = scene.links.get(scene.spec.uplink)
    if uplink is not None and uplink.carrier:
        state = f"/sys/class/net/{network.vlan_interface}/operstate"
        polls.append(_reads(state, "up", f"{network.vlan_interface}'s state"))
    management = scene.facts.management
    if management is not None and management.answers:
        ping = ("ping", "-c", "1", "-W", "2", "-I", management.interface, management.gateway)
        polls.append(_poll(ping, "", f"the gateway {management.gateway} to answer"))
    return tuple(polls)


def _ageing(network: Network, path: str) -> Poll:
    wanted = str(network.ageing_time * 100)
    poll = _reads(path, wanted, "the bridge's ageing time")
    # A topology change of STP lasts its maximum age (20 s) and the forward delay.
    return replace(poll, limit=poll.limit + 20 + network.forward_delay) if network.stp else poll


def _reads(path: str, text: str, thing: str) -> Poll:
    return _poll(("cat", path), text, f"{thing} to be {text}")


def _poll(argv: tuple[str, ...], expect: str, message: str) -> Poll:
    return Poll(
        command=Command(argv=argv, why=f"wait for {message}", expect=expect, timeout=10.0),
        limit=20.0,
        every=1.0,
        message=message,
        otherwise="look at `nmcli device` and `journalctl -u NetworkManager`",
    )
