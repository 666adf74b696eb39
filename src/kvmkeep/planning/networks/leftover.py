"""Bridges of ours that no network of the spec has any more: they carry their VLAN at each boot."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.model.names import NM_MARK
from kvmkeep.model.network_facts import Profile, Undoing
from kvmkeep.model.plan import Note
from kvmkeep.planning.networks.ports import masters
from kvmkeep.planning.scene import Scene


def leftover_notes(scene: Scene) -> Iterator[Note]:
    """Tell how to remove those that nobody uses."""
    if scene.facts.nm.undoing is Undoing.ARMED:
        return
    ours = [one for one in scene.facts.nm.profiles if is_ours(one)]
    named = {name for one in scene.spec.networks for name in (one.bridge, one.vlan_interface)}
    for bridge in ours:
        if bridge.type != "bridge" or bridge.interface in named or _used(scene, bridge):
            continue
        ports = [one for one in ours if bridge.interface in masters(scene, one)]
        ports = [one for one in ports if one.interface not in named]
        if not _others(scene, bridge, ports):
            delete = " ".join(f"uuid {one.uuid}" for one in (bridge, *ports))
            text = "it is ours, but no network of the spec has it; no domain is on it, and it is "
            text += f"left as it is (to remove it: nmcli connection delete {delete})"
            yield Note(subject=f"bridge {bridge.interface}", text=text)


def is_ours(profile: Profile) -> bool:
    """Whether a profile wears our mark."""
    return profile.setting("connection.stable-id") == NM_MARK


def _used(scene: Scene, bridge: Profile) -> bool:
    """Whether a domain has a NIC on a bridge, or the host itself an address."""
    name = bridge.interface
    link = scene.links.get(name)
    addresses = () if link is None else link.addresses
    return any(
        nic.bridge == name for one in scene.facts.domains for nic in (*one.nics, *one.live_nics)
    ) or any(not one.startswith("fe80:") for one in addresses)


def _others(scene: Scene, bridge: Profile, ports: list[Profile]) -> bool:
    """Whether a bridge has ports beside those of ours: of a container, or somebody's own."""
    own = {one.interface for one in ports}
    return any(one.name not in own for one in scene.facts.links if one.master == bridge.interface)
