"""What a killed run left of its work on snapshots, and what puts that in order."""

from __future__ import annotations

from kvmkeep.model.names import TAG_HELD
from kvmkeep.model.plan import Noun, Risk, Step
from kvmkeep.model.snapshot import SnapshotSet, snapshot_sets, tag_value
from kvmkeep.model.spec import Guest
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.scene import Scene, active
from kvmkeep.planning.snapshots.removal import removal
from kvmkeep.planning.snapshots.window import forget, thaw_commands


def mend_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what lets a held guest go, and deletes its incomplete sets."""
    return (*thaw_steps(scene, guest), *tidy_steps(scene, guest))


def tidy_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what deletes a guest's incomplete sets."""
    why = "a run that was stopped left it"
    partial = (one for one in sets_of(scene, guest) if one.partial)
    return tuple(step for one in partial for step in removal(one, why))


def thaw_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what lets a guest go that a killed run left frozen or suspended."""
    level = held(scene, guest)
    domain = scene.own_domain(guest)
    if not level or domain is None:
        return ()
    on = active(domain)
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {guest.name}",
            what="let the guest go on" if on else "forget that the guest was held: it is off",
            why="a run that was stopped may have left it suspended or frozen",
            probe=is_guest(guest),
            actions=thaw_commands(scene, guest, level) if on else forget(scene, guest),
            risk=Risk.GUEST,
        ),
    )


def held(scene: Scene, guest: Guest) -> str:
    """Return how a guest is held by a run that did not end; empty if it is not."""
    volume = scene.volume(guest.root)
    return "" if volume is None else tag_value(volume, TAG_HELD)


def sets_of(scene: Scene, guest: Guest) -> tuple[SnapshotSet, ...]:
    """Return the snapshots of a guest."""
    sets = snapshot_sets(scene.volumes.values(), scene.spec.storage.vg)
    return tuple(one for one in sets if one.guest == guest.name)
