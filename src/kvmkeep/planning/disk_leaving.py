"""Disks of a guest in service that the spec no longer has. Their LVs stay, with their marks.

They are taken out of the definition at once. A running guest would let go of a disk in the middle
of its work, so it is asked whether it uses it, and keeps it to its next start unless it says no.
"""

from __future__ import annotations

import re

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.domain_facts import Domain, DomainDisk, DomainState
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import STATE_FILLING, STATE_SPARE, TAG_DISK
from kvmkeep.model.plan import Note, Noun, Risk, Step
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest
from kvmkeep.model.trash import is_trash
from kvmkeep.planning.domains import has_state, is_guest
from kvmkeep.planning.free_script import FREE_SCRIPT
from kvmkeep.planning.in_guest import opens, runs_script
from kvmkeep.planning.marks import full_name
from kvmkeep.planning.scene import Scene, active, aliases
from kvmkeep.planning.stage import fresh

_SERIAL = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_PATIENCE = 60.0
"""Seconds in which the guest looks who uses a disk, and then again those in which it lets go."""


def undefine_disk_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what takes the disks that the spec no longer has out of a guest's definition."""
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest):
        return ()
    return tuple(
        _undefine_step(guest, domain, volume, found)
        for volume, found in _leaving(scene, guest, domain)
        if found.defined
    )


def unplug_disk_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what takes from a running guest the disks that it does not use.

    They come last: a guest that uses one after all stops the run, and nothing else should wait.
    """
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest):
        return ()
    return tuple(
        _unplug_step(guest, volume, found)
        for volume, found in _leaving(scene, guest, domain)
        if active(domain) and found.attached and not _stays(scene, domain, found)
    )


def leaving_notes(scene: Scene, guest: Guest, domain: Domain) -> tuple[Note, ...]:
    """Return what becomes of the disks that the spec no longer has."""
    there = {volume.name: found for volume, found in _leaving(scene, guest, domain)}
    return tuple(
        _note(scene, guest, domain, volume, there.get(volume.name))
        for volume in dropped(scene, guest)
    )


def dropped(scene: Scene, guest: Guest) -> tuple[Volume, ...]:
    """Return the LVs that are a guest's disks by their marks, and that its spec has not."""
    wanted = {disk.lv for disk in guest.volumes}
    return tuple(
        volume
        for volume in scene.tagged.get(guest.name, ())
        if volume.name not in wanted
        and not volume.origin
        and not is_trash(volume)
        and STATE_SPARE not in volume.tags
        and STATE_FILLING not in volume.tags
    )


def _leaving(scene: Scene, guest: Guest, domain: Domain) -> list[tuple[Volume, DomainDisk]]:
    """Return those of them that the domain has, each with its disk."""
    pairs: list[tuple[Volume, DomainDisk]] = []
    for volume in dropped(scene, guest):
        names = {*aliases(scene.spec.storage.vg, volume.name, volume.device)}
        found = (one for one in domain.disks if {one.source, one.device} & names)
        pairs.extend((volume, one) for one in found)
    return pairs


def _stays(scene: Scene, domain: Domain, found: DomainDisk) -> str:
    """Return why a running guest keeps a disk until it is off; empty where it need not."""
    if domain.state is not DomainState.RUNNING:
        return f"the guest is {domain.state}"
    if _SERIAL.fullmatch(found.serial) is None:
        return "it has no serial that it could be known by inside"
    agent = scene.facts.agent(domain.name)
    mounted = [
        one.mountpoint
        for one in (agent.filesystems if agent is not None else ())
        if any(disk.serial == found.serial for disk in one.disks)
    ]
    if mounted:
        return f"{', '.join(mounted)} in it lies on that disk"
    if not domain.executes:
        return "its agent does not tell whether it is used (guest-exec is needed for that)"
    return ""


def _note(
    scene: Scene, guest: Guest, domain: Domain, volume: Volume, found: DomainDisk | None
) -> Note:
    name, subject = tag_value(volume, TAG_DISK) or volume.name, f"guest {guest.name}"
    why = _stays(scene, domain, found) if found is not None else ""
    if found is not None and found.attached and active(domain) and why:
        text = (
            f"when it is shut down and started again, it has no disk {name} any more, which the "
            f"spec no longer has; until then it keeps it, since {why}"
        )
        return Note(subject=subject, text=text, pending=True)
    text = (
        f"the content of disk {name} is kept in {full_name(volume)}, which goes on taking "
        f"{volume.size}; to give it to the guest again, put it back into the spec; to give it up: "
        f"kvmkeep remove {guest.name} --disk {name}"
    )
    return Note(subject=subject, text=text)


def _undefine_step(guest: Guest, domain: Domain, volume: Volume, found: DomainDisk) -> Step:
    runs = active(domain)
    where = "its definition" if runs else "it"
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"take disk {found.target} ({full_name(volume)}) from {where}; the LV stays as it is",
        why="the spec no longer has it",
        probe=is_guest(guest) if runs else has_state(guest, str(domain.state)),
        actions=(_detach(guest, found, "--config", "take it out of the definition"),),
        risk=Risk.GUEST,
    )


def _unplug_step(guest: Guest, volume: Volume, found: DomainDisk) -> Step:
    place = f"/run/kvmkeep-free.{found.serial}"
    actions: tuple[Action, ...] = (
        runs_script(guest, (FREE_SCRIPT, "kvmkeep", found.serial), "ask it whether it is used"),
        Poll(
            command=opens(guest, place, "see whether it has found nothing that uses it"),
            limit=_PATIENCE,
            message=f"guest {guest.name} to find that nothing in it uses disk {found.target}",
            otherwise=(
                f"what does is told inside the guest: cat {place}.log; put an end to that (umount, "
                "swapoff, vgchange -an) and run this again; or shut the guest down and start it: "
                "its definition has the disk no more"
            ),
        ),
        _detach(guest, found, "--live", "ask the running guest to let go of it"),
        Poll(
            command=_gone(guest, found),
            limit=_PATIENCE,
            message=f"the guest to let go of disk {found.target}",
            otherwise=(
                "its definition has the disk no more, so it is gone after a shutdown and start; "
                "or run this again once the guest has booted"
            ),
        ),
    )
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=(
            f"take disk {found.target} ({full_name(volume)}) from the running guest, once it tells "
            "that nothing uses it; the LV stays as it is"
        ),
        why="the spec no longer has it",
        probe=is_guest(guest),
        actions=actions,
        risk=Risk.GUEST,
    )


def _detach(guest: Guest, disk: DomainDisk, flag: str, why: str) -> Command:
    return Command(
        argv=(
            "virsh", "detach-disk", "--domain", guest.name, "--target", disk.target, flag,
        ),
        why=why,
        timeout=60.0,
    )  # fmt: skip


def _gone(guest: Guest, disk: DomainDisk) -> Command:
    # virsh detach-disk ends before the guest has let go (virsh(1), "detach-device").
    gone = f'/domain[not(devices/disk/target/@dev="{disk.target}")]/name'
    return Command(
        argv=("virsh", "dumpxml", "--domain", guest.name, "--xpath", gone),
        why="see whether the guest has let go of it",
        expect=f"<name>{guest.name}</name>",
    )
