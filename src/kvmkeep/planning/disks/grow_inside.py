"""What a running guest makes of a disk that has grown: block device, partition, filesystem.

`guest-exec` ends at once and answers with a number that no plan can hold. So the program leaves
files behind, named after the time of the look, and opening them through the agent tells whether
they are there. A line on the console would be torn by the kernel's own message of the growth.
"""

from __future__ import annotations

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.names import TAG_GROW, second_stamp
from kvmkeep.model.plan import Noun, Risk, Step
from kvmkeep.model.spec import Disk, Guest
from kvmkeep.model.units import Size
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.disks.grow_script import GROW_SCRIPT
from kvmkeep.planning.running.agent_commands import opens, runs_script
from kvmkeep.planning.scene import Scene, active, disk_in

_BEGINS_WITHIN = 60.0
"""Seconds for the script to begin: where its log can't be seen by then, nothing of it ever can."""
_PATIENCE = 900.0
"""Seconds that the guest has; a filesystem mostly grows within a few."""


def asked(scene: Scene, guest: Guest) -> bool:
    """Whether the guest itself is asked to use a disk's new size."""
    domain = scene.own_domain(guest)
    return domain is not None and active(domain) and domain.agent and domain.executes


def use_step(scene: Scene, guest: Guest, disk: Disk, size: Size) -> Step:
    """Return what has a guest use a disk that was made larger; `size` is what it has by then.

    A guest that is off, or has not got the disk, needs nothing.
    """
    domain = scene.own_domain(guest)
    found = None if domain is None else disk_in(scene, domain, disk)
    if domain is None or found is None or not found.attached or not active(domain):
        return forget_step(scene, guest, disk.name)
    actions: list[Action] = [
        Command(
            argv=(
                "virsh", "blockresize", "--domain", guest.name, "--path", found.target,
                "--size", f"{size.bytes}B",
            ),
            why="show the guest the new size",
        ),
    ]  # fmt: skip
    what = f"have it see that disk {disk.name} has {size}"
    if asked(scene, guest):
        what = f"have it use the {size} of disk {disk.name}: partition and filesystem grow"
        actions += _ask(scene, guest, disk.name, found.serial, size)
    return Step(
        noun=Noun.DOMAINS,
        subject=f"disk {disk.name} of guest {guest.name}",
        what=what,
        why="a larger disk is of no use before",
        probe=is_guest(guest),
        actions=(*actions, _forget(scene, guest, disk.name)),
        risk=Risk.GUEST,
        isolated=True,
    )


def way_out(scene: Scene, guest: Guest, name: str) -> str:
    """Return how a growth ends that a guest can't do by itself: its disk has the room already."""
    lv = scene.full_name(guest.root.lv)
    return (
        "grow partition and filesystem inside by hand, and have this one forgotten: "
        f"lvchange --deltag {TAG_GROW}{name} {lv}"
    )


def forget_step(scene: Scene, guest: Guest, name: str) -> Step:
    """Return what takes the note of a growth away where nothing is left to be done."""
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"forget that disk {name} is growing",
        why="the guest does not run with it now",
        actions=(_forget(scene, guest, name),),
    )


def _ask(scene: Scene, guest: Guest, name: str, serial: str, size: Size) -> tuple[Action, ...]:
    stamp = f"{second_stamp(scene.facts.time)}-{name}"
    place = f"/run/kvmkeep-grow.{stamp}"
    words = (GROW_SCRIPT, "kvmkeep", serial, str(size.bytes), stamp)
    otherwise = f"{place}.log in the guest tells why; else {way_out(scene, guest, name)}"
    return (
        runs_script(guest, words, "ask it to have partition and filesystem grow"),
        Poll(
            command=opens(guest, f"{place}.log", "see whether the guest has begun"),
            limit=_BEGINS_WITHIN,
            message=f"guest {guest.name} to begin to use the new size of disk {name}",
            otherwise=otherwise,
        ),
        Poll(
            command=opens(guest, f"{place}.ended", "see whether the guest is done with it"),
            limit=_PATIENCE,
            message=f"guest {guest.name} to use the new size of disk {name}",
            otherwise=otherwise,
        ),
        Poll(
            command=opens(guest, f"{place}.grown", "see that the room is there"),
            limit=1.0,
            message=f"guest {guest.name} to tell that disk {name} has its room",
            otherwise=otherwise,
        ),
    )


def _forget(scene: Scene, guest: Guest, name: str) -> Command:
    lv = scene.full_name(guest.root.lv)
    return Command(
        argv=("lvchange", "--deltag", TAG_GROW + name, lv), why="nothing is left to be done for it"
    )
