"""The host's ends of guests' NICs: put back in their bridge where something took them out.

A bridge that is taken down is deleted, and its ports are set free. NetworkManager brings back the
ports that have a profile; a running guest's tap device has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.domain_facts import Domain, DomainNic, DomainState
from kvmkeep.model.network_facts import Link
from kvmkeep.model.plan import Noun, Risk, Step
from kvmkeep.model.spec import Guest
from kvmkeep.planning.scene import Scene

_WITH_TAPS = frozenset({DomainState.RUNNING, DomainState.PAUSED})


def loose_nics(domain: Domain, links: dict[str, Link]) -> Iterator[DomainNic]:
    """Yield the NICs of a running domain whose tap device is not a port of their bridge.

    A tap is known by its name: libvirt gives it the NIC's MAC with 0xFE as its first byte, but
    udev may give it another one (systemd.link(5), `MACAddressPolicy=persistent`).
    """
    if domain.state not in _WITH_TAPS:
        return
    for nic in domain.live_nics:
        link = links.get(nic.tap)
        if nic.kind == "bridge" and nic.tap and (link is None or link.master != nic.bridge):
            yield nic


def put_back(nic: DomainNic) -> Command:
    """Return the command that makes a NIC's tap device a port of its bridge (ip-link(8))."""
    return Command(
        argv=("ip", "link", "set", "dev", nic.tap, "master", nic.bridge),
        why=f"make {nic.tap} a port of {nic.bridge}",
    )


def tap_steps(scene: Scene) -> tuple[Step, ...]:
    """Return a step for each tap device of a guest of ours that is out of its bridge.

    Only those that go back to a bridge that is there, or that a step before these brings up.
    """
    bridges = {one.name for one in scene.facts.links if one.kind == "bridge"}
    bridges |= {network.bridge for network in scene.spec.networks}
    return tuple(
        _step(guest, nic)
        for guest in scene.guests
        if (domain := scene.own_domain(guest)) is not None
        for nic in loose_nics(domain, scene.links)
        if nic.tap in scene.links and nic.bridge in bridges
    )


def _step(guest: Guest, nic: DomainNic) -> Step:
    master = f"/sys/class/net/{nic.tap}/master"
    proof = Command(
        argv=("readlink", "--canonicalize-existing", master),
        why="ask the kernel whose port it is",
        expect=f"/sys/devices/virtual/net/{nic.bridge}",
        timeout=10.0,
    )
    return Step(
        noun=Noun.NETWORK,
        subject=f"guest {guest.name}",
        what=f"put its NIC {nic.mac} ({nic.tap}) back in bridge {nic.bridge}",
        why="it runs, and nobody reaches it there",
        probe=Command(
            argv=("virsh", "domif-getlink", "--", guest.name, nic.tap),
            why=f"see that {nic.tap} is still a NIC of this guest",
        ),
        actions=(
            put_back(nic),
            Poll(
                command=proof,
                limit=5.0,
                every=0.5,
                message=f"{nic.tap} to be a port of {nic.bridge}",
                otherwise=f"Look at `ip -d link show {nic.tap}`.",
            ),
        ),
        risk=Risk.NETWORK,
    )
