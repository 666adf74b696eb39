"""Guests that are to run, and that the next start of the host would not bring up."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from kvmkeep.model.facts import LIBVIRT, VOLUMES, Facts
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards
from kvmkeep.planning.disks.edited import edited
from kvmkeep.planning.disks.storage import storage_refusals
from kvmkeep.planning.running.recover import indispensable, needy, willing
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, make_scene


def kept_down(spec: Spec, facts: Facts) -> tuple[Refusal, ...]:
    """Return why guests would be held back for what they are: their domains and their disks.

    Those are looked at that are to run, and those that hold these back. It is the same whether
    they run. What may have changed by then (memory, mounts) is not looked at, and nothing is said
    of what can't be seen.
    """
    if facts.unseen(LIBVIRT, VOLUMES):
        return ()
    scene = make_scene(spec, facts, spec.guests)
    wanted = {guest.name for guest in indispensable(scene, willing(spec, facts))}
    disks = (*guards.shared_disks(scene), *storage_refusals(scene))
    known = {refusal.subject: refusal for refusal in reversed(disks)}
    found: list[Refusal] = []
    for guest in scene.guests:
        refusal = (
            not_a_guest(scene, guest)
            or next(edited(scene, guest, starting=True), None)
            or known.get(f"guest {guest.name}")
        )
        if refusal is not None and (guest.name in wanted or _lost(scene, guest)):
            found.append(_with_needy(scene, guest, refusal, wanted))
    return tuple(found)


def _with_needy(
    scene: Scene, guest: Guest, refusal: Refusal, wanted: Collection[GuestName]
) -> Refusal:
    """Tell as well who would stay off with a guest."""
    names = [one.name for one in needy(scene, guest) if one.name in wanted]
    text = f"{refusal.reason}; it is needed by {', '.join(names)}"
    return replace(refusal, reason=text) if names else refusal


def _lost(scene: Scene, guest: Guest) -> bool:
    """Whether a guest is to start with the host, and nobody would do that: its mark is gone."""
    domain = scene.domain(guest)
    return domain is not None and not domain.ours and not domain.autostart and guest.run.autostart
