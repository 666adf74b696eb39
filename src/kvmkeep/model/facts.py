"""What is: a snapshot of the host, as observed. Encodes to JSON and back without loss.

Everything here is of foreign origin: names are plain strings that nobody has vouched for.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from kvmkeep.model.agent import AgentFacts
from kvmkeep.model.backup import NO_BACKUPS, BackupFacts
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.host_units import NO_UNITS, HostUnits
from kvmkeep.model.image_facts import ImageFacts, ImageFile
from kvmkeep.model.network_facts import Link, Management, Nm
from kvmkeep.model.proof import RunningProof
from kvmkeep.model.times import utc
from kvmkeep.model.trash_folder import TrashFolder
from kvmkeep.model.units import Size
from kvmkeep.model.way import Way

FACTS_VERSION = 1
LIBVIRT, VOLUMES, GROUPS = "libvirt", "logical volumes", "volume groups"
"""What a `Problem` calls these: nobody can plan anything for guests that are not seen."""
OF_DOMAIN = "domain "
"""And so one domain alone, with its name behind it."""
LINKS, NETWORK_MANAGER = "network interfaces", "NetworkManager"
"""The same of networks."""


class ArrayState(StrEnum):
    """Health of an MD array."""

    CLEAN = "clean"
    DEGRADED = "degraded"
    RESYNCING = "resyncing"
    """Resync, recovery, reshape or check: `sync_action` in md(4)."""
    READ_ONLY = "read-only"
    """It takes no write until somebody says so: mdadm(8), "--readwrite"."""
    FAILED = "failed"


class Array(Struct, frozen=True, kw_only=True):
    """An MD array. `name` is the kernel's (`md0`); `detail` says what runs or misses.

    `missing` counts the members that it runs without, also while one of them is being filled.
    `action` is what goes on, as in `sync_action` of md(4); empty while nothing does. `faulty` are
    the members that failed.
    """

    name: str
    level: str
    state: ArrayState
    members: tuple[str, ...]
    detail: str
    missing: int = 0
    action: str = ""
    faulty: tuple[str, ...] = ()

    def holds(self, device: str) -> bool:
        """Whether a device is this array, or a partition of it: `/dev/md126p3`.

        The kernel writes the `p` where the name before it ends in a digit.
        """
        part = "p" if self.name[-1:].isdecimal() else ""
        return re.fullmatch(rf"/dev/{re.escape(self.name)}({part}[0-9]+)?", device) is not None


class VolumeGroup(Struct, frozen=True, kw_only=True):
    """A volume group, or any of several `uuids`. `missing_pvs` counts what `pvs` (paths) lost."""

    name: str
    extent: Size
    size: Size
    free: Size
    pvs: tuple[str, ...]
    missing_pvs: int
    uuids: tuple[str, ...] = ()


class Volume(Struct, frozen=True, kw_only=True):
    """A logical volume. `device` is its major:minor if active, else empty.

    `origin` names the LV that this is a snapshot of; empty for any other. A snapshot's
    `filled_percent` tells how much of its size holds old blocks of the origin; once it was full,
    it is `invalid` and worth nothing. `merging` marks an origin that takes its content back from
    a snapshot, which itself is hidden from then on; `filled_percent` then is what is still to come
    from it. `merge_waits` when that has not begun yet, since something had the origin open: the
    kernel begins it at the origin's next activation, and until then shows the content of today.
    `merge_failed` when the kernel gave it up.

    `extents` are the ranges of physical extents (`/dev/md0:100-149`) of an LV that gives them to
    another, as lvextend(8) takes them; they are not read for any other LV. `striped` is asked for
    only while the disk of a guest is to grow.
    """

    vg: str
    name: str
    size: Size
    tags: tuple[str, ...]
    active: bool
    opened: bool
    device: str
    attributes: str
    origin: str = ""
    filled_percent: float = 0.0
    invalid: bool = False
    merging: bool = False
    merge_failed: bool = False
    merge_waits: bool = False
    extents: tuple[str, ...] = ()
    striped: bool = False

    @property
    def full_name(self) -> str:
        """Its name as LVM's tools take it."""
        return f"{self.vg}/{self.name}"

    @property
    def kernel_name(self) -> str:
        """Its device as sysfs calls it, after its minor number; empty where it is not active."""
        return f"dm-{self.device.rpartition(':')[2]}" if self.device else ""


class SeedFile(Struct, frozen=True, kw_only=True):
    """A seed that lies on the host."""

    guest: str
    path: str


class SavedXml(Struct, frozen=True, kw_only=True):
    """A domain's XML as kept beside the spec (`/root/kvm/GUEST.xml`).

    `domain` is what the file would define; known only where libvirt has no definition of that name
    and the file is whole. `torn` when an interrupted run left half of a newer one beside it.
    """

    guest: str
    path: str
    sha256: str
    domain: Domain | None = None
    torn: bool = False


class Variables(Struct, frozen=True, kw_only=True):
    """What lies where a domain has, or had, the variables of its UEFI firmware.

    `file` is None where nothing does, or where it can't be seen: then `problem` says why. `copies`
    are the folders of the trash that hold the same, where no domain has that file.
    """

    path: str
    file: ImageFile | None = None
    copies: tuple[str, ...] = ()
    problem: str = ""


class Tool(Struct, frozen=True, kw_only=True):
    """A program that steps need; `path` is empty where it is missing."""

    name: str
    path: str
    package: str


class Problem(Struct, frozen=True, kw_only=True):
    """Something that could not be observed: `what`, because of `reason`, mended by `hint`."""

    what: str
    reason: str
    hint: str


class Machines(Struct, frozen=True, kw_only=True):
    """The machine types that QEMU has with KVM for guests of an architecture."""

    arch: str
    names: tuple[str, ...]


class Facts(Struct, frozen=True, kw_only=True):
    """The host at one moment. `time` is UTC in ISO 8601. `problems` is what could not be seen.

    `agents` are the answers of those guests' agents that were asked, in the order of their names.
    `said` are those guests of whom the same was asked, and whose console has the line that tells
    that they are ready, which nobody keeps yet.
    `mounts` are the mount points that guests need, for disks in files or else, of those where
    something is mounted; `disk_files` are these disks, as far as they are there, `ways` lead to
    where others of them are to be made, `loop_files` are the files that loop devices have open.
    `units` are those of systemd that have guests run with the host. `qemu_group` is the number of
    the group that QEMU runs as; -1 where it is not known.
    `machines` are its machine types; none where they are not known.
    `backups` holds the repositories that were asked for. `images_free` is what the filesystem of
    the images has free, where one is to be brought.
    `proofs` are not among the domains: they are nobody's guests, but have the host's memory.
    `variables` are looked at for domains of ours and for what lies in the trash.
    `guest_arrays` lie in LVs of the spec's group alone: what is in a guest's disk made them.
    """

    version: int
    time: str
    hostname: str
    memory: Size
    cpus: int
    arrays: tuple[Array, ...]
    groups: tuple[VolumeGroup, ...]
    volumes: tuple[Volume, ...]
    links: tuple[Link, ...]
    nm: Nm
    management: Management | None
    domains: tuple[Domain, ...]
    libvirt: str
    emulator: str
    images: tuple[ImageFacts, ...]
    seeds: tuple[SeedFile, ...]
    saved: tuple[SavedXml, ...]
    tools: tuple[Tool, ...]
    problems: tuple[Problem, ...]
    agents: tuple[AgentFacts, ...] = ()
    said: tuple[str, ...] = ()
    trash: tuple[TrashFolder, ...] = ()
    variables: tuple[Variables, ...] = ()
    mounts: tuple[str, ...] = ()
    disk_files: tuple[ImageFile, ...] = ()
    ways: tuple[Way, ...] = ()
    loop_files: tuple[str, ...] = ()
    units: HostUnits = NO_UNITS
    qemu_group: int = -1
    machines: tuple[Machines, ...] = ()
    backups: BackupFacts = NO_BACKUPS
    images_free: Size | None = None
    proofs: tuple[RunningProof, ...] = ()
    guest_arrays: tuple[Array, ...] = ()

    @property
    def now(self) -> datetime:
        """The time of the look."""
        return utc(self.time)

    @property
    def boots_at_once(self) -> int:
        """How many guests may boot side by side: as many as there are CPUs, and at least two."""
        return max(2, self.cpus)

    def unseen(self, *what: str) -> bool:
        """Whether one of these could not be observed: then its absence means nothing."""
        return any(problem.what in what for problem in self.problems)

    def group(self, name: str) -> VolumeGroup | None:
        """Return the volume group of that name, if it is the only one."""
        return next((g for g in self.groups if g.name == name and len(g.uuids) < 2), None)

    def volume(self, vg: str, name: str) -> Volume | None:
        """Return the logical volume of that name."""
        return next((v for v in self.volumes if v.vg == vg and v.name == name), None)

    def link(self, name: str) -> Link | None:
        """Return the network interface of that name."""
        return next((link for link in self.links if link.name == name), None)

    def domain(self, name: str) -> Domain | None:
        """Return the domain of that name."""
        return next((domain for domain in self.domains if domain.name == name), None)

    def image(self, name: str) -> ImageFacts | None:
        """Return what is known of the image of that name."""
        return next((image for image in self.images if image.name == name), None)

    def agent(self, guest: str) -> AgentFacts | None:
        """Return what a guest's agent answered, or None where it was not asked."""
        return next((agent for agent in self.agents if agent.guest == guest), None)

    def way(self, directory: str) -> Way:
        """Return the way to a directory; one that was not looked at has its trouble."""
        return next((one for one in self.ways if one.path == directory), Way(path=directory))

    def variables_at(self, path: str) -> Variables:
        """Return what lies at the path of a firmware's variables."""
        return next((one for one in self.variables if one.path == path), Variables(path=path))
