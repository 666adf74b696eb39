"""`host.yaml` as it is written: one class for each of its mappings."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kvmkeep.model.spec import Format, Packing
from kvmkeep.spec.backup_document import BackupSection, RepositorySection
from kvmkeep.spec.document import (
    InterfaceText,
    LabelText,
    RateText,
    Section,
    SizeText,
    Texts,
)


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
        str | Texts | None,
        Meta(
            description="The default router, or a list of one of IPv4 and one of IPv6. The first "
            "NIC in such a network gets the route. A router of IPv6 may be named by its "
            "link-local address (`fe80::1`).",
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
            " Where `uplink` or `vlan` of a network in use changes, name the interface that it has."
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
        Annotated[int, Meta(ge=0, le=65535, title="0, or 576 to 65535")],
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
            description="The network interface that carries the VLANs: a NIC, or a bond and none "
            "of its ports. The host itself is not reached over it, nor over anything upon it.",
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
    repositories: Annotated[
        dict[LabelText, RepositorySection | None],
        Meta(description="The places for backups, by name."),
    ] = {}
    backup: Annotated[
        BackupSection | None,
        Meta(
            description="How guests are backed up whose files say nothing else. Default: not at "
            "all."
        ),
    ] = None
    template: Annotated[
        str | None,
        Meta(
            description="File with the site's own base template for a guest's XML; relative to "
            "the spec's directory. Its root is `<domain>`; name, UUID, sizes, disks, NICs and the "
            "console's log are set by kvmkeep, disks and NICs otherwise as the first one of the "
            "template (whose disk must be on bus `virtio`), and all else stays. "
            "`%CHANGEME-VM-NAME%`, `%CHANGEME-RAM-SIZE%` (in KiB), `%CHANGEME-NUM-CPUS%` and "
            "`%CHANGEME-BRIDGE-NAME%` (the first NIC's) are filled in; another of the kind is a "
            "mistake. Default: a built-in one.",
            examples=["kvm-guest-template.xml"],
        ),
    ] = None
    xml_dir: Annotated[
        str, Meta(description="Directory in which each guest's XML is kept, as GUEST.xml.")
    ] = "/root/kvm"
