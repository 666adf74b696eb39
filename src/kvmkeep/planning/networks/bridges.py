"""Networks: a bridge and a VLAN interface as NetworkManager profiles, under one checkpoint.

Settings and their words are those of nm-settings-nmcli(5). A port that is activated brings its
bridge up with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from kvmkeep.model.command import NM_NOT_FOUND, Checkpoint, Command, Meaning
from kvmkeep.model.names import NM_MARK
from kvmkeep.model.network_facts import Link, Undoing
from kvmkeep.model.plan import Note, Noun, Risk, Step
from kvmkeep.model.spec import Network
from kvmkeep.planning.networks.ports import in_turn
from kvmkeep.planning.networks.profiles import Settings, WantedProfile, judged, wanted_profiles
from kvmkeep.planning.networks.proof import is_vlan, longest, network_proof, own_gateway, ways_out
from kvmkeep.planning.networks.undo import MARGIN, Touched, network_undo, undo_steps
from kvmkeep.planning.networks.uplink import uplink_notes
from kvmkeep.planning.scene import Scene

ROLLBACK_AFTER = 45
"""Seconds after which NetworkManager undoes a change by itself; more where STP takes its time."""

_WITHOUT_EFFECT = frozenset({"connection.id", "connection.autoconnect"})
"""Settings that change nothing of an active interface: it need not be activated anew."""


def network_steps(scene: Scene, networks: tuple[Network, ...]) -> tuple[Step, ...]:
    """Return a step for each network that is not as the spec says, in turn.

    Where a change was left unfinished, it is undone first: what is there then is seen only then.
    """
    found = (network_step(scene, network) for network in in_turn(scene, judged(scene, networks)))
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


def network_notes(scene: Scene, networks: tuple[Network, ...]) -> tuple[Note, ...]:
    """Return what should be known of the uplink, and of guests that keep an MTU."""
    notes = [note for network in networks for note in _mtu_notes(scene, network)]
    uplink = scene.links.get(scene.spec.uplink)
    if networks and uplink is not None and not uplink.carrier:
        text = "it has no carrier: no guest reaches its network until the cable is in"
        notes.append(Note(subject=f"uplink {uplink.name}", text=text))
    return (*notes, *(uplink_notes(scene) if networks else ()))


def _mtu_notes(scene: Scene, network: Network) -> Iterator[Note]:
    """Tell whose tap devices keep the bridge's old MTU: libvirt gives it to them at their start."""
    bridge = scene.links.get(network.bridge)
    names = sorted(
        domain.name
        for domain in scene.facts.domains
        if any(nic.tap and nic.bridge == network.bridge for nic in domain.live_nics)
    )
    if names and bridge is not None and network.mtu not in {0, bridge.mtu}:
        text = f"its MTU becomes {network.mtu}; these have {bridge.mtu} until they are shut down "
        text += f"and started: {', '.join(names)}"
        yield Note(subject=f"network {network.name}", text=text)


def network_step(scene: Scene, network: Network) -> Step | None:
    """Return what has a network be as the spec says, or nothing where it is."""
    pair = wanted_profiles(scene, network)
    bridge, vlan = pair
    missing = [wanted for wanted in pair if wanted.profile is None]
    changed = [wanted for wanted in pair if wanted.different]
    activations = (
        *_bridge_activation(network, bridge),
        *_port_activation(scene, network, vlan),
    )
    if not (missing or changed or activations):
        return None
    body = [_add(wanted) for wanted in missing]
    body.extend(_modify(wanted) for wanted in changed)
    body.extend(activations)
    what, why = _sentence(scene, network, missing=missing, changed=changed)
    touched = tuple(_touched(wanted, activations) for wanted in pair)
    verify = network_proof(scene, network)
    port = touched[1]
    new_port = port.profile is None or port.changed or port.activated
    own = own_gateway(scene, network, new_port=new_port)
    keeps = (*ways_out(scene), *own)
    timeout = ROLLBACK_AFTER + longest((*verify, *keeps))
    checkpoint = Checkpoint(
        devices=_checkpoint_devices(scene, network),
        timeout=timeout,
        body=tuple(body),
        verify=verify,
        keeps=keeps,
        own=own,
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
    scene: Scene, network: Network, *, missing: list[WantedProfile], changed: list[WantedProfile]
) -> tuple[str, str]:
    bridge, interface = network.bridge, network.vlan_interface
    if len(missing) == 2:
        what = f"make bridge {bridge} with {interface} (VLAN {network.vlan}) as its port"
        return what, f"guests reach VLAN {network.vlan} of {scene.spec.uplink} through it"
    if missing:
        return f"complete bridge {bridge} and {interface}", "one of the two profiles is missing"
    if changed:
        told = [
            f"{key} of {wanted.interface} from {found or 'nothing'} to {value or 'nothing'}"
            for wanted in changed
            for key, value, found in wanted.changes
        ]
        return f"change {', '.join(told)}", "the spec says so"
    return f"activate bridge {bridge} and {interface}", "they are not as their profiles say"


def _add(wanted: WantedProfile) -> Command:
    names = ("type", wanted.type, "ifname", wanted.interface, "con-name", wanted.interface)
    settings = (("connection.uuid", wanted.uuid), *wanted.settings)
    return Command(
        argv=("nmcli", "connection", "add", *names, *_flat(settings)),
        why=f"add the profile of {wanted.interface}",
    )


def _modify(wanted: WantedProfile) -> Command:
    return Command(
        argv=("nmcli", "connection", "modify", "uuid", wanted.uuid, *_flat(wanted.different)),
        why=f"change the profile of {wanted.interface}",
    )


def _up(wanted: WantedProfile) -> Command:
    return Command(
        argv=("nmcli", "--wait", "30", "connection", "up", "uuid", wanted.uuid),
        why=f"activate {wanted.interface}",
        timeout=45.0,
    )


def _down(wanted: WantedProfile) -> Command:
    return Command(
        argv=("nmcli", "--wait", "20", "connection", "down", "uuid", wanted.uuid),
        why=f"take {wanted.interface} away: it can't become another VLAN",
        timeout=45.0,
        ok=(0, NM_NOT_FOUND),
    )


def _probe(bridge: WantedProfile) -> Command:
    argv = ("nmcli", "--get-values", "connection.stable-id", "connection", "show", "uuid")
    if bridge.profile is None:
        why = f"see that there is still no profile of {bridge.interface}"
        return Command(argv=(*argv, bridge.uuid), why=why, ok=(NM_NOT_FOUND,))
    why = f"see that the profile of {bridge.interface} is still ours"
    return Command(argv=(*argv, bridge.uuid), why=why, expect=NM_MARK)


def _bridge_activation(network: Network, bridge: WantedProfile) -> tuple[Command, ...]:
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
    delays = (link.forward_delay, network.forward_delay) if network.stp else (0, 0)
    mtu = link.mtu if network.mtu else 0
    in_kernel = (ageing_time, link.stp, delays[0], mtu)
    wanted = (network.ageing_time, network.stp, delays[1], network.mtu)
    on = () if link.up else (_set(link, "up"),)
    if in_kernel == wanted and not bridge.different:
        return on
    return (
        *on,
        Command(
            argv=("nmcli", "device", "reapply", bridge.interface),
            why=f"have {bridge.interface} as its profile says, with the guests on it",
            timeout=45.0,
            meanings=(_edited(bridge),),
        ),
    )


def _edited(bridge: WantedProfile) -> Meaning:
    activate = f"nmcli connection up uuid {bridge.uuid}"
    return Meaning(
        words="Can't reapply",
        sentence=f"The profile of {bridge.interface} was changed by hand, in what a bridge in use "
        "does not take. Change it back; or activate it when its guests can miss their network for "
        f"a while, and then put them back: {activate}; kvmkeep apply",
    )


def _set(link: Link, *words: str) -> Command:
    """Return what changes an interface in the kernel alone: its ports stay what they are."""
    return Command(
        argv=("ip", "link", "set", "dev", link.name, *words),
        why=f"have {link.name} as its profile says: {' '.join(words)}",
    )


def _port_activation(scene: Scene, network: Network, vlan: WantedProfile) -> tuple[Command, ...]:
    link = vlan.link
    works_otherwise = any(key not in _WITHOUT_EFFECT for key, _ in vlan.different)
    idle = vlan.profile is None or vlan.inactive or works_otherwise
    if link is not None and link.master == network.bridge and not idle:
        mtu = () if network.mtu in {0, link.mtu} else (_set(link, "mtu", str(network.mtu)),)
        # One goes off with its parent, and comes on with it (vlan_device_event() in Linux'
        # net/8021q/vlan.c); meanwhile it can't be.
        uplink = scene.links.get(scene.spec.uplink)
        off = not link.up and uplink is not None and uplink.up
        return (*mtu, *((_set(link, "up"),) if off else ()))
    # A VLAN's id and parent can't be changed: NetworkManager finds "no compatible device" then
    # (check_connection_compatible() in its nm-device-vlan.c). So it is made anew.
    anew = vlan.retagged and vlan.profile is not None and not vlan.inactive
    return (*((_down(vlan),) if anew else ()), _up(vlan))


def _touched(wanted: WantedProfile, activations: tuple[Command, ...]) -> Touched:
    return Touched(
        uuid=wanted.uuid,
        interface=wanted.interface,
        kind=wanted.type,
        profile=wanted.profile,
        changed=bool(wanted.different),
        activated=wanted.inactive and _up(wanted) in activations,
        there=wanted.link is not None,
        pending=wanted.pending,
        asks_vlan=_asks_vlan(wanted),
        was=_was(wanted),
    )


def _asks_vlan(wanted: WantedProfile) -> tuple[str, ...]:
    if wanted.profile is None or wanted.type != "vlan":
        return ()
    vlan, parent = (wanted.profile.setting(key) for key in ("vlan.id", "vlan.parent"))
    return is_vlan(wanted.interface, vlan, wanted.interfaces.get(parent, parent))


def _was(wanted: WantedProfile) -> tuple[tuple[str, str], ...]:
    """Return what the kernel tells of a bridge, by the names that it has below the interface."""
    link = wanted.link
    if link is None or wanted.type != "bridge":
        return ()
    # The kernel counts in hundredths of a second (USER_HZ). While the topology changes, its ageing
    # time is one of its own.
    ageing = () if link.topology_change else (("bridge/ageing_time", str(link.ageing_time * 100)),)
    delay = (("bridge/forward_delay", str(link.forward_delay * 100)),) if link.stp else ()
    stp = ("bridge/stp_state", "1" if link.stp else "0")
    return (*ageing, stp, *delay, ("mtu", str(link.mtu)))


def _checkpoint_devices(scene: Scene, network: Network) -> tuple[str, ...]:
    names = (scene.spec.uplink, network.vlan_interface, network.bridge)
    paths = (scene.facts.nm.device_path(name) for name in names)
    return tuple(path for path in paths if path)


def _flat(settings: Settings) -> tuple[str, ...]:
    return tuple(word for pair in settings for word in pair)
