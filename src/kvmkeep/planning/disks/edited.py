"""Disks that others changed in a guest's definition: what it would read otherwise from now on."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.model.domain_facts import Domain, DomainDisk
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Disk, Guest
from kvmkeep.planning.disks.astray import astray, astray_refusals
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.scene import Scene, disks_in


def edited_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse what no step of ours could set right: all guests' disks that others changed."""
    return tuple(refusal for guest in scene.guests for refusal in edited(scene, guest))


def edited(scene: Scene, guest: Guest, *, starting: bool = False) -> Iterator[Refusal]:
    """Return why a guest would have another disk than its own after its next start, or has it.

    Who is `starting` it as it is, is told as well of what `apply` sets right.
    """
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest):
        return
    moved = [one.disk for one in astray(scene, guest, domain)]
    for disk in guest.disks:
        found = disks_in(scene, domain, disk)
        yield from _not_raw(scene, guest, disk, found)
        if disk not in moved:
            yield from _replaced(scene, guest, disk, domain, found)
    yield from astray_refusals(scene, guest, domain, sure=starting)


def _not_raw(
    scene: Scene, guest: Guest, disk: Disk, found: tuple[DomainDisk, ...]
) -> Iterator[Refusal]:
    """Refuse other formats: of those, a guest writes the header itself.

    It may name any file of the host as its backing file (libvirt's kbase/backing_chains).
    """
    for one in found:
        if one.format != "raw":
            yield Refusal(
                subject=f"guest {guest.name}",
                reason=f"its disk {one.target} reads {scene.path(disk)} as "
                f"{one.format or 'whatever it looks like'}, not as raw: so the guest itself could "
                "choose files of the host to read",
                hint=f"virsh edit {guest.name}: <driver name='qemu' type='raw'/> for {one.target}",
            )


def _replaced(
    scene: Scene, guest: Guest, disk: Disk, domain: Domain, found: tuple[DomainDisk, ...]
) -> Iterator[Refusal]:
    """Refuse where something else took a disk's place in the definition."""
    if any(one.defined for one in found):
        return
    places = {one.target for one in found}
    for other in domain.disks:
        if other.defined and other.target in places:
            yield Refusal(
                subject=f"guest {guest.name}",
                reason=f"its definition has {other.source or 'nothing'} as {other.target}, where "
                f"{scene.path(disk)} was",
                hint=f"virsh edit {guest.name}: give {other.target} its source back",
            )
