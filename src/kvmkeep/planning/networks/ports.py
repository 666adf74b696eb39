"""What else is a port of a bridge of the spec, and would be a second way out of it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from kvmkeep.model.names import NM_MARK
from kvmkeep.model.network_facts import Profile
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Network
from kvmkeep.planning.networks.profiles import own_profile
from kvmkeep.planning.scene import Scene

_ENDS = frozenset(("tun", "veth", "dummy"))
"""Kinds of interfaces that end on this host, in guests and containers: ip-link(8)."""
_MASTER = ("connection.master", "connection.controller")
"""The same by the names of NetworkManager before 1.46 and since."""


class OtherPort(Struct, frozen=True, kw_only=True):
    """A port of a bridge that is not its VLAN interface, with its profile, if it has one.

    `owner` is the other network of the spec whose VLAN interface it is: `apply` has it go there.
    """

    name: str
    profile: Profile | None
    owner: Network | None

    @property
    def ours(self) -> bool:
        """Whether it wears our mark."""
        return self.profile is not None and self.profile.setting("connection.stable-id") == NM_MARK

    @property
    def out(self) -> str:
        """What to type to have it leave the bridge; one of ours is removed."""
        if self.profile is None:
            return f"ip link set dev {self.name} nomaster"
        uuid = f"uuid {self.profile.uuid}"
        if self.owner is not None:
            # Without any master it would ask the VLAN for an address of the host.
            home = f"connection.master {self.owner.bridge}"
            return f"nmcli connection modify {uuid} {home}; ip link set dev {self.name} nomaster"
        if self.ours:
            return f"nmcli connection delete {uuid}"
        none = "connection.master '' connection.slave-type ''"
        return f"nmcli connection modify {uuid} {none}; nmcli connection up {uuid}"


def other_ports(scene: Scene, network: Network) -> Iterator[OtherPort]:
    """Yield each, by what the kernel has and what profiles would make at the next boot."""
    profiles = scene.facts.nm.profiles
    of_port = {one.device or one.interface: one for one in profiles}
    bridge = {one.uuid for one in profiles if one.interface == network.bridge} | {network.bridge}
    kinds = {link.name: link.kind for link in scene.facts.links if link.master == network.bridge}
    for profile in profiles:
        if any(profile.setting(key) in bridge for key in _MASTER):
            kinds.setdefault(profile.interface or profile.name, profile.type)
    owners = {one.vlan_interface: one for one in scene.spec.networks if _own(scene, one)}
    for name, kind in kinds.items():
        if name != network.vlan_interface and kind not in _ENDS:
            yield OtherPort(name=name, profile=of_port.get(name), owner=owners.get(name))


def in_turn(scene: Scene, networks: tuple[Network, ...]) -> tuple[Network, ...]:
    """Return networks so that one whose port is in the bridge of another comes before that one.

    Those that have each other's come last, as they were.
    """
    astray = {network.name: _astray(scene, network) for network in networks}
    turn: list[Network] = []
    left = list(networks)
    while left:
        held = {bridge for network in left for bridge in astray[network.name]}
        free = [network for network in left if network.bridge not in held]
        if not free:
            break
        turn += free
        left = [network for network in left if network.bridge in held]
    return (*turn, *left)


def _astray(scene: Scene, network: Network) -> set[str]:
    """Return the bridges of others that its own VLAN interface is a port of, or would be."""
    profile = _own(scene, network)
    if profile is None:
        return set()
    link = scene.links.get(network.vlan_interface)
    found = {link.master} if link is not None else set()
    return (found | masters(scene, profile)) - {network.bridge}


def left_bridge(scene: Scene, network: Network) -> str:
    """Return the bridge that a network's VLAN interface leaves for another one, or nothing.

    One whose profile names the network's bridge was taken astray by somebody, and comes back; and
    another network's bridge gets its own port.
    """
    profile, link = _own(scene, network), scene.links.get(network.vlan_interface)
    if profile is None or link is None or network.bridge in masters(scene, profile):
        return ""
    bridges = {one.bridge for one in scene.spec.networks}
    return "" if link.master in bridges else link.master


def is_dead_end(scene: Scene, bridge: str) -> bool:
    """Whether a bridge is ours, is no network's of the spec any more, and has no way out."""
    return (
        bridge not in {one.bridge for one in scene.spec.networks}
        and own_profile(scene, "bridge", bridge) is not None
        and all(one.kind in _ENDS for one in scene.facts.links if one.master == bridge)
    )


def masters(scene: Scene, profile: Profile) -> set[str]:
    """Return the interfaces whose port a profile makes, by their names."""
    told = {profile.setting(key) for key in _MASTER} - {""}
    named = scene.profiles
    return {named[one].interface if one in named else one for one in told}


def _own(scene: Scene, network: Network) -> Profile | None:
    return own_profile(scene, "vlan", network.vlan_interface)


def second_way_out(
    scene: Scene, networks: tuple[Network, ...], network: Network, port: OtherPort
) -> Refusal:
    """Refuse to change a bridge that has another port, or would have.

    `networks` are those that are made as the spec says.
    """
    removed = port.ours and port.owner is None
    out = f"{'remove it' if removed else 'take it out'} first: {port.out}"
    if port.owner is not None and port.owner not in networks:
        out = f"have it in {port.owner.bridge} first: kvmkeep apply, of all guests"
    if removed:
        become = f"have it become VLAN {network.vlan} of {scene.spec.uplink}"
        out = f"say `vlan_interface: {port.name}` of the network to {become}, or {out}"
    return Refusal(
        subject=f"network {network.name}",
        reason=f"{port.name} is a port of its bridge {network.bridge} too: with another one, "
        "networks would be joined, or a loop made",
        hint=out,
    )
