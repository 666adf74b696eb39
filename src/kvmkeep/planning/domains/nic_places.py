"""MAC addresses are derived from a NIC's place in the list: what is refused where the places moved.

Who takes a NIC out of the middle of the list, or puts one there, means that one. By their places
others would change their networks as well, and inside the guest their addresses are known by MAC.
"""

from __future__ import annotations

from kvmkeep.model.domain_facts import Domain, DomainNic
from kvmkeep.model.names import guest_mac
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Guest, Nic
from kvmkeep.planning.domains.change import domain_in_service
from kvmkeep.planning.domains.metadata import settings_of
from kvmkeep.planning.domains.nics import is_ours, nics_by_mac
from kvmkeep.planning.scene import Scene


def place_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Return which NICs would take another one's place, and how to say what is meant."""
    refusals: list[Refusal] = []
    for guest in scene.guests:
        domain = domain_in_service(scene, guest)
        if domain is None:
            continue
        for position, nic in enumerate(guest.nics):
            derived = guest_mac(scene.spec.host.name, guest.identity, position)
            if nic.named or nic.mac != derived:
                continue
            rival = _rival(scene, guest, domain, nic)
            if rival is not None:
                refusals.append(_refusal(guest, domain, position, nic, rival))
    return tuple(refusals)


def _rival(scene: Scene, guest: Guest, domain: Domain, nic: Nic) -> str | None:
    """Return the MAC of the NIC that is where this one is to be, and would not stay."""
    now = _now(domain)
    bridge = scene.networks[nic.network].bridge
    bridges = {str(one.mac): scene.networks[one.network].bridge for one in guest.nics}
    going = [
        mac
        for mac, found in now.items()
        if found.bridge == bridge
        and bridges.get(mac) != bridge
        and is_ours(scene, guest, domain, mac)
    ]
    own = now.get(nic.mac)
    if own is None or own.bridge != bridge:
        return going[0] if going else None
    given = {one.mac: one.settings for one in domain.given}
    wanted = settings_of(nic)
    if not wanted or given.get(nic.mac) in {None, wanted}:
        return None
    return next((mac for mac in going if given.get(mac) == wanted), None)


def _now(domain: Domain) -> dict[str, DomainNic]:
    return {**nics_by_mac(domain.live_nics), **nics_by_mac(domain.nics)}


def _refusal(guest: Guest, domain: Domain, position: int, nic: Nic, rival: str) -> Refusal:
    own = _now(domain).get(nic.mac)
    where = f"is on {own.bridge}" if own is not None else "is new"
    reason = (
        f"its NIC {position + 1} on network {nic.network} has no `mac`; by its place in the list "
        f"it would be {nic.mac}, which {where}, in place of {rival}, which is there now"
    )
    keep = f"to keep {rival} there, write `mac: {rival}` into it"
    if any(one.mac == rival for one in guest.nics):
        keep = f"to keep {rival} there, put what is new at the end of the list"
    return Refusal(
        subject=f"guest {guest.name}",
        reason=reason,
        hint=f"{keep}; if it is meant so, write `mac: {nic.mac}` into it ({guest.place.file})",
    )
