"""The profiles of NetworkManager that a network of the spec should have, beside those it has.

Settings and their words are those of nm-settings-nmcli(5).
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.names import NM_MARK, profile_uuid
from kvmkeep.model.network_facts import Link, Profile
from kvmkeep.model.spec import Network
from kvmkeep.planning.scene import Scene

ADDRESSING = tuple(
    f"{family}.{key}"
    for family in ("ipv4", "ipv6")
    for key in ("addresses", "gateway", "dns", "routes")
)
"""What a profile must not have whose method is `disabled`: NetworkManager refuses it then."""
_LEFT_AS_FOUND = frozenset(
    (
        "connection.id", "connection.autoconnect", "connection.autoconnect-slaves", "ipv4.method",
        "ipv6.method", *ADDRESSING,
    )
)  # fmt: skip
"""How a profile that was taken over comes up is left to whoever made it."""

_TAG = ("vlan.id", "vlan.parent")

Settings = tuple[tuple[str, str], ...]

_COMMON: Settings = (("connection.stable-id", NM_MARK), ("connection.autoconnect", "yes"))


class WantedProfile(Struct, frozen=True, kw_only=True):
    """A profile as it should be. `link` is the kernel's interface of it, if there is one.

    `settings` are those that a new profile is given, `defaults` those that it has without that.
    """

    uuid: str
    type: str
    interface: str
    settings: Settings
    defaults: Settings
    profile: Profile | None
    link: Link | None

    interfaces: dict[str, str]
    """The interface of each profile, by its UUID: masters and parents may be told by either."""

    @property
    def different(self) -> Settings:
        """The settings of an existing profile that are not as wanted.

        What NetworkManager did not tell is not compared: names come and go with its versions.
        """
        return tuple((key, value) for key, value, _ in self.changes)

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        """The same, each with what it is now: nothing, where it was cleared."""
        if self.profile is None:
            return ()
        told = {key: _word(text) for key, text in self.profile.settings}
        return tuple(
            (key, value, found)
            for key, value in (*self.settings, *self.defaults)
            if (found := told.get(key)) is not None and self.interfaces.get(found, found) != value
        )

    @property
    def retagged(self) -> bool:
        """Whether the kernel has another VLAN than is wanted."""
        if self.link is None or self.type != "vlan":
            return False
        tag = dict(self.settings)
        return (str(self.link.vlan_id), self.link.parent) != (tag["vlan.id"], tag["vlan.parent"])

    @property
    def pending(self) -> bool:
        """Whether the profile alone is of another VLAN: it was not activated since."""
        keys = {key for key, _ in self.different}
        return self.link is not None and not self.retagged and not keys.isdisjoint(_TAG)

    @property
    def inactive(self) -> bool:
        """Whether the profile exists without being active on its interface."""
        return self.profile is not None and self.profile.device != self.interface


def judged(scene: Scene, networks: tuple[Network, ...]) -> tuple[Network, ...]:
    """Return those of the networks of which it can be known whether they are as the spec says.

    While NetworkManager is stopped, its interfaces go on, and nmcli tells no profile of theirs.
    """
    if scene.facts.nm.running:
        return networks
    return tuple(
        network
        for network in networks
        if scene.links.keys().isdisjoint((network.bridge, network.vlan_interface))
    )


def wanted_profiles(scene: Scene, network: Network) -> tuple[WantedProfile, WantedProfile]:
    """Return the bridge's profile, and that of the VLAN interface which is its port."""
    no_addressing = tuple((key, "") for key in ADDRESSING)
    return (
        _wanted(scene, "bridge", network.bridge, _bridge_settings(network), no_addressing),
        _wanted(scene, "vlan", network.vlan_interface, _vlan_settings(scene, network), ()),
    )


def _bridge_settings(network: Network) -> Settings:
    return (
        *_COMMON,
        # Named connection.autoconnect-ports since NetworkManager 1.46; the old name still works.
        ("connection.autoconnect-slaves", "1"),
        ("bridge.ageing-time", str(network.ageing_time)),
        ("bridge.stp", "yes" if network.stp else "no"),
        ("bridge.forward-delay", str(network.forward_delay)),
        *_mtu(network),
        ("ipv4.method", "disabled"),
        ("ipv6.method", "disabled"),
    )


def _vlan_settings(scene: Scene, network: Network) -> Settings:
    return (
        *_COMMON,
        ("connection.master", network.bridge),
        ("connection.slave-type", "bridge"),
        ("vlan.parent", scene.spec.uplink),
        ("vlan.id", str(network.vlan)),
        *_mtu(network),
    )


def _mtu(network: Network) -> Settings:
    return (("802-3-ethernet.mtu", str(network.mtu)),) if network.mtu else ()


def _wanted(
    scene: Scene, kind: str, interface: str, settings: Settings, defaults: Settings
) -> WantedProfile:
    profile = own_profile(scene, kind, interface)
    uuid = profile_uuid(scene.spec.host.name, interface)
    defaults = (("connection.id", interface), *defaults)
    if profile is not None and profile.uuid != uuid:
        settings, defaults = (
            tuple(pair for pair in some if pair[0] not in _LEFT_AS_FOUND)
            for some in (settings, defaults)
        )
    return WantedProfile(
        uuid=profile.uuid if profile is not None else uuid,
        type=kind,
        interface=interface,
        settings=settings,
        defaults=defaults,
        profile=profile,
        link=scene.links.get(interface),
        interfaces={one.uuid: one.interface for one in scene.facts.nm.profiles},
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


def _word(text: str) -> str:
    """Return a setting without nmcli's explanation in brackets: `1 (yes)` is `1`."""
    return text.partition(" (")[0]
