"""The wanted state, resolved: every default filled in, every reference checked."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from msgspec import Struct, field

from kvmkeep.model.backup_policy import BackupPolicy, Repository
from kvmkeep.model.run import Run
from kvmkeep.model.units import GuestName, Label, Mac, Size

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network

ROOT_DISK = Label("root")
"""The disk that is made from the image; every guest has it."""
NO_HEADROOM = Size(0)
"""Of memory: it can't be raised without another start."""


class Place(Struct, frozen=True, kw_only=True):
    """Where something stands in the spec: for messages."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Host(Struct, frozen=True, kw_only=True):
    """The server itself, and what of it is never given to guests."""

    name: str
    memory_reserve: Size
    storage_reserve: Size


class Storage(Struct, frozen=True, kw_only=True):
    """The volume group, shared with the operating system, and the prefix of guests' LVs."""

    vg: str
    lv_prefix: str


class Routed(Struct, frozen=True, kw_only=True):
    """What may have a default router; `second_gateway` is that of the other protocol."""

    gateway: Address | None
    second_gateway: Address | None = None

    @property
    def gateways(self) -> tuple[Address, ...]:
        """All default routers: one of each protocol at most."""
        return tuple(one for one in (self.gateway, self.second_gateway) if one is not None)

    def gateway_of(self, version: int) -> Address | None:
        """Return the default router of a protocol, if there is one."""
        return next((one for one in self.gateways if one.version == version), None)


class Network(Routed, frozen=True, kw_only=True):
    """A tagged VLAN of the uplink with a bridge on it.

    `ageing_time` and `forward_delay` are in seconds. `mtu` 0 leaves it to NetworkManager.
    """

    name: Label
    vlan: int
    bridge: str
    vlan_interface: str
    prefix: Prefix | None
    dns: tuple[Address, ...]
    search: tuple[str, ...]
    ageing_time: int
    stp: bool
    forward_delay: int
    mtu: int
    place: Place


class Algorithm(StrEnum):
    """Checksums that are accepted."""

    SHA256 = "sha256"
    SHA512 = "sha512"


class Checksum(Struct, frozen=True, kw_only=True):
    """A checksum of the image file as it is published (compressed, if it is)."""

    algorithm: Algorithm
    digest: str


class ChecksumList(Struct, frozen=True, kw_only=True):
    """A vendor's checksum file (path or URL), optionally signed.

    `signature` is a detached signature's path or URL, the word `inline` for a clearsigned list,
    or empty. `keyring` is the path of the keyring that gpgv checks with.
    """

    source: str
    signature: str
    keyring: str


class Format(StrEnum):
    """Disk formats that are accepted."""

    RAW = "raw"
    QCOW2 = "qcow2"


class Packing(StrEnum):
    """How the image file is compressed."""

    NONE = "none"
    GZIP = "gz"
    XZ = "xz"
    ZSTD = "zst"


class Image(Struct, frozen=True, kw_only=True):
    """A disk image: an absolute path or an http(s) URL.

    `check` is None only for local files, which then are used as they are; the plan says so.
    `write_rate` in bytes per second limits the copy to the LV; 0 is no limit.
    """

    name: Label
    source: str
    format: Format
    packing: Packing
    check: Checksum | ChecksumList | None
    write_rate: int
    place: Place

    @property
    def remote(self) -> bool:
        """Whether the source is a URL."""
        return self.source.startswith(("http://", "https://"))


class LvDisk(Struct, frozen=True, kw_only=True):
    """A disk of a guest that is a logical volume of the storage's volume group.

    `named` when the spec names the LV itself; else the name is derived from guest and disk.
    """

    name: Label
    lv: str
    size: Size
    named: bool = field(default=False, name="given")


class FileDisk(Struct, frozen=True, kw_only=True):
    """A disk of a guest that is a raw image file.

    `mount` is the mount point, above `path`, without which the file is not the guest's.
    """

    name: Label
    path: str
    mount: str
    size: Size


Disk = LvDisk | FileDisk
"""What a guest sees as a block device."""


class Route(Struct, frozen=True, kw_only=True):
    """A route that the guest gets besides its default route."""

    to: Prefix
    via: Address


class Nic(Routed, frozen=True, kw_only=True):
    """A network interface of a guest.

    `addresses` empty means DHCP, if `dhcp` says so; else they are not known. Its gateways are the
    default routes over this NIC, if it has any: the first NIC whose network has one gets them,
    unless the spec says otherwise. `named` when the spec names the MAC itself; else it is derived
    from the NIC's place in the list.
    """

    network: Label
    mac: Mac
    dhcp: bool
    addresses: tuple[Interface, ...]
    routes: tuple[Route, ...]
    dns: tuple[Address, ...]
    search: tuple[str, ...]
    named: bool = field(default=False, name="given")


class Login(Struct, frozen=True, kw_only=True):
    """The account made at first boot. `password_hash` is in crypt(5) form; empty locks it."""

    user: str
    ssh_keys: tuple[str, ...]
    password_hash: str
    sudo: bool

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


class FirstBoot(StrEnum):
    """How a guest gets its configuration at first boot."""

    AUTO = "auto"
    """Chosen by looking into the image."""
    CONFIG_DRIVE = "configdrive"
    NOCLOUD = "nocloud"
    NONE = "none"
    """No seed: the image is complete in itself."""


class Firmware(StrEnum):
    """What starts a guest's boot loader."""

    BIOS = "bios"
    UEFI = "uefi"


LEAST_MEMORY = Size(64 << 20)
MOST_VCPUS = 255
"""Bounds of a guest, whoever made it.

An x86 guest with more CPUs needs an IOMMU with interrupt remapping (formatdomain, `iommu`, `eim`),
which libvirt asks for at the start only: `virsh setvcpus --config` takes any number.
"""


class Guest(Struct, frozen=True, kw_only=True):
    """A guest. UUID and MACs are derived from `identity`: its name, or the one it was born with.

    The first of `disks` is the root disk, which is made from the image and always an LV.
    `user_data` is extra cloud-config as JSON text, merged over ours; may be empty. Without a
    `backup`, it is never backed up. By the headroom,
    memory and CPUs can be raised without another start. One that is
    `adopted` was not made by kvmkeep and can't be made by it: it has no image (an empty name), no
    login and no first boot, its UUID and MACs stand in the spec, and of its addresses only those
    are known that the spec tells. `protect` refuses to remove it. `firmware` None is that of the
    base template.
    """

    name: GuestName
    identity: GuestName
    uuid: str
    hostname: str
    description: str
    image: Label
    vcpus: int
    memory: Size
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    login: Login
    run: Run
    first_boot: FirstBoot
    user_data: str
    labels: tuple[str, ...]
    place: Place
    autostart_place: Place | None = None
    adopted: bool = False
    protect: bool = False
    memory_headroom: Size = NO_HEADROOM
    vcpus_headroom: int = 0
    backup: BackupPolicy | None = None
    firmware: Firmware | None = None

    @property
    def secret(self) -> bool:
        """Whether its file of the spec may hold what nobody else should read."""
        return bool(self.login.password_hash or self.user_data)

    @property
    def memory_max(self) -> Size:
        """The most memory that it can be given while it runs: what is promised to it."""
        return Size(self.memory.bytes + self.memory_headroom.bytes)

    @property
    def vcpus_max(self) -> int:
        """The most CPUs that it can be given while it runs."""
        return self.vcpus + self.vcpus_headroom

    @property
    def root(self) -> LvDisk:
        """The disk that is made from the image."""
        return next(disk for disk in self.disks if isinstance(disk, LvDisk))

    @property
    def volumes(self) -> tuple[LvDisk, ...]:
        """The disks that are logical volumes, the root disk first."""
        return tuple(disk for disk in self.disks if isinstance(disk, LvDisk))

    @property
    def files(self) -> tuple[FileDisk, ...]:
        """The disks that are files."""
        return tuple(disk for disk in self.disks if isinstance(disk, FileDisk))


class Spec(Struct, frozen=True, kw_only=True):
    """All that the site wants of this host.

    `template` is the text of the site's own base template, or empty for the built-in one, and
    `template_file` its path. `xml_dir` is where each domain's XML is kept.
    """

    host: Host
    storage: Storage
    uplink: str
    networks: tuple[Network, ...]
    images: tuple[Image, ...]
    guests: tuple[Guest, ...]
    template: str
    xml_dir: str
    repositories: tuple[Repository, ...] = ()
    template_file: str = ""

    @property
    def trusted(self) -> tuple[str, ...]:
        """The files and directories beside the spec whose content root takes as it is."""
        checks = (image.check for image in self.images)
        keyrings = {check.keyring for check in checks if isinstance(check, ChecksumList)}
        return tuple(filter(None, (self.template_file, self.xml_dir, *sorted(keyrings))))

    def guest(self, name: str) -> Guest | None:
        """Return the guest of that name, if there is one."""
        return next((guest for guest in self.guests if guest.name == name), None)

    def network(self, name: Label) -> Network:
        """Return the network of that name; it exists, since references were checked."""
        return next(network for network in self.networks if network.name == name)

    def repository(self, name: Label) -> Repository:
        """Return the repository of that name; it exists, since references were checked."""
        return next(one for one in self.repositories if one.name == name)

    def image(self, name: Label) -> Image:
        """Return the image of that name; it exists, since references were checked."""
        return next(image for image in self.images if image.name == name)
