"""What is ours and the spec does not name: not managed, so nothing happens to it.

Nothing good happens to it either: it is not started after a power cut, nor backed up.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.names import TAG_GUEST, TAG_OURS
from kvmkeep.model.plan import Note, Refusal
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, Nic
from kvmkeep.model.trash import is_trash, original_name
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.scene import Scene


def unnamed(scene: Scene) -> tuple[Domain, ...]:
    """Return the domains of ours that the spec does not name (any more).

    One of which a guest of the spec has the UUID is half renamed, and not meant.
    """
    own = {guest.uuid for guest in scene.spec.guests}
    return tuple(
        one
        for one in scene.facts.domains
        if one.ours and one.name not in scene.every_guest and one.uuid not in own
    )


def ways_back(name: str) -> str:
    """Return what can be done about a guest that the spec does not name."""
    word = shlex.quote(name)
    return (
        f"put its file back, or have one written: kvmkeep adopt {word}; or let it go: kvmkeep "
        f"remove {word}, or kvmkeep release {word}"
    )


def unnamed_notes(scene: Scene) -> tuple[Note, ...]:
    """Tell of guests of ours whose file was taken out of the spec."""
    domains = {one.name for one in unnamed(scene)}
    tagged = (
        tag_value(one, TAG_GUEST)
        for one in scene.volumes.values()
        if TAG_OURS in one.tags and not (is_trash(one) and original_name(one) != one.name)
    )
    own_uuids = {guest.uuid for guest in scene.spec.guests}
    renamed = {one.name for one in scene.facts.domains if one.uuid in own_uuids}
    return tuple(
        Note(
            subject=f"guest {name}",
            text="it is ours, but the spec does not name it; it is left as it is"
            + (
                ", and so it is neither started after a power cut nor backed up "
                f"({ways_back(name)})"
                if name in domains
                else f" (to remove it: kvmkeep remove {shlex.quote(name)})"
            ),
        )
        for name in sorted({*domains, *tagged} - scene.every_guest.keys() - renamed - {""})
    )


def double_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse to make a guest with the address or MAC of one that the spec has lost.

    Mostly it is the same one, whose file was renamed: it would be made anew, and empty, beside
    the one that is in use.
    """
    lost = unnamed(scene)
    return tuple(
        Refusal(
            subject=f"guest {guest.name}",
            reason=f"{what} is that of guest {one.name}, which the spec does not name any more",
            hint=_which(guest, one),
        )
        for guest in scene.guests
        if lost and fresh(scene, guest)
        for one in lost
        for what in _same(scene, guest, one)
    )


def _same(scene: Scene, guest: Guest, other: Domain) -> Iterator[str]:
    """Return what a guest would have in common with a domain, on one network."""
    bridges = {nic.mac.lower(): nic.bridge for nic in (*other.nics, *other.live_nics)}
    for nic in guest.nics:
        if nic.mac in bridges:
            yield f"its MAC address {nic.mac}"
        for given in other.given:
            there = bridges.get(given.mac, "")
            known = {
                one.partition("/")[0] for one in dict(given.settings).get("addresses", "").split()
            }
            if there in {"", scene.networks[nic.network].bridge}:
                yield from (f"its address {ip}" for ip in _ips(nic) if ip in known)


def _ips(nic: Nic) -> tuple[str, ...]:
    return tuple(str(address.ip) for address in nic.addresses)


def _which(guest: Guest, other: Domain) -> str:
    old, new = shlex.quote(other.name), guest.name
    return (
        f"if that is to be called {new}: have it named {other.name} in the spec again, and its "
        f"file {old}.yaml, then: kvmkeep rename {old} {new}; if it is another one, let it go "
        f"first: kvmkeep remove {old}, or kvmkeep release {old}"
    )
