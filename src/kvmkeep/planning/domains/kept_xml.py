"""The kept XML of a guest in service: what libvirt has, so that it can be defined from it again.

It is libvirt's own text, with all that somebody else put into the domain. The seed is in the drive
only until the first boot is done, and before that nothing is kept from libvirt.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Action, Command
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import SavedXml
from kvmkeep.model.names import seed_path
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.domains.xml import sha256
from kvmkeep.planning.scene import Known, Scene, disks_in


def kept_path(spec: Spec, guest: Known) -> str:
    """Return the file that keeps a guest's XML."""
    return f"{spec.xml_dir}/{guest.name}.xml"


def by_hand_path(spec: Spec, guest: Guest) -> str:
    """Return where a file is kept that others have written in the place of that."""
    return f"{spec.xml_dir}/{guest.name}.by-hand.xml"


def kept_domain(scene: Scene, guest: Guest) -> Domain | None:
    """Return what a guest in service is defined from again, if libvirt has lost its definition.

    The file of a guest that is to be made anew is of one that is no more.
    """
    saved = scene.saved.get(guest.name)
    kept = saved.domain if saved is not None else None
    there = scene.domain(guest)
    defined = there is not None and there.persistent
    if kept is None or not kept.ours or defined or fresh(scene, guest):
        return None
    names = {disk.source for disk in kept.disks}
    whole = (
        (kept.name, kept.uuid) == (guest.name, guest.uuid)
        and all(disk.format == "raw" for disk in kept.disks if disk.source)
        and all(disks_in(scene, kept, disk) for disk in guest.disks)
        and seed_path(guest.name) not in names
    )
    return kept if whole else None


def keep_definition(spec: Spec, guest: Known) -> Command:
    """Return what writes a guest's definition to its kept file."""
    return Command(
        argv=("virsh", "dumpxml", "--inactive", "--", guest.name),
        why="keep the guest's XML at hand",
        stdout_to=kept_path(spec, guest),
    )


def holds(saved: SavedXml, domain: Domain) -> bool:
    """Whether a kept file holds the definition that libvirt has."""
    # virsh(1) ends what it prints with a further newline, unless it is told to be quiet.
    return saved.sha256 in {sha256(domain.xml), sha256(f"{domain.xml}\n")}


def is_kept(scene: Scene, guest: Guest) -> bool:
    """Whether a guest's kept file holds what libvirt has, and is whole."""
    saved, domain = scene.saved.get(guest.name), scene.own_domain(guest)
    return saved is not None and domain is not None and not saved.torn and holds(saved, domain)


def kept_step(scene: Scene, guest: Guest, before: Iterable[Step], assumes: str) -> Step | None:
    """Return what keeps the definition that a guest has after the steps `before`, if need be."""
    saved, domain = scene.saved.get(guest.name), scene.own_domain(guest)
    as_kept = is_kept(scene, guest)
    changed = any(_defines(action) for step in before for action in step.all_actions)
    if not changed and (as_kept or domain is None):
        return None
    follows = changed or saved is None or fresh(scene, guest)
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"keep its definition in {kept_path(scene.spec, guest)}",
        why="it is to be what libvirt has" if follows else "libvirt has something else",
        probe=is_guest(guest),
        actions=(keep_definition(scene.spec, guest),),
        assumes=assumes,
    )


def with_kept(scene: Scene, guest: Guest, step: Step | None) -> tuple[Step, ...]:
    """Return a step with what keeps the definition after it, where the guest is in service."""
    steps = () if step is None else (step,)
    kept = None if fresh(scene, guest) else kept_step(scene, guest, steps, "")
    return steps if kept is None else (*steps, kept)


def _defines(action: Action) -> bool:
    """Whether an action changes what libvirt has as a domain's definition."""
    if not isinstance(action, Command) or action.argv[0] != "virsh":
        return False
    return action.argv[1] == "define" or "--config" in action.argv
