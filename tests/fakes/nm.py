"""A fake of NetworkManager and of the kernel's interfaces, with checkpoints that run out."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass, field

from fakes.files import FakeFiles
from fakes.words import UnknownCommandError

FOLDER = "/etc/NetworkManager/system-connections"
# What `nmcli connection add` accepts here; the real one knows more, and refuses the unknown too.
_OF_ADDRESSES = ("addresses", "gateway", "dns", "routes")
_PROPERTIES = frozenset(
    [
        "connection.uuid",
        "connection.id",
        *(f"ipv{n}.{key}" for n in (4, 6) for key in _OF_ADDRESSES),
        "connection.stable-id",
        "connection.autoconnect",
        "connection.autoconnect-slaves",
        "connection.master",
        "connection.slave-type",
        "bridge.ageing-time",
        "bridge.stp",
        "bridge.forward-delay",
        "vlan.parent",
        "vlan.id",
        "802-3-ethernet.mtu",
        "ipv4.method",
        "ipv6.method",
    ]
)


REFUSED = "Error: Reapplying connection to device '%s' failed: Can't reapply changes to"


@dataclass
class FakeProfile:
    """A profile; `device` is empty while it is not active."""

    uuid: str
    name: str
    type: str
    interface: str
    settings: dict[str, str]
    device: str = ""
    file: str = ""
    """Its file's name, where that is another one: it stays as it was when the profile is renamed."""

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.file or self.name}.nmconnection"

    @property
    def text(self) -> bytes:
        """What lies in its file; not whether it is active."""
        return json.dumps({**asdict(self), "device": ""}).encode()


@dataclass
class FakeLink:
    """An interface of the kernel; times are in seconds."""

    name: str
    kind: str = ""
    mac: str = "02:00:00:00:00:01"
    carrier: bool = True
    mtu: int = 1500
    master: str = ""
    parent: str = ""
    vlan_id: int = -1
    ageing_time: int = -1
    stp: bool = False
    forward_delay: int = -1
    topology_change: bool = False
    addresses: tuple[str, ...] = ()
    up: bool = True


@dataclass
class _Saved:
    deadline: float
    profiles: dict[str, FakeProfile]
    links: dict[str, FakeLink]


@dataclass
class FakeNm:
    """Profiles by UUID and links by name."""

    files: FakeFiles
    profiles: dict[str, FakeProfile] = field(default_factory=dict)
    links: dict[str, FakeLink] = field(default_factory=dict)
    running: bool = True
    _saved: dict[str, _Saved] = field(default_factory=dict)
    _count: int = 0
    dark: set[int] = field(default_factory=set)
    """VLANs in which nobody answers."""
    edited: set[str] = field(default_factory=set)
    """Interfaces whose profile was changed by hand in what can't be reapplied."""
    unreadable: set[str] = field(default_factory=set)
    """Files that it does not take for profiles."""

    @property
    def checkpoints(self) -> tuple[str, ...]:
        return tuple(self._saved)

    def nmcli(self, argv: tuple[str, ...]) -> tuple[int, str]:
        if not self.running:
            return 8, "Error: NetworkManager is not running."
        if argv[0] == "--wait":
            argv = argv[2:]
        if argv[0] == "connection":
            return self._connection(argv[1:])
        match argv:
            case ("device", "reapply", name):
                if name in self.edited:
                    return 1, f"{REFUSED % name} 'connection.autoconnect-retries' setting"
                active = [one for one in self.profiles.values() if one.device == name]
                return self._up(active[0].uuid) if active else (10, "no active connection")
            case ("--get-values", key, "connection", "show", "uuid", uuid):
                return self._told(uuid, key)
        raise UnknownCommandError(f"nmcli {argv}")

    def _connection(self, argv: tuple[str, ...]) -> tuple[int, str]:
        match argv:
            case ("load", path):
                return self._load(path)
            case ("delete" | "down" as verb, "uuid", uuid):
                return self._down(uuid, forget=verb == "delete")
            case ("add", "type", kind, "ifname", interface, "con-name", name, *rest):
                return self._add(kind, interface, name, rest)
            case ("modify", "uuid", uuid, *rest):
                return self._modify(uuid, rest)
            case ("up", "uuid", uuid):
                return self._up(uuid)
        raise UnknownCommandError(f"nmcli connection {argv}")

    def busctl(self, argv: tuple[str, ...], now: float) -> tuple[int, str]:
        name, path = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
        if not self.running:
            return 1, f"Call failed: The name {name} was not provided by any .service files"
        if argv == ("get-property", name, path, name, "Checkpoints"):
            paths = " ".join(f'"{one}"' for one in self._saved)
            return 0, f"ao {len(self._saved)} {paths}".strip() + "\n"
        if argv[:4] != ("call", name, path, name):
            raise UnknownCommandError(f"busctl {argv}")
        match argv[4:]:
            case ("CheckpointCreate", "aouu", count, *rest) if len(rest) == int(count) + 2:
                if rest[-1] != "2":
                    raise UnknownCommandError(f"flags {rest[-1]}")
                self._count += 1
                at = f"{path}/Checkpoint/{self._count}"
                self._saved[at] = _Saved(
                    deadline=now + float(rest[-2]),
                    profiles=copy.deepcopy(self.profiles),
                    links=copy.deepcopy(self.links),
                )
                return 0, f'o "{at}"\n'
            case ("CheckpointDestroy", "o", at):
                return (0, "") if self._saved.pop(at, None) else (1, "no such checkpoint")
            case ("CheckpointRollback", "o", at):
                return (0, "a{su} 0\n") if self._roll_back(at) else (1, "no such checkpoint")
        raise UnknownCommandError(f"busctl {argv}")

    def ip(self, argv: tuple[str, ...]) -> tuple[int, str]:
        match argv:
            case ("link", "set", "dev", name, "master", master):
                if not {name, master} <= self.links.keys():
                    return 1, f"Cannot find device {name} or {master}"
                self.links[name].master = master
                return 0, ""
            case ("link", "set", "dev", name, "up"):
                if name not in self.links:
                    return 1, f"Cannot find device {name}"
                parent = self.links.get(self.links[name].parent)
                if parent is not None and not parent.up:
                    return 2, "RTNETLINK answers: Network is down"
                self.links[name].up = True
                return 0, ""
            case ("link", "set", "dev", name, "mtu", mtu) if name in self.links:
                self.links[name].mtu = int(mtu)
                return 0, ""
        raise UnknownCommandError(f"ip {argv}")

    def tick(self, now: float) -> None:
        """Roll back what nobody has kept in time."""
        for at in [at for at, saved in self._saved.items() if saved.deadline <= now]:
            self._roll_back(at)

    def restart(self, *, running: bool = True) -> None:
        """Start anew: checkpoints are forgotten, profiles read, interfaces left as they are."""
        self._saved, self.running = {}, running
        active = {uuid: one.device for uuid, one in self.profiles.items()}
        self.profiles = {}
        for name in self.files.names(FOLDER):
            self._load(f"{FOLDER}/{name}")
        for uuid, one in self.profiles.items():
            one.device = active.get(uuid, "")

    def boot(self) -> None:
        """Begin with the hardware alone, and activate what connects by itself."""
        self.restart()
        automatic = [
            one
            for one in self.profiles.values()
            if one.settings.get("connection.autoconnect") == "yes"
        ]
        gone = {name for name, link in self.links.items() if link.kind == "tun"}
        # What no profile brings back at a boot was made by others, who do it again.
        ours = {one.interface for one in automatic} | {
            name for name, link in self.links.items() if self._is_orphan(link)
        }
        for name in gone | ours:
            self.links.pop(name, None)
        for profile in sorted(automatic, key=lambda one: one.type):
            profile.device = ""
            self._up(profile.uuid)

    def _is_orphan(self, link: FakeLink) -> bool:
        """Whether a device was ours, and its profile is gone."""
        interfaces = {one.interface for one in self.profiles.values()}
        marks = link.name.startswith(("virbr1.", "uplink0.2"))
        return link.kind in {"bridge", "vlan"} and marks and link.name not in interfaces

    def flush(self) -> None:
        """Have a file of each profile, also of those that a test put there."""
        for profile in self.profiles.values():
            if self.files.read(profile.path) is None:
                self.files.put(profile.path, profile.text, 0o600)

    def vlans(self) -> str:
        """Return /proc/net/vlan/config."""
        found = [link for link in self.links.values() if link.kind == "vlan"]
        lines = [f"{one.name:<15}| {one.vlan_id}  | {one.parent}" for one in found]
        return "\n".join(["VLAN Dev name    | VLAN ID", *lines]) + "\n"

    def answers(self, bridge: str) -> bool:
        """Whether somebody in the bridge's VLAN answers."""
        ports = [one for one in self.links.values() if one.master == bridge and one.kind == "vlan"]
        return bridge in self.links and any(one.vlan_id not in self.dark for one in ports)

    def sysfs(self, path: str) -> str | None:
        """Return what the kernel shows of an interface."""
        match path.removeprefix("/sys/class/net/").split("/"):
            case [name, "operstate"] if name in self.links:
                return "up" if self.links[name].carrier else "lowerlayerdown"
            case [name, "bridge", attribute] if name in self.links:
                link = self.links[name]
                ageing = 2 * link.forward_delay if link.topology_change else link.ageing_time
                values = {
                    "ageing_time": str(ageing * 100),
                    "stp_state": "1" if link.stp else "0",
                    "forward_delay": str(link.forward_delay * 100),
                }
                return values.get(attribute)
            case [name, "mtu"] if name in self.links:
                return str(self.links[name].mtu)
            case [name, "master"] if name in self.links and self.links[name].master:
                return f"/sys/devices/virtual/net/{self.links[name].master}"
        return None

    def _roll_back(self, at: str) -> bool:
        saved = self._saved.pop(at, None)
        if saved is None:
            return False
        for uuid, profile in self.profiles.items():
            if uuid not in saved.profiles:
                self.files.drop(profile.path)
        self.profiles, self.links = saved.profiles, saved.links
        for profile in self.profiles.values():
            if self.files.read(profile.path) != profile.text:
                self.files.put(profile.path, profile.text, 0o600)
        return True

    def _load(self, path: str) -> tuple[int, str]:
        content = self.files.read(path)
        if content is None or path in self.unreadable:
            return 0, f"Could not load file '{path}'"
        profile = FakeProfile(**json.loads(content))
        known = self.profiles.get(profile.uuid)
        profile.device = known.device if known is not None else ""
        self.profiles[profile.uuid] = profile
        return 0, ""

    def _down(self, uuid: str, *, forget: bool) -> tuple[int, str]:
        profile = self.profiles.get(uuid)
        if profile is None or not (profile.device or forget):
            return 10, "no such connection"
        if profile.device and profile.type in {"bridge", "vlan"}:
            del self.links[profile.device]
            for link in self.links.values():
                link.master = "" if link.master == profile.device else link.master
        profile.device = ""
        if forget:
            del self.profiles[uuid]
            self.files.drop(profile.path)
        return 0, ""

    def _told(self, uuid: str, key: str) -> tuple[int, str]:
        profile = self.profiles.get(uuid)
        if profile is None:
            return 10, ""
        told = {"connection.interface-name": profile.interface} | profile.settings
        return 0, told.get(key, "") + "\n"

    def _add(self, kind: str, interface: str, name: str, rest: list[str]) -> tuple[int, str]:
        settings = _pairs(rest)
        uuid = settings.pop("connection.uuid")
        if uuid in self.profiles:
            return 4, "a connection with that UUID already exists"
        self.profiles[uuid] = FakeProfile(uuid, name, kind, interface, settings)
        self.files.put(self.profiles[uuid].path, self.profiles[uuid].text, 0o600)
        return 0, ""

    def _modify(self, uuid: str, rest: list[str]) -> tuple[int, str]:
        if uuid not in self.profiles:
            return 10, "no such connection"
        profile, pairs = self.profiles[uuid], _pairs(rest)
        profile.file = profile.file or profile.name
        profile.name = pairs.pop("connection.id", profile.name)
        profile.settings.update(pairs)
        for family in ("ipv4", "ipv6"):
            words = [profile.settings.get(f"{family}.{key}", "") for key in _OF_ADDRESSES]
            if profile.settings.get(f"{family}.method") == "disabled" and any(words):
                return 1, f"{family}: this property is not allowed for 'method=disabled'"
        self.files.put(self.profiles[uuid].path, self.profiles[uuid].text, 0o600)
        return 0, ""

    def _up(self, uuid: str) -> tuple[int, str]:
        profile = self.profiles.get(uuid)
        if profile is None:
            return 10, "no such connection"
        settings = profile.settings
        if not self._is_compatible(profile):
            return 4, "Failed to find a compatible device for this connection"
        link = self.links.setdefault(profile.interface, FakeLink(profile.interface, profile.type))
        profile.device = profile.interface
        link.mtu = int(settings.get("802-3-ethernet.mtu") or link.mtu)
        if profile.type == "bridge":
            link.ageing_time = int(settings["bridge.ageing-time"])
            link.stp = settings["bridge.stp"] == "yes"
            link.forward_delay = int(settings["bridge.forward-delay"])
            return 0, ""
        parent = self.links.get(settings["vlan.parent"])
        if parent is None:
            return 4, "no such device"
        link.parent, link.vlan_id = parent.name, int(settings["vlan.id"])
        link.carrier, link.master = parent.carrier, settings["connection.master"]
        masters = [p for p in self.profiles.values() if p.interface == link.master]
        for master in masters:
            if not master.device:
                self._up(master.uuid)
        return (0, "") if masters else (4, "no master")

    def _is_compatible(self, profile: FakeProfile) -> bool:
        """Whether a VLAN that is there has the profile's id and parent: it can't change them.

        check_connection_compatible() in NetworkManager's nm-device-vlan.c.
        """
        link = self.links.get(profile.interface)
        if link is None or profile.type != "vlan":
            return True
        parent, vlan_id = profile.settings["vlan.parent"], int(profile.settings["vlan.id"])
        return (link.parent, link.vlan_id) == (parent, vlan_id)


def _pairs(words: list[str]) -> dict[str, str]:
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    if not pairs.keys() <= _PROPERTIES:
        raise UnknownCommandError(f"unknown properties {sorted(pairs.keys() - _PROPERTIES)}")
    return pairs
