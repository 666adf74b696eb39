"""The spec and the facts, indexed once: planning asks by name and never searches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from kvmkeep.model.domain_facts import Domain, DomainDisk, DomainState
from kvmkeep.model.facts import Facts, SavedXml, SeedFile, Tool, Volume, VolumeGroup
from kvmkeep.model.image_facts import ImageFacts, ImageFile
from kvmkeep.model.names import TAG_DISK, TAG_GUEST, TAG_OURS, disk_path, lv_path, mapped_name
from kvmkeep.model.network_facts import Link, Profile
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Disk, FileDisk, Guest, Image, LvDisk, Network, Spec
from kvmkeep.model.trash import is_trash
from kvmkeep.model.units import GuestName, Label, Size

_MANY = 1000


class Known(Protocol):
    """What libvirt knows by name and UUID: a guest of the spec, or a domain."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def uuid(self) -> str:
        """Its UUID."""


class Scene(Struct, frozen=True, kw_only=True):
    """What planning looks at. `guests` are the ones asked for, in the order of their needs."""

    spec: Spec
    facts: Facts
    guests: tuple[Guest, ...]
    every_guest: dict[GuestName, Guest]
    networks: dict[Label, Network]
    images: dict[Label, Image]
    image_facts: dict[str, ImageFacts]
    group: VolumeGroup | None
    volumes: dict[str, Volume]
    links: dict[str, Link]
    profiles: dict[str, Profile]
    domains: dict[str, Domain]
    domains_by_uuid: dict[str, Domain]
    users_of_disks: dict[str, tuple[str, ...]]
    tagged: dict[str, tuple[Volume, ...]]
    """The LVs that wear a guest's mark, by its name: disks, snapshots, and what grows."""
    seeds: dict[str, SeedFile]
    disk_files: dict[str, ImageFile]
    saved: dict[str, SavedXml]
    tools: dict[str, Tool]

    def volume(self, disk: LvDisk) -> Volume | None:
        """Return the LV of a guest's disk, whoever owns it."""
        return self.volumes.get(disk.lv)

    def domain(self, guest: Guest) -> Domain | None:
        """Return the domain with a guest's name, whoever owns it."""
        return self.domains.get(guest.name)

    def own_domain(self, guest: Guest) -> Domain | None:
        """Return a guest's domain if it wears our mark."""
        domain = self.domains.get(guest.name)
        return domain if domain is not None and domain.ours and domain.uuid == guest.uuid else None

    def path(self, disk: Disk) -> str:
        """Return the path of a guest's disk: of its device or its file."""
        return disk_path(self.spec.storage.vg, disk)

    def full_name(self, lv: str) -> str:
        """Return the name of an LV of the spec's group as LVM's tools take it."""
        return f"{self.spec.storage.vg}/{lv}"

    def lv_size(self, disk: LvDisk) -> Size:
        """Return the size that the disk's LV has, or will have: whole extents."""
        volume = self.volume(disk)
        if volume is not None:
            return volume.size
        return self.rounded(disk.size)

    def rounded(self, size: Size) -> Size:
        """Return the size that LVM makes of another: whole extents of the volume group."""
        return size if self.group is None else size.rounded_up(self.group.extent)


def make_scene(spec: Spec, facts: Facts, guests: tuple[Guest, ...]) -> Scene:
    """Index the spec and the facts for the guests in question."""
    vg = spec.storage.vg
    return Scene(
        spec=spec,
        facts=facts,
        guests=guests,
        every_guest={guest.name: guest for guest in spec.guests},
        networks={network.name: network for network in spec.networks},
        images={image.name: image for image in spec.images},
        image_facts={image.name: image for image in facts.images},
        group=facts.group(vg),
        volumes={volume.name: volume for volume in facts.volumes if volume.vg == vg},
        links={link.name: link for link in facts.links},
        profiles={profile.uuid: profile for profile in facts.nm.profiles},
        domains={domain.name: domain for domain in facts.domains},
        domains_by_uuid={domain.uuid: domain for domain in facts.domains},
        users_of_disks=_users_of_disks(facts.domains),
        tagged=_tagged(volume for volume in facts.volumes if volume.vg == vg),
        seeds={seed.guest: seed for seed in facts.seeds},
        disk_files={file.path: file for file in facts.disk_files},
        saved={saved.guest: saved for saved in facts.saved},
        tools={tool.name: tool for tool in facts.tools},
    )


def owned(volume: Volume, guest: Guest, disk: Disk) -> bool:
    """Whether an LV wears our mark for just this disk."""
    tags = volume.tags
    marks = (TAG_OURS, TAG_GUEST + guest.name, TAG_DISK + disk.name)
    # A snapshot of the disk wears the disk's marks as well, and so does what lies in the trash.
    return volume.origin == "" and not is_trash(volume) and all(mark in tags for mark in marks)


def active(domain: Domain) -> bool:
    """Whether a domain has a QEMU process."""
    return domain.state is not DomainState.SHUTOFF


def is_on(scene: Scene, guest: Guest) -> bool:
    """Whether a guest of ours has a QEMU process."""
    domain = scene.own_domain(guest)
    return domain is not None and active(domain)


def free_ports(domain: Domain) -> int:
    """Return how many more devices a running guest takes (libvirt's pci-hotplug.html).

    On a Q35 machine each needs a port of its own, and none can be added while it runs; the bus of
    another machine has many slots.
    """
    return domain.ports if domain.ports >= 0 else _MANY


def aliases(vg: str, lv: str, device: str) -> tuple[str, ...]:
    """Return the names under which an LV's device may be found: its paths and its number."""
    numbers = (device,) if device else ()
    return (lv_path(vg, lv), f"/dev/mapper/{mapped_name(vg, lv)}", *numbers)


def names_of(scene: Scene, disk: Disk) -> tuple[str, ...]:
    """Return the names under which a domain may have a guest's disk."""
    if isinstance(disk, FileDisk):
        return (disk.path,)
    volume = scene.volume(disk)
    return aliases(scene.spec.storage.vg, disk.lv, volume.device if volume else "")


def users(scene: Scene, disk: Disk) -> tuple[str, ...]:
    """Return the names of all domains that have a disk under whatever name, sorted."""
    return _users(scene, names_of(scene, disk))


def users_of(scene: Scene, lv: str, device: str) -> tuple[str, ...]:
    """Return the names of all domains that have an LV under whatever name, sorted."""
    return _users(scene, aliases(scene.spec.storage.vg, lv, device))


def _users(scene: Scene, names: Iterable[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for name in names:
        found.update(scene.users_of_disks.get(name, ()))
    return tuple(sorted(found))


def disk_in(scene: Scene, domain: Domain, disk: Disk) -> DomainDisk | None:
    """Return a guest's disk as its domain runs with it, or else has it, under whatever name."""
    return max(disks_in(scene, domain, disk), key=lambda one: one.attached, default=None)


def disks_in(scene: Scene, domain: Domain, disk: Disk) -> tuple[DomainDisk, ...]:
    """Return the same, twice where its definition and its running process differ in it."""
    names = {*names_of(scene, disk)}
    return tuple(one for one in domain.disks if {one.source, one.device} & names)


def _tagged(volumes: Iterable[Volume]) -> dict[str, tuple[Volume, ...]]:
    found: dict[str, list[Volume]] = {}
    for volume in volumes:
        guest = tag_value(volume, TAG_GUEST)
        if guest and TAG_OURS in volume.tags:
            found.setdefault(guest, []).append(volume)
    return {guest: tuple(ours) for guest, ours in found.items()}


def _users_of_disks(domains: Iterable[Domain]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for domain in domains:
        for disk in domain.disks:
            for name in _names(disk):
                found.setdefault(name, set()).add(domain.name)
    return {name: tuple(sorted(domains)) for name, domains in found.items()}


def _names(disk: DomainDisk) -> tuple[str, ...]:
    return tuple(name for name in (disk.source, disk.device) if name)
