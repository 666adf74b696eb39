"""What a guest does not get at its first boot, though its file says so."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.model.image_facts import Contents
from kvmkeep.model.plan import Note
from kvmkeep.model.run import ReadyAgent
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import Label
from kvmkeep.planning.disks.stage import cloned_from, needs_seed
from kvmkeep.planning.first_boot.seed import (
    SeedKind,
    beyond_a_drive,
    declines_a_route,
    seed_kind,
    without_ipv6_router,
)
from kvmkeep.planning.images.image import ImageSource, ImageWork
from kvmkeep.planning.scene import Scene


def seed_notes(scene: Scene, works: dict[Label, ImageWork]) -> tuple[Note, ...]:
    """Return what a guest's seed can't give it."""
    return tuple(
        Note(subject=f"guest {guest.name}", text=text)
        for guest in scene.guests
        if guest.image in works and needs_seed(scene, guest) and not cloned_from(scene, guest)
        for text in (
            *_not_by_seed(guest, works[guest.image].source.contents),
            *_not_grown(scene, guest, works[guest.image].source),
        )
    )


def _not_grown(scene: Scene, guest: Guest, source: ImageSource) -> Iterator[str]:
    """Tell of a root filesystem that cloud-init's growpart leaves as it is (cc_growpart.py)."""
    size, room = source.virtual_size, scene.lv_size(guest.root)
    if source.contents.on_volume and size is not None and size.bytes < room.bytes:
        yield (
            f"its root filesystem lies on LVM inside the image, and first boot does not grow that: "
            f"of {room}, {size} are used until, inside: growpart /dev/vda N; pvresize /dev/vdaN; "
            "lvextend --resizefs --extents +100%FREE VG/LV"
        )


def _not_by_seed(guest: Guest, contents: Contents) -> Iterator[str]:
    kind, _ = seed_kind(guest, contents)
    if kind is SeedKind.CONFIG_DRIVE:
        for what in beyond_a_drive(guest):
            yield f"its seed is a config drive, which has no place for {what}"
    elif declines_a_route(guest):
        yield (
            "only netplan and systemd-networkd leave DHCP's default route out: with another "
            "network program, it has two"
        )
    for address in without_ipv6_router(guest):
        yield f"its address {address} has no default route: name its router, too (`gateway`)"
    ways = any(nic.dns for nic in guest.nics) and any(nic.gateway for nic in guest.nics)
    ways = ways or any(nic.dhcp for nic in guest.nics)
    brings = contents.agent or not contents.cloud_init
    if isinstance(guest.run.ready, ReadyAgent) and not (ways or brings):
        yield (
            "its agent has to be installed at its first boot, and it has no way to fetch it: give "
            'its network `dns` and `gateway`, or do without the agent (`ready: "console:login:"`)'
        )
