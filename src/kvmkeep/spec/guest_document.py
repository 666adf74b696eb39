"""`guests/NAME.yaml` as it is written: one class for each of its mappings."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from kvmkeep.model.run import OnFail
from kvmkeep.model.spec import MOST_VCPUS, Firmware, FirstBoot
from kvmkeep.spec.backup_document import BackupSection
from kvmkeep.spec.document import (
    GuestText,
    LabelText,
    MacText,
    NeedText,
    Seconds,
    Section,
    SizeText,
    Texts,
    TimeText,
    UuidText,
)


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
            description="MAC address. Default: derived from the names of host and guest, and from "
            "the place in the list: write it before one in the middle is taken out. "
            "Required if the guest is `adopted`.",
            examples=["52:54:00:12:34:56"],
        ),
    ] = None
    gateway: Annotated[
        bool | str | Texts | None,
        Meta(
            description="Whether the default route goes over this NIC, or over which router: one, "
            "or a list of one of IPv4 and one of IPv6. Default: it goes over the first NIC whose "
            "network has a gateway in its reach."
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
            "under, other than `/`. No guest starts while nothing is mounted there; an automount "
            "counts once it has mounted it.",
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
        tuple[NeedText | None, ...],
        Meta(
            description="What must be there before this one starts: guests that are ready, by "
            "their names, and mounts of the host, by their absolute paths. An automount counts "
            "once it has mounted what belongs there.",
            examples=[["dns", "/data"]],
        ),
    ] = ()
    ready: Annotated[
        str,
        Meta(
            description="When it counts as ready: `agent` (the guest agent answers), `tcp:PORT` "
            "(its first static address takes a connection from the host, which has no address on "
            "the guests' networks: its gateway must route it there), `console:REGEX` (a line on "
            "the serial console matches the extended regular expression) or `delay:SECONDS`.",
            examples=["tcp:22"],
        ),
    ] = "agent"
    start_timeout: Annotated[
        Seconds | TimeText | None,
        Meta(
            description="How long to wait until it is ready. Default: 10min.",
            examples=["10min"],
        ),
    ] = None
    stop_timeout: Annotated[
        Seconds | TimeText | None,
        Meta(
            description="How long it may take to shut down; its power is not cut then. "
            "Default: 5min.",
            examples=["5min"],
        ),
    ] = None
    on_fail: Annotated[
        OnFail,
        Meta(
            description="What becomes of the guests that need this one, if it is not ready in "
            "time when the host starts: `hold` keeps them off, `continue` starts them all the same."
        ),
    ] = OnFail.HOLD


class GuestFile(Section, frozen=True, kw_only=True):
    """`guests/NAME.yaml`: one guest."""

    image: Annotated[
        LabelText | None,
        Meta(
            description="Name of an image of `host.yaml`. Required, unless the guest is `adopted`. "
            "It counts until the first boot only: a guest that is there is never made anew.",
            examples=["rocky9"],
        ),
    ] = None
    vcpus: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_VCPUS)] | None,
        Meta(description="Number of virtual processors.", examples=[4]),
    ]
    memory: Annotated[
        SizeText | None, Meta(description="Memory; at least 64MiB.", examples=["16GiB"])
    ]
    vcpus_max: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_VCPUS)] | None,
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
            description="The name that its UUID and MAC addresses are derived from, and that its "
            "backups go by: each guest has its own, an adopted one too. `kvmkeep rename` writes "
            "it, so that the guest stays the same machine. Default: the guest's name."
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
        str | None,
        Meta(
            description="The name it calls itself. Default: the guest's name. It counts at the "
            "first boot only; later, `kvmkeep tweak NAME --hostname` changes it."
        ),
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
        Meta(
            description="The account made at first boot; required unless `first_boot` is none. It "
            "counts at the first boot only: a key that goes later on still opens the guest."
        ),
    ] = None
    run: Annotated[RunSection, Meta(description="How it is to run.")] = RunSection()
    backup: Annotated[
        bool | BackupSection | None,
        Meta(
            description="How it is backed up; `false` for not at all. Default: as `backup` of "
            "`host.yaml` says.",
            examples=[{"repository": "vault"}],
        ),
    ] = None
    first_boot: Annotated[
        FirstBoot,
        Meta(
            description="How it gets its configuration at first boot: `auto` looks into the image; "
            "`none` gives it no configuration at all. It counts at the first boot only."
        ),
    ] = FirstBoot.AUTO
    firmware: Annotated[
        Firmware | None,
        Meta(
            description="What starts its boot loader: `bios`, or `uefi` without keys for Secure "
            "Boot. Default: that of the base template; the built-in one has a BIOS. It counts when "
            "the guest is made; an image that does not boot under it is refused.",
            examples=["uefi"],
        ),
    ] = None
    user_data: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Further cloud-config, merged over ours. The lists `packages`, `runcmd`, "
            "`users` and `write_files` are added to ours. It counts at the first boot only.",
            examples=[{"packages": ["vim"]}],
            extra_json_schema={
                "properties": {
                    key: {"type": "array"} for key in ("packages", "runcmd", "users", "write_files")
                }
            },
        ),
    ] = None
