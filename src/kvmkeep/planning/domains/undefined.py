"""Guests that run without a definition: somebody undefined them, and libvirt will forget them."""

from __future__ import annotations

from kvmkeep.model.command import Command
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.spec import Guest
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.domains.kept_xml import keep_definition, kept_domain, kept_path
from kvmkeep.planning.scene import Scene

_SEEN_LATER = "what its definition holds then"


def is_undefined(scene: Scene, guest: Guest) -> bool:
    """Whether a guest in service runs, and libvirt has no definition of it."""
    domain = scene.own_domain(guest)
    return domain is not None and not domain.persistent and not fresh(scene, guest)


def define_again_step(scene: Scene, guest: Guest) -> Step:
    """Return what gives a running guest its definition back: the kept one, or else as it runs."""
    path = kept_path(scene.spec, guest)
    whole = kept_domain(scene, guest) is not None
    # Of a running domain, `define` makes what counts from its next start on (virsh(1)).
    define = Command(
        argv=("virsh", "define", "--", path), why="define it: libvirt would forget it when it ends"
    )
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"define guest {guest.name} from {path}" if whole else "define it as it runs",
        why="it runs, but libvirt has no definition of it, and forgets it when it ends",
        probe=is_guest(guest),
        actions=(define,) if whole else (keep_definition(scene.spec, guest), define),
    )


def later_look_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what follows once a guest has a definition again: it is compared with the spec."""
    if not is_undefined(scene, guest):
        return ()
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {guest.name}",
            what="have it as the spec says",
            why="what it is to start with next is known only then",
            actions=(),
            assumes=_SEEN_LATER,
        ),
    )
