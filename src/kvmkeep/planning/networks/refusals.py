"""Why networks can't be made: what is in the way and not ours, and an uplink that can't be one."""

from __future__ import annotations

from kvmkeep.model.links import rests_on, team_of
from kvmkeep.model.names import NM_MARK
from kvmkeep.model.network_facts import Profile, Undoing
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Network
from kvmkeep.planning.networks.bridges import network_step
from kvmkeep.planning.networks.leftover import is_ours
from kvmkeep.planning.networks.ports import in_turn, other_ports, second_way_out
from kvmkeep.planning.networks.profiles import WantedProfile, judged, wanted_profiles
from kvmkeep.planning.networks.uplink import without_addresses
from kvmkeep.planning.scene import Scene


def network_refusals(scene: Scene, networks: tuple[Network, ...]) -> tuple[Refusal, ...]:
    """Return why networks can't be made: what is in the way and not ours."""
    refusals: list[Refusal] = []
    if networks and not scene.facts.nm.running:
        refusals.append(
            Refusal(
                subject="NetworkManager",
                reason="it is not running",
                hint="start it: systemctl start NetworkManager",
                unready=True,
            )
        )
    vlans = {
        link.vlan_id: link.name
        for link in scene.facts.links
        if link.kind == "vlan" and link.parent == scene.spec.uplink
    }
    named: dict[str, list[Profile]] = {}
    for profile in scene.facts.nm.profiles:
        for name in {profile.name, profile.interface}:
            named.setdefault(name, []).append(profile)
    known = judged(scene, networks)
    turn = in_turn(scene, known)
    for network in networks:
        pair = wanted_profiles(scene, network) if network in known else ()
        for wanted in pair:
            refusals.extend(_foreign(network, wanted, named.get(wanted.interface, [])))
        other = vlans.get(network.vlan, network.vlan_interface)
        if other != network.vlan_interface:
            refusals.append(
                Refusal(
                    subject=f"network {network.name}",
                    reason=f"VLAN {network.vlan} of {scene.spec.uplink} is in use by {other}",
                    hint=f"say `vlan_interface: {other}` if it is one of ours, or remove {other}"
                    + _by(named.get(other, [])),
                )
            )
        if network in known and _is_changed(scene, network):
            before = turn[: turn.index(network)]
            refusals.extend(
                second_way_out(scene, networks, network, port)
                for port in other_ports(scene, network)
                if not (port.owner in before and _is_changed(scene, port.owner))
            )
    if networks:
        found = _uplink_refusals(scene, networks)
        if not found and any(_is_changed(scene, network) for network in known):
            found = _way_in_refusals(scene)
        refusals.extend(found)
    return tuple(refusals)


def _by(profiles: list[Profile]) -> str:
    """Return the line that removes an interface of ours."""
    ours = [one.uuid for one in profiles if is_ours(one)]
    return f": nmcli connection delete uuid {ours[0]}" if len(ours) == len(profiles) == 1 else ""


def _is_changed(scene: Scene, network: Network) -> bool:
    """Whether a network is changed, as far as can be seen before an unfinished change is undone."""
    armed = scene.facts.nm.undoing is Undoing.ARMED
    return not armed and network_step(scene, network) is not None


def _foreign(network: Network, wanted: WantedProfile, namesakes: list[Profile]) -> list[Refusal]:
    """Refuse profiles and interfaces that have our names and not our mark."""
    found: list[Refusal] = []
    name = wanted.interface
    for profile in namesakes:
        if profile.uuid != wanted.uuid:
            reason = f"the NetworkManager profile {profile.name} ({profile.uuid}) uses {name}"
            found.append(_not_ours(network, reason, f"nmcli connection show {profile.uuid}"))
    if wanted.profile is not None and wanted.profile.setting("connection.stable-id") != NM_MARK:
        reason = f"the profile {wanted.profile.name} no longer has `connection.stable-id {NM_MARK}`"
        found.append(_not_ours(network, reason, f"nmcli connection show {wanted.uuid}"))
    if wanted.profile is None and wanted.link is not None and not found:
        reason = f"there is an interface {name} that no profile of ours made"
        found.append(_not_ours(network, reason, f"ip -d link show {name}"))
    return found


def _not_ours(network: Network, reason: str, look: str) -> Refusal:
    return Refusal(
        subject=f"network {network.name}",
        reason=f"{reason}, so it is not ours",
        hint=f"look at `{look}`; take it over (kvmkeep adopt), remove it, or choose another name",
    )


def _uplink_refusals(scene: Scene, networks: tuple[Network, ...]) -> list[Refusal]:
    name = scene.spec.uplink
    subject = f"uplink {name}"
    uplink = scene.links.get(name)
    if uplink is None:
        hint = "correct `uplink`; `ip link` shows all interfaces"
        return [Refusal(subject=subject, reason="there is no such interface", hint=hint)]
    refusals = [
        Refusal(
            subject=f"network {network.name}",
            reason=f"its MTU of {network.mtu} is larger than the uplink's {uplink.mtu}",
            hint=f"lower `mtu`, or raise the MTU of {name} first",
        )
        for network in networks
        if network.mtu > uplink.mtu
    ]
    management = scene.facts.management
    ways: tuple[str, ...] = ()
    if management is not None:
        ways = (management.interface,) if management.gateway else management.ways
    reached = {name for way in ways for name in rests_on(scene.facts, way)}
    team = team_of(scene.facts, uplink)
    if team and team not in reached:
        reason = f"it is a port of {team}, which may have it rest"
        refusals.append(Refusal(subject=subject, reason=reason, hint=f"write `uplink: {team}`"))
    if management is not None and name in reached:
        over = f"default route on {management.interface}"
        if not management.gateway:
            over = f"somebody is logged in by SSH over {', '.join(ways)}"
        refusals.append(
            Refusal(
                subject=subject,
                reason=f"this host is reached through it ({over})",
                hint="choose another interface as the uplink; this one is never touched",
            )
        )
    return refusals


def _way_in_refusals(scene: Scene) -> list[Refusal]:
    """Refuse to change networks of an uplink that the host is reached over besides its gateway's.

    Of two default routes, the lower metric says little about which is the host's own. What comes
    as a VLAN of the uplink is left to the proof of a change, which asks who is logged in.
    """
    name, management = scene.spec.uplink, scene.facts.management
    if management is None:
        return []
    six = management.interface6
    over = {f"somebody is logged in by SSH over {way}": way for way in management.others}
    if six and six not in management.others:
        over[f"IPv6's default route is on {six}"] = six
    return [
        Refusal(
            subject=f"uplink {name}",
            reason=f"this host is reached through it ({text})",
            hint="choose another interface as the uplink; if it is for guests alone, log in over "
            f"another one and take its addresses away: {without_addresses(scene)}",
        )
        for text, way in over.items()
        if name in rests_on(scene.facts, way, tagged=False)
    ]
