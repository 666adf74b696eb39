"""Guests on a bridge that its VLAN interface leaves, since a network's `bridge` was changed.

From then on they reach nobody but each other. So all of them move straight after the change, before
anything else is done, and where one of them would stay behind, there is no change.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.domain_facts import Domain, DomainNic
from kvmkeep.model.plan import Refusal, Step
from kvmkeep.model.spec import Guest, Network
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.domains.nics import is_ours, move_steps
from kvmkeep.planning.domains.undefined import is_undefined
from kvmkeep.planning.networks.ports import left_bridge
from kvmkeep.planning.scene import Scene


def moves(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what moves the NICs of a guest in service; a lost definition comes back first."""
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest) or is_undefined(scene, guest):
        return ()
    return move_steps(scene, guest, domain)


def stranded_refusals(scene: Scene, networks: Iterable[Network]) -> tuple[Refusal, ...]:
    """Refuse to change a network's bridge where domains would stay on the old one."""
    refusals: list[Refusal] = []
    for network in networks:
        bridge = left_bridge(scene, network)
        left = sorted(one.name for one in scene.facts.domains if _stays(scene, one, bridge))
        if not (bridge and left):
            continue
        hint = "have all of them move with it: kvmkeep apply, of all guests"
        others = [name for name in left if name not in scene.every_guest]
        if others:
            hint = f"shut down {', '.join(others)} and put {network.bridge} there: virsh edit NAME"
        refusals.append(
            Refusal(
                subject=f"network {network.name}",
                reason=f"its VLAN goes from bridge {bridge} to {network.bridge}, and these would "
                f"stay behind, without a way out: {', '.join(left)}",
                hint=f"{hint}; or keep `bridge: {bridge}`",
            )
        )
    return tuple(refusals)


def _stays(scene: Scene, domain: Domain, bridge: str) -> bool:
    """Whether a domain has a NIC on a bridge that this plan neither moves nor takes out."""
    on = [one for one in (*domain.nics, *domain.live_nics) if one.bridge == bridge]
    guest = next((one for one in scene.guests if scene.own_domain(one) is domain), None)
    return any(guest is None or not _goes(scene, guest, domain, nic) for nic in on)


def _goes(scene: Scene, guest: Guest, domain: Domain, nic: DomainNic) -> bool:
    mac = nic.mac.lower()
    wanted = any(one.mac == mac for one in guest.nics)
    return nic.kind == "bridge" and (wanted or is_ours(scene, guest, domain, mac))
