"""Having a guest run again that a revert has shut down: a mark on its root disk remembers that."""

from __future__ import annotations

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.names import TAG_START
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.spec import Guest
from kvmkeep.planning.running.start import start_step
from kvmkeep.planning.scene import Scene, active
from kvmkeep.planning.snapshots.window import thaw_again

AFTER = TAG_START + "after-revert"


def runs_again(scene: Scene, guest: Guest) -> bool:
    """Whether a run has shut it down, and it was not started since."""
    volume = scene.volume(guest.root)
    return volume is not None and AFTER in volume.tags


def start_again(scene: Scene, guest: Guest) -> Step:
    """Return what starts it, once it is off."""
    return start_step(
        scene, guest, after=(thaw_again(guest), *_unwanted(scene, guest)), state=DomainState.SHUTOFF
    )


def goes_on(scene: Scene, guest: Guest) -> Step:
    """Return what has it run; one that runs already is only forgotten."""
    if not active(scene.domains[guest.name]):
        return start_again(scene, guest)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what="forget that it was to be started",
        why="it runs",
        actions=_unwanted(scene, guest),
    )


def _unwanted(scene: Scene, guest: Guest) -> tuple[Command, ...]:
    argv = ("lvchange", "--deltag", AFTER, scene.full_name(guest.root.lv))
    return (Command(argv=argv, why="the guest runs again as before"),)
