"""What is changed of a guest in service, so that it is as the spec says, or is told of it."""

from __future__ import annotations

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.plan import Note, Refusal, Step, refused
from kvmkeep.model.spec import Guest
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.domains.born import born_notes
from kvmkeep.planning.domains.firmware_choice import firmware_notes
from kvmkeep.planning.domains.fixed_shape import beyond_fixed
from kvmkeep.planning.domains.kept_xml import kept_domain
from kvmkeep.planning.domains.memory_and_cpus import shape_notes, shape_steps
from kvmkeep.planning.domains.nics import move_steps, nic_notes, nic_steps
from kvmkeep.planning.domains.record import given_notes, record_steps
from kvmkeep.planning.scene import Scene


def change_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what changes a guest in service; raises TemplateError.

    Its NICs are remembered after they were changed: until then the domain knows the old ones. Who
    is lost and defined again is moved here, and all others with their networks (`stranded.moves`).
    """
    domain = domain_in_service(scene, guest)
    if domain is None:
        return ()
    lost = scene.own_domain(guest) is None
    return (
        *(move_steps(scene, guest, domain) if lost else ()),
        *nic_steps(scene, guest, domain),
        *shape_steps(guest, domain),
        *record_steps(scene.spec, guest, domain),
    )


def change_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Return what of guests in service can't be changed as the spec says."""
    return tuple(
        refusal
        for guest in scene.guests
        if (domain := domain_in_service(scene, guest)) is not None
        for refusal in refused(f"guest {guest.name}", beyond_fixed(guest, domain))
    )


def change_notes(scene: Scene, guest: Guest) -> tuple[Note, ...]:
    """Return what is left as it is, or comes about at the guest's next start."""
    domain = domain_in_service(scene, guest)
    if domain is None:
        return ()
    return (
        *nic_notes(scene, guest, domain),
        *shape_notes(guest, domain),
        *given_notes(guest, domain),
        *born_notes(guest, domain),
        *firmware_notes(guest, domain),
    )


def domain_in_service(scene: Scene, guest: Guest) -> Domain | None:
    """Return the guest's domain, or the one that it is about to be defined from again."""
    if fresh(scene, guest):
        return None
    return scene.own_domain(guest) or kept_domain(scene, guest)
