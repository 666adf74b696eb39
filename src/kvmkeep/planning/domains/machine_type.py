"""A guest's machine type that QEMU here has no more: it runs on, and can't be started anew.

QEMU drops old types with its versions, a distribution its own ones; what runs has its QEMU still.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note
from kvmkeep.model.spec import Guest
from kvmkeep.planning.scene import Scene


def machine_gone(facts: Facts, domain: Domain) -> bool:
    """Whether QEMU here does not know the machine type of a definition; not where it is unknown."""
    known = next((one.names for one in facts.machines if one.arch == domain.arch), ())
    return bool(known) and domain.machine not in {"", *known}


def another_machine(domain: Domain) -> str:
    """Return what to type so that it has a type that is there: QEMU's newest one of the kind."""
    newest = "q35" if "q35" in domain.machine else "pc"
    return (
        f"virsh edit {domain.name}: machine='{newest}' in the place of '{domain.machine}' "
        "(`virsh capabilities` lists all)"
    )


def machine_notes(scene: Scene, guests: Iterable[Guest]) -> tuple[Note, ...]:
    """Tell of guests that are to be started, and whose start QEMU refuses."""
    return tuple(
        Note(
            subject=f"guest {guest.name}",
            text=f"QEMU here does not know its machine type {domain.machine}, so its start fails; "
            f"{another_machine(domain)}",
        )
        for guest in guests
        if (domain := scene.own_domain(guest)) is not None and machine_gone(scene.facts, domain)
    )
