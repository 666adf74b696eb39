"""Guests that are off, and whose memory libvirt keeps for their next start.

`virsh managedsave` does that, virt-manager's "Save", and libvirt-guests.service where it is to
suspend. That memory holds what the guest has read of its disks, and what it has not written yet:
where they are changed beside it, the guest destroys its filesystems once it goes on. libvirt
neither undefines nor renames such a domain.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.plan import Note, Reason, Refusal, refused
from kvmkeep.model.spec import Guest
from kvmkeep.planning.scene import Scene, active


def sleeps(domain: Domain | None) -> bool:
    """Whether a domain is off with its memory saved."""
    return domain is not None and not active(domain) and domain.saved


def saved_reasons(domain: Domain | None) -> list[Reason]:
    """Return why the disks and the definition of a domain have to stay as they are, if so."""
    if domain is None or not sleeps(domain):
        return []
    return [
        ("it is off, but its memory is saved and goes with its disks as they are", _way(domain))
    ]


def saved_refusals(domain: Domain) -> tuple[Refusal, ...]:
    """Return the same as refusals."""
    return refused(f"guest {domain.name}", saved_reasons(domain))


def resumed_notes(scene: Scene, guests: Iterable[Guest]) -> tuple[Note, ...]:
    """Tell of those that a start does not boot."""
    text = "its memory was saved (virsh managedsave): it does not boot, but goes on from there"
    return tuple(
        Note(subject=f"guest {guest.name}", text=text)
        for guest in guests
        if sleeps(scene.own_domain(guest))
    )


def _way(domain: Domain) -> str:
    name = domain.name
    return (
        f"let it go on, and shut it down: kvmkeep start {name}; kvmkeep shutdown {name}; or, if "
        f"what it had in memory may be lost as by a power cut: virsh managedsave-remove {name}"
    )
