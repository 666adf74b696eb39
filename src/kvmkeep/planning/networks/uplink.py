"""Addresses of the host on the uplink itself, which is there for the guests' VLANs.

Unless it is told not to, NetworkManager makes a profile for each NIC that has none, and asks for
addresses with it (NetworkManager.conf(5), `no-auto-default`); installers write such profiles too.
"""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.model.network_facts import Profile
from kvmkeep.model.plan import Note
from kvmkeep.planning.networks.profiles import ADDRESSING
from kvmkeep.planning.scene import Scene

_LINK_LOCAL = ("fe80:", "169.254.")


def automatic_addresses(scene: Scene) -> tuple[str, ...]:
    """Return the addresses that a network has given the uplink itself, asked by its profile.

    What somebody has written down for it is meant.
    """
    link, profile = scene.links.get(scene.spec.uplink), _profile(scene)
    if link is None or profile is None:
        return ()
    return tuple(
        one
        for one in link.addresses
        if profile.setting("ipv6.method" if ":" in one else "ipv4.method") == "auto"
        and not one.startswith(_LINK_LOCAL)
    )


def uplink_notes(scene: Scene) -> Iterator[Note]:
    """Tell of addresses that nobody has given the uplink."""
    found = automatic_addresses(scene)
    if found:
        text = f"its profile has asked for {', '.join(found)}: with that, the host itself is on "
        text += "the guests' wire, and may have a second default route; to end that: "
        yield Note(subject=f"uplink {scene.spec.uplink}", text=text + without_addresses(scene))


def without_addresses(scene: Scene) -> str:
    """Return what to type so that the host has no address on the uplink; VLANs of it go on."""
    name, profile = scene.spec.uplink, _profile(scene)
    if profile is None:
        return f"ip address show dev {name}"
    methods = "ipv4.method disabled ipv6.method disabled"
    cleared = "".join(f" {key} ''" for key in ADDRESSING if profile.setting(key))
    modify = f"nmcli connection modify uuid {profile.uuid} {methods}{cleared}"
    return f"{modify}; nmcli device reapply {name}"


def _profile(scene: Scene) -> Profile | None:
    name = scene.spec.uplink
    return next((one for one in scene.facts.nm.profiles if one.device == name), None)
