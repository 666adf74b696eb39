"""What is observed of networks: the kernel's interfaces, NetworkManager, the way to the host."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Link(Struct, frozen=True, kw_only=True):
    """A network interface of the kernel.

    `kind` is `vlan`, `bridge`, `tun` ... or empty for hardware. `vlan_id`, `ageing_time` and
    `forward_delay` (both in seconds) are -1 where they do not apply. During a `topology_change`
    of STP, the kernel's `ageing_time` is twice the forward delay, whatever was set
    (__br_set_topology_change() in Linux' net/bridge/br_stp.c).
    """

    name: str
    kind: str
    mac: str
    up: bool
    carrier: bool
    mtu: int
    master: str
    parent: str
    vlan_id: int
    ageing_time: int
    stp: bool
    forward_delay: int
    addresses: tuple[str, ...]
    topology_change: bool = False
    port_state: str = ""
    """Of a bridge's port, by STP's words: `forwarding`, `blocking` ... (ip-link(8))."""


class Profile(Struct, frozen=True, kw_only=True):
    """A NetworkManager profile; `settings` are its `setting.property` pairs, sorted.

    `device` is the interface it is active on, or empty.
    """

    uuid: str
    name: str
    type: str
    interface: str
    device: str
    filename: str
    settings: tuple[tuple[str, str], ...]

    def setting(self, key: str) -> str:
        """Return a setting's text, or nothing where the profile has none."""
        return next((value for name, value in self.settings if name == key), "")


class Undoing(StrEnum):
    """What an unfinished change of the network has left (`planning.network_undo`)."""

    NOTHING = "nothing"
    ARMED = "armed"
    """The change was neither kept nor undone."""
    LEFT = "left"
    """It was either, and files are left that have no effect any more, or nothing to put back."""


class Nm(Struct, frozen=True, kw_only=True):
    """NetworkManager: whether it runs, its profiles, and the D-Bus path of each device."""

    running: bool
    profiles: tuple[Profile, ...]
    device_paths: tuple[tuple[str, str], ...]
    undoing: Undoing = Undoing.NOTHING

    def device_path(self, interface: str) -> str:
        """Return the D-Bus object path of an interface, or nothing."""
        return next((path for name, path in self.device_paths if name == interface), "")


NO_NM = Nm(running=False, profiles=(), device_paths=())
"""What is known where NetworkManager does not run, or can't be asked."""


class Management(Struct, frozen=True, kw_only=True):
    """How the host is reached: the interface of the default route and its gateway.

    `peers` are logged in by SSH, over `interface`, without a default route as well, and `others`.
    """

    interface: str
    gateway: str
    answers: bool
    peers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    interface6: str = ""
    gateway6: str = ""

    @property
    def ways(self) -> tuple[str, ...]:
        """All interfaces that it is reached over, the default route's first."""
        names = (self.interface, self.interface6, *self.others)
        return tuple(dict.fromkeys(name for name in names if name))
