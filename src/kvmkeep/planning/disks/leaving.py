"""Disks of a guest in service that the spec no longer has. Their LVs and files stay as they are.

An LV is known by its marks, a file since the domain remembers it. They are taken out of the
definition at once. A running guest would let go of a disk in the middle of its work, so it is
asked whether it uses it, and keeps it to its next start unless it says no.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.domain_facts import Domain, DomainDisk, DomainState
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import STATE_FILLING, STATE_SPARE, TAG_DISK
from kvmkeep.model.plan import Note, Noun, Risk, Step
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import ROOT_DISK, Guest
from kvmkeep.model.trash import is_trash
from kvmkeep.planning.commands import has_state, is_guest
from kvmkeep.planning.disks.free_script import FREE_SCRIPT
from kvmkeep.planning.disks.stage import Stage, fresh, stage
from kvmkeep.planning.disks.storage import retagging
from kvmkeep.planning.domains.metadata import files_of, live_mark, record
from kvmkeep.planning.domains.record import live_files
from kvmkeep.planning.running.agent_commands import opens, runs_script
from kvmkeep.planning.running.waiting import let_go
from kvmkeep.planning.scene import Scene, active, aliases, disks_in

_SERIAL = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
_PATIENCE = 60.0
"""Seconds in which the guest looks who uses a disk."""


class Leaving(Struct, frozen=True, kw_only=True):
    """A disk that is to go: its name, what is behind it (`LV`, `file`) and where, and the disk."""

    name: str
    kind: str
    place: str
    found: DomainDisk


def undefine_disk_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what takes the disks that the spec no longer has out of a guest's definition."""
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest):
        return ()
    return tuple(
        _undefine_step(guest, domain, one)
        for one in leaving(scene, guest, domain)
        if one.found.defined
    )


def unplug_disk_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what takes from a running guest the disks that it does not use.

    They come last: a guest that uses one after all stops the run, and nothing else should wait.
    """
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest):
        return ()
    steps: list[Step] = []
    files = live_files(guest, domain)
    for one in leaving(scene, guest, domain):
        if not active(domain) or not one.found.attached or _stays(scene, domain, one.found):
            continue
        forgotten: tuple[Command, ...] = ()
        if one.place in files:
            files = tuple(path for path in files if path != one.place)
            nics = record(scene.spec, guest, {nic.mac: nic.settings for nic in domain.given})
            forgotten = (live_mark(guest, nics, files),)
        steps.append(_unplug_step(guest, one, forgotten))
    return tuple(steps)


def leaving_notes(scene: Scene, guest: Guest, domain: Domain) -> tuple[Note, ...]:
    """Return what becomes of the disks that the spec no longer has."""
    going = leaving(scene, guest, domain)
    there = {one.place: one for one in going if one.kind == "LV"}
    kept = (
        _note(scene, guest, domain, volume, there.get(volume.full_name))
        for volume in dropped(scene, guest)
    )
    pending = (_pending(scene, guest, domain, one) for one in going if one.kind == "file")
    renamed = _renamed(scene, guest)
    return (*kept, *(note for note in pending if note is not None), *renamed)


def _renamed(scene: Scene, guest: Guest) -> Iterator[Note]:
    """Tell how a disk gets another name: by that alone, it is another disk, and an empty one."""
    new = [one for one in guest.volumes[1:] if stage(scene, guest, one) is Stage.ABSENT]
    for disk in new:
        for volume in dropped(scene, guest):
            before = tag_value(volume, TAG_DISK)
            if before != ROOT_DISK:
                text = (
                    f"disk {disk.name} will be a new and empty one; if it is to be disk {before} "
                    f"under another name, write `lv: {volume.name}` for it into the spec, and then "
                    f"type: {retagging(scene, volume, disk)}"
                )
                yield Note(subject=f"guest {guest.name}", text=text)


def dropped(scene: Scene, guest: Guest) -> tuple[Volume, ...]:
    """Return the LVs that are a guest's disks by their marks, and that its spec has not.

    What it has instead of the root disk that the spec names is the one that it boots from.
    """
    wanted = {disk.lv for disk in guest.volumes}
    domain = scene.own_domain(guest)
    rooted = domain is not None and bool(disks_in(scene, domain, guest.root))
    return tuple(
        volume
        for volume in scene.tagged.get(guest.name, ())
        if volume.name not in wanted
        and (rooted or tag_value(volume, TAG_DISK) != ROOT_DISK)
        and not volume.origin
        and not is_trash(volume)
        and STATE_SPARE not in volume.tags
        and STATE_FILLING not in volume.tags
    )


def leaving(scene: Scene, guest: Guest, domain: Domain) -> list[Leaving]:
    """Return those of them that the domain has."""
    found: list[Leaving] = []
    for volume in dropped(scene, guest):
        names = {*aliases(scene.spec.storage.vg, volume.name, volume.device)}
        name = tag_value(volume, TAG_DISK) or volume.name
        found.extend(
            Leaving(name=name, kind="LV", place=volume.full_name, found=one)
            for one in domain.disks
            if {one.source, one.device} & names
        )
    gone = {*domain.files, *domain.live_files} - {*files_of(guest)}
    found.extend(
        Leaving(name=one.target, kind="file", place=one.source, found=one)
        for one in domain.disks
        if one.source in gone
    )
    return found


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
        return (
            "its agent does not tell whether it is used (that needs guest-exec and "
            "guest-file-open, on Linux)"
        )
    return ""


def _note(
    scene: Scene, guest: Guest, domain: Domain, volume: Volume, leaving: Leaving | None
) -> Note:
    pending = None if leaving is None else _pending(scene, guest, domain, leaving)
    if pending is not None:
        return pending
    name, subject = tag_value(volume, TAG_DISK) or volume.name, f"guest {guest.name}"
    text = (
        f"the content of disk {name} is kept in {volume.full_name}, which goes on taking "
        f"{volume.size}; to give it to the guest again, put it back into the spec; to give it up: "
        f"kvmkeep remove {guest.name} --disk {name}"
    )
    return Note(subject=subject, text=text)


def _pending(scene: Scene, guest: Guest, domain: Domain, leaving: Leaving) -> Note | None:
    """Return that a running guest keeps a disk until it is off, and why, if it is so."""
    why = _stays(scene, domain, leaving.found)
    if not leaving.found.attached or not active(domain) or not why:
        return None
    text = (
        f"when it is shut down and started again, it has no disk {leaving.name} any more, which "
        f"the spec no longer has; until then it keeps it, since {why}"
    )
    return Note(subject=f"guest {guest.name}", text=text, pending=True)


def _undefine_step(guest: Guest, domain: Domain, one: Leaving) -> Step:
    runs = active(domain)
    where = "its definition" if runs else "it"
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"take disk {one.found.target} ({one.place}) from {where}; "
        f"the {one.kind} stays as it is",
        why="the spec no longer has it",
        probe=is_guest(guest) if runs else has_state(guest, domain.state),
        actions=(_detach(guest, one.found, "--config", "take it out of the definition"),),
        risk=Risk.GUEST,
    )


def _unplug_step(guest: Guest, one: Leaving, forgotten: tuple[Command, ...]) -> Step:
    found = one.found
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
        let_go(guest, f"disk {found.target}", "disk", f'disk/target/@dev="{found.target}"'),
        *forgotten,
    )
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=(
            f"take disk {found.target} ({one.place}) from the running guest, once it tells "
            f"that nothing uses it; the {one.kind} stays as it is"
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
