"""What else is a port of a bridge of the spec, and would be a second way out of it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from kvmkeep.model.facts import Profile
from kvmkeep.model.names import NM_MARK
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Network
from kvmkeep.planning.scene import Scene

_ENDS = frozenset(("tun", "veth", "dummy"))
"""Kinds of interfaces that end on this host, in guests and containers: ip-link(8)."""
_MASTER = ("connection.master", "connection.controller")
"""The same by the names of NetworkManager before 1.46 and since."""


class OtherPort(Struct, frozen=True, kw_only=True):
    """A port of a bridge that is not its VLAN interface, with its profile, if it has one."""

    name: str
    profile: Profile | None

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
    for name, kind in kinds.items():
        if name != network.vlan_interface and kind not in _ENDS:
            yield OtherPort(name=name, profile=of_port.get(name))


def second_way_out(scene: Scene, network: Network, port: OtherPort) -> Refusal:
    """Refuse to change a bridge that has another port, or would have."""
    out = f"{'remove it' if port.ours else 'take it out'} first: {port.out}"
    needed = any(other.vlan_interface == port.name for other in scene.spec.networks)
    if port.ours and not needed:
        become = f"have it become VLAN {network.vlan} of {scene.spec.uplink}"
        out = f"say `vlan_interface: {port.name}` of the network to {become}, or {out}"
    return Refusal(
        subject=f"network {network.name}",
        reason=f"{port.name} is a port of its bridge {network.bridge} too: with another one, "
        "networks would be joined, or a loop made",
        hint=out,
    )
