"""Networks: a bridge and a VLAN interface as NetworkManager profiles, under one checkpoint.

Settings and their words are those of nm-settings-nmcli(5). A port that is activated brings its
bridge up with it.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import Checkpoint, Command
from kvmkeep.model.facts import Link, Profile, Undoing
from kvmkeep.model.names import NM_MARK, profile_uuid
from kvmkeep.model.plan import Note, Noun, Refusal, Risk, Step
from kvmkeep.model.spec import Network
from kvmkeep.planning.network_proof import longest, network_proof, ways_out
from kvmkeep.planning.network_undo import MARGIN, Touched, network_undo, undo_steps
from kvmkeep.planning.scene import Scene

ROLLBACK_AFTER = 45
"""Seconds after which NetworkManager undoes a change by itself; more where STP takes its time."""

_NOT_FOUND = 10
"""nmcli(1): connection, device, or access point does not exist."""

_LEFT_AS_FOUND = frozenset(
    ["connection.autoconnect", "connection.autoconnect-slaves", "ipv4.method", "ipv6.method"]
)
"""How a profile that was taken over comes up is left to whoever made it."""

Settings = tuple[tuple[str, str], ...]


class _Wanted(Struct, frozen=True, kw_only=True):
    """A profile as it should be. `link` is the kernel's interface of it, if there is one."""

    uuid: str
    type: str
    interface: str
    settings: Settings
    profile: Profile | None
    link: Link | None

    interfaces: dict[str, str]
    """The interface of each profile, by its UUID: masters and parents may be told by either."""

    @property
    def different(self) -> Settings:
        """The settings of an existing profile that are not as wanted.

        What NetworkManager did not tell is not compared: names come and go with its versions.
        """
        return tuple((key, value) for key, value, found in self.changes if found)

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """The same, each with what it is now."""
        if self.profile is None:
            return ()
        return tuple(
            (key, value, found)
            for key, value in self.settings
            if (found := _word(self.profile.setting(key)))
            and self.interfaces.get(found, found) != value
        )

    @property
    def inactive(self) -> bool:
        """Whether the profile exists without being active on its interface."""
        return self.profile is not None and self.profile.device != self.interface


def network_steps(scene: Scene, networks: tuple[Network, ...]) -> tuple[Step, ...]:
    """Return a step for each network that is not as the spec says.

    Where a change was left unfinished, it is undone first: what is there then is seen only then.
    """
    found = (_step(scene, network) for network in networks)
    steps = tuple(step for step in found if step is not None)
    unfinished = undo_steps(scene)
    if scene.facts.nm.undoing is not Undoing.ARMED:
        return (*unfinished, *steps)
    text = "what is there once the unfinished change is undone"
    return (*unfinished, *(replace(one, assumes=text) for one in steps or (_look(text),)))


def _look(assumes: str) -> Step:
    return Step(
        noun=Noun.NETWORK,
        subject="networks",
        what="have all of them as the spec says",
        why="what was undone may be wanted",
        actions=(),
        assumes=assumes,
    )


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
    for network in networks:
        for wanted in _wanted(scene, network):
            refusals.extend(_foreign(network, wanted, named.get(wanted.interface, [])))
        other = vlans.get(network.vlan, network.vlan_interface)
        if other != network.vlan_interface:
            refusals.append(
                Refusal(
                    subject=f"network {network.name}",
                    reason=f"VLAN {network.vlan} of {scene.spec.uplink} is in use by {other}",
                    hint=f"say `vlan_interface: {other}` if it is one of ours, or remove {other}",
                )
            )
    if networks:
        refusals.extend(_uplink_refusals(scene, networks))
    return tuple(refusals)


def network_notes(scene: Scene, networks: tuple[Network, ...]) -> tuple[Note, ...]:
    """Return what should be known of the uplink."""
    uplink = scene.links.get(scene.spec.uplink)
    if networks and uplink is not None and not uplink.carrier:
        text = "it has no carrier: no guest reaches its network until the cable is in"
        return (Note(subject=f"uplink {uplink.name}", text=text),)
    return ()


def _wanted(scene: Scene, network: Network) -> tuple[_Wanted, _Wanted]:
    common = (("connection.stable-id", NM_MARK), ("connection.autoconnect", "yes"))
    mtu = (("802-3-ethernet.mtu", str(network.mtu)),) if network.mtu else ()
    bridge: Settings = (
        *common,
        # Named connection.autoconnect-ports since NetworkManager 1.46; the old name still works.
        ("connection.autoconnect-slaves", "1"),
        ("bridge.ageing-time", str(network.ageing_time)),
        ("bridge.stp", "yes" if network.stp else "no"),
        ("bridge.forward-delay", str(network.forward_delay)),
        *mtu,
        ("ipv4.method", "disabled"),
        ("ipv6.method", "disabled"),
    )
    vlan: Settings = (
        *common,
        ("connection.master", network.bridge),
        ("connection.slave-type", "bridge"),
        ("vlan.parent", scene.spec.uplink),
        ("vlan.id", str(network.vlan)),
        *mtu,
    )

    interfaces = {one.uuid: one.interface for one in scene.facts.nm.profiles}

    def wanted(kind: str, interface: str, settings: Settings) -> _Wanted:
        profile = own_profile(scene, kind, interface)
        uuid = profile_uuid(scene.spec.host.name, interface)
        if profile is not None and profile.uuid != uuid:
            settings = tuple(pair for pair in settings if pair[0] not in _LEFT_AS_FOUND)
        return _Wanted(
            uuid=profile.uuid if profile is not None else uuid,
            type=kind,
            interface=interface,
            settings=settings,
            profile=profile,
            link=scene.links.get(interface),
            interfaces=interfaces,
        )

    return (
        wanted("bridge", network.bridge, bridge),
        wanted("vlan", network.vlan_interface, vlan),
    )


def own_profile(scene: Scene, kind: str, interface: str) -> Profile | None:
    """Return our profile of an interface: by the UUID we derive, or else by our mark.

    A profile that was taken over keeps the UUID that it was made with.
    """
    derived = scene.profiles.get(profile_uuid(scene.spec.host.name, interface))
    if derived is not None:
        return derived
    marked = [
        profile
        for profile in scene.facts.nm.profiles
        if (profile.type, profile.interface) == (kind, interface)
        and profile.setting("connection.stable-id") == NM_MARK
    ]
    return marked[0] if len(marked) == 1 else None


def _step(scene: Scene, network: Network) -> Step | None:
    pair = _wanted(scene, network)
    bridge, vlan = pair
    missing = [wanted for wanted in pair if wanted.profile is None]
    changed = [wanted for wanted in pair if wanted.different]
    activations = (*_bridge_activation(network, bridge), *_port_activation(network, vlan))
    if not (missing or changed or activations):
        return None
    body = [_add(wanted) for wanted in missing]
    body.extend(_modify(wanted) for wanted in changed)
    body.extend(activations)
    what, why = _sentence(scene, network, missing=missing, changed=changed)
    touched = tuple(_touched(wanted, activations) for wanted in pair)
    verify = network_proof(scene, network)
    keeps = ways_out(scene, network, new_port=touched[1].changed or touched[1].activated)
    timeout = ROLLBACK_AFTER + longest((*verify, *keeps))
    checkpoint = Checkpoint(
        devices=_checkpoint_devices(scene, network),
        timeout=timeout,
        body=tuple(body),
        verify=verify,
        keeps=keeps,
        undo=network_undo(touched, timeout + MARGIN),
        why=f"have NetworkManager undo it after {timeout} s unless it proves good",
    )
    return Step(
        noun=Noun.NETWORK,
        subject=f"network {network.name}",
        what=what,
        why=why,
        probe=_probe(bridge),
        actions=(checkpoint,),
        risk=Risk.NETWORK,
    )


def _sentence(
    scene: Scene, network: Network, *, missing: list[_Wanted], changed: list[_Wanted]
) -> tuple[str, str]:
    bridge, interface = network.bridge, network.vlan_interface
    if len(missing) == 2:
        what = f"make bridge {bridge} with {interface} (VLAN {network.vlan}) as its port"
        return what, f"guests reach VLAN {network.vlan} of {scene.spec.uplink} through it"
    if missing:
        return f"complete bridge {bridge} and {interface}", "one of the two profiles is missing"
    if changed:
        told = [
            f"{key} of {wanted.interface} from {found} to {value}"
            for wanted in changed
            for key, value, found in wanted.changes
        ]
        return f"change {', '.join(told)}", "the spec says so"
    return f"activate bridge {bridge} and {interface}", "they are not as their profiles say"


def _add(wanted: _Wanted) -> Command:
    names = ("type", wanted.type, "ifname", wanted.interface, "con-name", wanted.interface)
    settings = (("connection.uuid", wanted.uuid), *wanted.settings)
    return Command(
        argv=("nmcli", "connection", "add", *names, *_flat(settings)),
        why=f"add the profile of {wanted.interface}",
    )


def _modify(wanted: _Wanted) -> Command:
    return Command(
        argv=("nmcli", "connection", "modify", "uuid", wanted.uuid, *_flat(wanted.different)),
        why=f"change the profile of {wanted.interface}",
    )


def _up(wanted: _Wanted) -> Command:
    return Command(
        argv=("nmcli", "--wait", "30", "connection", "up", "uuid", wanted.uuid),
        why=f"activate {wanted.interface}",
        timeout=45.0,
    )


def _probe(bridge: _Wanted) -> Command:
    argv = ("nmcli", "--get-values", "connection.stable-id", "connection", "show", "uuid")
    if bridge.profile is None:
        why = f"see that there is still no profile of {bridge.interface}"
        return Command(argv=(*argv, bridge.uuid), why=why, ok=(_NOT_FOUND,))
    why = f"see that the profile of {bridge.interface} is still ours"
    return Command(argv=(*argv, bridge.uuid), why=why, expect=NM_MARK)


def _bridge_activation(network: Network, bridge: _Wanted) -> tuple[Command, ...]:
    """Return what makes an existing bridge as its profile says; a new one comes with its port.

    An active bridge is not activated again: that would take guests off it.
    """
    if bridge.profile is None:
        return ()
    link = bridge.link
    if bridge.inactive or link is None:
        return (_up(bridge),)
    ageing_time = link.ageing_time
    if link.topology_change and ageing_time == 2 * link.forward_delay:
        # The kernel's own, for about half a minute; then it takes back what was set.
        ageing_time = network.ageing_time
    in_kernel = (ageing_time, link.stp, link.forward_delay if network.stp else 0)
    wanted = (network.ageing_time, network.stp, network.forward_delay if network.stp else 0)
    if in_kernel == wanted and not bridge.different:
        return ()
    return (
        Command(
            argv=("nmcli", "device", "reapply", bridge.interface),
            why=f"have {bridge.interface} as its profile says, with the guests on it",
            timeout=45.0,
        ),
    )


def _port_activation(network: Network, vlan: _Wanted) -> tuple[Command, ...]:
    as_wanted = vlan.link is not None and vlan.link.master == network.bridge
    if as_wanted and vlan.profile is not None and not (vlan.inactive or vlan.different):
        return ()
    return (_up(vlan),)


def _touched(wanted: _Wanted, activations: tuple[Command, ...]) -> Touched:
    return Touched(
        uuid=wanted.uuid,
        interface=wanted.interface,
        kind=wanted.type,
        profile=wanted.profile,
        changed=bool(wanted.different),
        activated=wanted.inactive and _up(wanted) in activations,
        there=wanted.link is not None,
    )


def _checkpoint_devices(scene: Scene, network: Network) -> tuple[str, ...]:
    names = (scene.spec.uplink, network.vlan_interface, network.bridge)
    paths = (scene.facts.nm.device_path(name) for name in names)
    return tuple(path for path in paths if path)


def _foreign(network: Network, wanted: _Wanted, namesakes: list[Profile]) -> list[Refusal]:
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
    if management is None:
        return refusals
    own = scene.links.get(management.interface)
    if management.interface in {name, uplink.master} or (own is not None and own.parent == name):
        refusals.append(
            Refusal(
                subject=subject,
                reason=f"this host is reached through it (default route on {management.interface})",
                hint="choose another interface as the uplink; this one is never touched",
            )
        )
    return refusals


def _flat(settings: Settings) -> tuple[str, ...]:
    return tuple(word for pair in settings for word in pair)


def _word(text: str) -> str:
    """Return a setting without nmcli's explanation in brackets: `1 (yes)` is `1`."""
    return text.partition(" (")[0]
