"""What is observed of images: files, what they begin with, and what they hold."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.spec import Firmware
from kvmkeep.model.units import Size


class Fingerprint(Struct, frozen=True, kw_only=True):
    """What a file was when it was looked at: stat(2)'s device, inode, size and both times in ns.

    ctime can't be set from user space, so a file replaced or rewritten is noticed.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    def __str__(self) -> str:
        return f"{self.device}-{self.inode}-{self.size}-{self.mtime_ns}-{self.ctime_ns}"


class Header(Struct, frozen=True, kw_only=True):
    """What our own reader found in the first bytes of an image. `refused` says why not to use it.

    `virtual_size` is what the guest will see.
    """

    format: str
    virtual_size: Size
    refused: str


class Contents(Struct, frozen=True, kw_only=True):
    """What an image holds, as far as first boot is concerned.

    `datasources` is cloud-init's list as ds-identify would read it; empty is its default list.
    `bakes_disks` when the image's own cloud-init configuration formats other disks. `boots` are the
    firmwares that find something to boot; None where that is not known. `on_volume` when its root
    filesystem lies on an LVM volume inside.
    """

    os: str
    cloud_init: bool
    datasources: tuple[str, ...]
    agent: bool
    bakes_disks: bool
    detail: str
    boots: tuple[Firmware, ...] | None = None
    on_volume: bool = False


class ImageFile(Struct, frozen=True, kw_only=True):
    """A file that an image of the spec comes from or is kept in."""

    path: str
    fingerprint: Fingerprint
    kind: str
    """`file`, or what else it is: `directory`, `device`, `fifo`, `symlink` ..."""


class ImageFacts(Struct, frozen=True, kw_only=True):
    """An image of the spec as it is on this host.

    `original` is the local file the spec names, or the finished download. `usable` is the file
    that can be written to an LV: the original where it is not packed, else the unpacked copy;
    `header` is read from it. `digest_wanted` is the checksum that the spec or the verified list
    asks for (`algorithm:hex`); `digest_problem` says why the list gives none. `verified` when the
    checksum of just this file was found right. A file that is None is not on this host yet.
    `keyring_is_text` when the list is still to be fetched, and its keyring is armored: gpgv reads
    none such.
    """

    name: str
    original: ImageFile | None
    usable: ImageFile | None
    header: Header | None
    contents: Contents | None
    digest_wanted: str
    digest_problem: str
    verified: bool
    keyring_is_text: bool = False
