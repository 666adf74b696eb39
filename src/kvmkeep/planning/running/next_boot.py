"""Guests that are to run, and that the next start of the host would not bring up."""

from __future__ import annotations

from kvmkeep.model.facts import LIBVIRT, VOLUMES, Facts
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.planning import guards
from kvmkeep.planning.disks.edited import edited
from kvmkeep.planning.disks.storage import storage_refusals
from kvmkeep.planning.running.recover import willing
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, make_scene


def kept_down(spec: Spec, facts: Facts) -> tuple[Refusal, ...]:
    """Return why guests would be held back for what they are: their domains and their disks.

    It is the same whether they run. What may have changed by then (memory, mounts) is not looked
    at, and nothing is said of what can't be seen.
    """
    if facts.unseen(LIBVIRT, VOLUMES):
        return ()
    wanted = {*willing(spec, facts)}
    scene = make_scene(spec, facts, spec.guests)
    disks = (*guards.shared_disks(scene), *storage_refusals(scene))
    known = {refusal.subject: refusal for refusal in reversed(disks)}
    found = (
        not_a_guest(scene, guest)
        or next(edited(scene, guest, starting=True), None)
        or known.get(f"guest {guest.name}")
        for guest in scene.guests
        if guest.name in wanted or _lost(scene, guest)
    )
    return tuple(refusal for refusal in found if refusal is not None)


def _lost(scene: Scene, guest: Guest) -> bool:
    """Whether a guest is to start with the host, and nobody would do that: its mark is gone."""
    domain = scene.domain(guest)
    return domain is not None and not domain.ours and not domain.autostart and guest.run.autostart
