"""The spec as it is written: one class for each mapping of the YAML files.

The docstrings and descriptions feed the JSON Schema and the reference. A field without a default
is required. `None` stands for a value that is absent or whose mistake was told already; nobody
can write it, since an empty value is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from kvmkeep.model.spec import FirstBoot, Format, Packing

_SIZE = r"^[0-9]+(\.[0-9]+)?\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$"
_LABEL = r"^[a-z0-9]([a-z0-9._-]{0,30}[a-z0-9])?$"
_GUEST = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_INTERFACE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$"
_UUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_MAC = r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"

_WRITE_A_UNIT = {"number": "write a unit, such as 20GiB"}

SizeText = Annotated[str, Meta(title="size", pattern=_SIZE, extra=_WRITE_A_UNIT)]
RateText = Annotated[str, Meta(title="size", pattern=_SIZE[:-1] + "(/s)?$", extra=_WRITE_A_UNIT)]
LabelText = Annotated[str, Meta(title="name", pattern=_LABEL)]
GuestText = Annotated[str, Meta(title="name", pattern=_GUEST)]
InterfaceText = Annotated[str, Meta(title="interface name", pattern=_INTERFACE)]
UuidText = Annotated[str, Meta(title="UUID", pattern=_UUID)]
MacText = Annotated[str, Meta(title="MAC address", pattern=_MAC)]
Texts = tuple[str | None, ...]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the spec."""


class ReserveSection(Section, frozen=True, kw_only=True):
    """What of the server is never given to guests."""

    memory: Annotated[
        SizeText, Meta(description="Memory kept for the host itself.", examples=["16GiB"])
    ] = "2GiB"
    storage: Annotated[
        SizeText,
        Meta(description="Space of the volume group kept free.", examples=["100GiB"]),
    ] = "10GiB"


class HostSection(Section, frozen=True, kw_only=True):
    """The server itself."""

    name: Annotated[
        str | None,
        Meta(
            description=(
                "The server's name. UUIDs and MAC addresses are derived from it: "
                "changing it makes every guest another one."
            ),
            examples=["build.galaxyproject.eu"],
        ),
    ]
    reserve: Annotated[
        ReserveSection, Meta(description="What of the server is never given to guests.")
    ] = ReserveSection()


class StorageSection(Section, frozen=True, kw_only=True):
    """Where the guests' disks are made."""

    vg: Annotated[
        str | None,
        Meta(
            description="The volume group; it may be shared with the operating system.",
            examples=["rl_build"],
        ),
    ]
    lv_prefix: Annotated[
        str,
        Meta(description="Begins the name of each guest's logical volume.", examples=["vm-"]),
    ] = "vm-"


class NetworkSection(Section, frozen=True, kw_only=True):
    """A tagged VLAN of the uplink, with a bridge on it for guests."""

    vlan: Annotated[
        Annotated[int, Meta(ge=1, le=4094)] | None,
        Meta(description="The VLAN's tag.", examples=[223]),
    ]
    cidr: Annotated[
        str | None,
        Meta(
            description="The network's address range; guests' addresses are checked against it.",
            examples=["132.230.223.0/24"],
        ),
    ] = None
    gateway: Annotated[
        str | None,
        Meta(
            description="The default router. The first NIC in such a network gets the route.",
            examples=["132.230.223.254"],
        ),
    ] = None
    dns: Annotated[
        Texts, Meta(description="Addresses of name servers.", examples=[["132.230.200.200"]])
    ] = ()
    search: Annotated[Texts, Meta(description="Domains that short names are looked up in.")] = ()
    bridge: Annotated[
        InterfaceText | None,
        Meta(description="Name of the bridge, at most 15 characters. Default: `virbr1.VLAN`."),
    ] = None
    vlan_interface: Annotated[
        InterfaceText | None,
        Meta(
            description="Name of the VLAN interface, at most 15 characters. Default: `UPLINK.VLAN`."
        ),
    ] = None
    ageing_time: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)],
        Meta(
            description="Seconds after which the bridge forgets where an address was seen. With "
            "0, a Linux bridge learns nothing and sends each frame to all of its ports."
        ),
    ] = 0
    stp: Annotated[
        bool,
        Meta(
            description="Spanning tree protocol. With it, a new port stays silent for twice "
            "`forward_delay`: a guest has no network for its first 30 seconds."
        ),
    ] = True
    forward_delay: Annotated[
        Annotated[int, Meta(ge=0, le=30)],
        Meta(description="Spanning tree's forwarding delay in seconds; at least 2 with `stp`."),
    ] = 15
    mtu: Annotated[
        Annotated[int, Meta(ge=0, le=65535)],
        Meta(
            description="Largest packet in bytes; 0 leaves it to NetworkManager.", examples=[9000]
        ),
    ] = 0


class ChecksumsSection(Section, frozen=True, kw_only=True):
    """A vendor's list of checksums."""

    source: Annotated[
        str | None,
        Meta(
            description="Path or URL of the list.",
            examples=["https://images.example.org/CHECKSUM"],
        ),
    ]
    signature: Annotated[
        str,
        Meta(
            description="Path or URL of the list's detached signature, or `inline` for a list "
            "that is signed in itself."
        ),
    ] = ""
    keyring: Annotated[
        str, Meta(description="Path of the keyring (as of gpgv) that the signature must fit.")
    ] = ""


class ImageSection(Section, frozen=True, kw_only=True):
    """A disk image that guests' root disks are made from. One of `file` and `url`."""

    file: Annotated[
        str | None,
        Meta(
            description="Path of the image; relative to the spec's directory.",
            examples=["/srv/images/rocky9.raw.zst"],
        ),
    ] = None
    url: Annotated[
        str | None,
        Meta(
            description="Where the image is fetched from, over http or https.",
            examples=["https://images.example.org/rocky9.qcow2"],
        ),
    ] = None
    format: Annotated[
        Format | None,
        Meta(
            description="Format of the disk. Default: told by the name's ending; `.raw` and "
            "`.img` are raw, `.qcow2` is qcow2."
        ),
    ] = None
    compression: Annotated[
        Packing | None,
        Meta(description="How the file is packed. Default: told by `.gz`, `.xz` or `.zst`."),
    ] = None
    sha256: Annotated[
        str | None, Meta(description="SHA-256 of the file as it is published, 64 hex digits.")
    ] = None
    sha512: Annotated[
        str | None, Meta(description="SHA-512 of the file as it is published, 128 hex digits.")
    ] = None
    checksums: Annotated[
        ChecksumsSection | None,
        Meta(description="A vendor's list of checksums, instead of `sha256` or `sha512`."),
    ] = None
    write_rate: Annotated[
        RateText | None,
        Meta(
            description="Limit for writing the image to a disk, for each second. "
            "Default: no limit.",
            examples=["200MiB"],
        ),
    ] = None


class HostFile(Section, frozen=True, kw_only=True):
    """`host.yaml`: the server, its storage, networks and images."""

    host: Annotated[HostSection | None, Meta(description="The server itself.")]
    storage: Annotated[StorageSection | None, Meta(description="Where disks are made.")]
    uplink: Annotated[
        InterfaceText | None,
        Meta(
            description="The network interface that carries the VLANs. Not the one the host "
            "itself is reached over.",
            examples=["ens802f1"],
        ),
    ]
    networks: Annotated[
        dict[LabelText, NetworkSection | None],
        Meta(description="The guests' networks, by name."),
    ] = {}
    images: Annotated[
        dict[LabelText, ImageSection | None],
        Meta(description="The images that guests are made from, by name."),
    ] = {}
    template: Annotated[
        str | None,
        Meta(
            description="File with the site's own base template for a guest's XML; relative to "
            "the spec's directory. Default: a built-in one.",
            examples=["kvm-guest-template.xml"],
        ),
    ] = None
    xml_dir: Annotated[
        str, Meta(description="Directory in which each guest's XML is kept, as GUEST.xml.")
    ] = "/root/kvm"


class RouteSection(Section, frozen=True, kw_only=True):
    """A route besides the default route."""

    to: Annotated[
        str | None, Meta(description="The range that is reached.", examples=["10.4.68.0/24"])
    ]
    via: Annotated[str | None, Meta(description="The router's address.", examples=["10.5.68.254"])]


class NicSection(Section, frozen=True, kw_only=True):
    """A network interface of a guest."""

    network: Annotated[
        LabelText | None,
        Meta(description="Name of a network of `host.yaml`.", examples=["internal"]),
    ]
    address: Annotated[
        str | Texts | None,
        Meta(
            description="`dhcp`, or an address with its prefix length, or a list of such "
            "addresses. Required, unless the guest is `adopted`.",
            examples=["10.5.68.237/24", "dhcp"],
        ),
    ] = None
    mac: Annotated[
        MacText | None,
        Meta(
            description="MAC address. Default: derived from the names of host and guest. "
            "Required if the guest is `adopted`.",
            examples=["52:54:00:12:34:56"],
        ),
    ] = None
    gateway: Annotated[
        bool | str | None,
        Meta(
            description="Whether the default route goes over this NIC, or over which router. "
            "Default: it goes over the first NIC whose network has a gateway."
        ),
    ] = None
    routes: Annotated[
        tuple[RouteSection | None, ...], Meta(description="Further routes over this NIC.")
    ] = ()
    dns: Annotated[
        Texts | None, Meta(description="Name servers. Default: those of the network.")
    ] = None
    search: Annotated[
        Texts | None, Meta(description="Search domains. Default: those of the network.")
    ] = None


class DiskSection(Section, frozen=True, kw_only=True):
    """A disk that is more than a size: an LV of another name, or a file."""

    size: Annotated[SizeText | None, Meta(description="Its size.", examples=["100GiB"])]
    lv: Annotated[
        str | None,
        Meta(
            description="Name of the logical volume in the volume group of `storage`. "
            "Default: derived from the names of guest and disk.",
            examples=["influxdb-old"],
        ),
    ] = None
    file: Annotated[
        str | None,
        Meta(
            description="Path of a raw image file that is the disk, instead of a logical volume. "
            "Not for the disk `root`.",
            examples=["/data/vm/web-data.img"],
        ),
    ] = None
    mount: Annotated[
        str | None,
        Meta(
            description="With `file`, and required there: the mount point that the file lies "
            "under, other than `/`. No guest starts while nothing is mounted there.",
            examples=["/data"],
        ),
    ] = None


class LoginSection(Section, frozen=True, kw_only=True):
    """The account that is made at first boot. It needs a key or a password."""

    user: Annotated[str | None, Meta(description="The account's name.", examples=["centos"])]
    ssh_keys: Annotated[
        Texts, Meta(description="Public SSH keys, each as one line of `authorized_keys`.")
    ] = ()
    password_hash: Annotated[
        str | None,
        Meta(
            description="Hash of the password for the console, in crypt(5) form (`mkpasswd` or "
            "`openssl passwd -6` makes one). Default: the password is locked."
        ),
    ] = None
    sudo: Annotated[
        bool, Meta(description="Whether the account may become root without a password.")
    ] = False

    def __repr__(self) -> str:
        return f"LoginSection(user={self.user!r})"


class RunSection(Section, frozen=True, kw_only=True):
    """How a guest is to run."""

    autostart: Annotated[bool, Meta(description="Whether it starts when the host starts.")] = True
    needs: Annotated[
        tuple[GuestText | None, ...],
        Meta(description="Guests that must be ready before this one starts.", examples=[["dns"]]),
    ] = ()
    ready: Annotated[
        str,
        Meta(
            description="When it counts as ready: `agent` (the guest agent answers), `tcp:PORT` "
            "(its first static address takes a connection), `console:REGEX` (a line on the serial "
            "console matches the extended regular expression) or `delay:SECONDS`.",
            examples=["tcp:22"],
        ),
    ] = "agent"
    start_timeout: Annotated[
        int | str | None,
        Meta(
            description="How long to wait until it is ready: seconds, or text such as 10min. "
            "Default: 10min.",
            examples=["10min"],
        ),
    ] = None


class GuestFile(Section, frozen=True, kw_only=True):
    """`guests/NAME.yaml`: one guest."""

    image: Annotated[
        LabelText | None,
        Meta(
            description="Name of an image of `host.yaml`. Required, unless the guest is `adopted`.",
            examples=["rocky9"],
        ),
    ] = None
    vcpus: Annotated[
        Annotated[int, Meta(ge=1, le=512)] | None,
        Meta(description="Number of virtual processors.", examples=[4]),
    ]
    memory: Annotated[
        SizeText | None, Meta(description="Memory; at least 64MiB.", examples=["16GiB"])
    ]
    vcpus_max: Annotated[
        Annotated[int, Meta(ge=1, le=512)] | None,
        Meta(
            description="How far `vcpus` can be raised later while it runs. Default: not at all; "
            "other numbers then wait for its next start.",
            examples=[8],
        ),
    ] = None
    memory_max: Annotated[
        SizeText | None,
        Meta(
            description="How far `memory` can be raised later while it runs, if the guest has a "
            "balloon driver; it is promised to the guest as a whole. Default: not at all; other "
            "sizes then wait for its next start.",
            examples=["32GiB"],
        ),
    ] = None
    disks: Annotated[
        dict[LabelText, SizeText | DiskSection | None] | None,
        Meta(
            description="The disks by name: the size of a logical volume, or more. `root` is "
            "made from the image; the others begin empty.",
            examples=[{"root": "20GiB", "data": "100GiB"}],
        ),
    ]
    name: Annotated[
        GuestText | None, Meta(description="The guest's name. Default: that of the file.")
    ] = None
    identity: Annotated[
        GuestText | None,
        Meta(
            description="The name that its UUID and MAC addresses are derived from. "
            "`kvmkeep rename` writes it, so that the guest stays the same machine. "
            "Default: the guest's name."
        ),
    ] = None
    adopted: Annotated[
        bool,
        Meta(
            description="It was not made by kvmkeep, but taken over by `kvmkeep adopt`: it can't "
            "be made anew, so it has no image, no login and no first boot."
        ),
    ] = False
    uuid: Annotated[
        UuidText | None,
        Meta(
            description="UUID of its domain. Default: derived from the names of host and guest. "
            "Required if it is `adopted`.",
            examples=["2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"],
        ),
    ] = None
    hostname: Annotated[
        str | None, Meta(description="The name it calls itself. Default: the guest's name.")
    ] = None
    description: Annotated[str, Meta(description="What it is for.")] = ""
    labels: Annotated[
        tuple[LabelText | None, ...], Meta(description="Words to pick guests by.")
    ] = ()
    protect: Annotated[
        bool, Meta(description="Whether `kvmkeep remove` refuses it, whatever is typed.")
    ] = False
    nics: Annotated[
        tuple[NicSection | None, ...],
        Meta(description="Its network interfaces, in order."),
    ] = ()
    login: Annotated[
        LoginSection | None,
        Meta(description="The account made at first boot; required unless `first_boot` is none."),
    ] = None
    run: Annotated[RunSection, Meta(description="How it is to run.")] = RunSection()
    first_boot: Annotated[
        FirstBoot,
        Meta(
            description="How it gets its configuration at first boot: `auto` looks into the image; "
            "`none` gives it no configuration at all."
        ),
    ] = FirstBoot.AUTO
    user_data: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Further cloud-config, merged over ours.", examples=[{"packages": ["vim"]}]
        ),
    ] = None
