"""Disks of a guest in service that the spec has and the guest has not.

A disk is known by what is behind it, never by its target: what comes or goes renames no other.
"""

from __future__ import annotations

from kvmkeep.model.command import Action, Command, WriteFile
from kvmkeep.model.domain_facts import Domain, DomainDisk, DomainState
from kvmkeep.model.names import RUN_DIR
from kvmkeep.model.plan import Note, Noun, Risk, Step
from kvmkeep.model.spec import Disk, FileDisk, Guest, LvDisk
from kvmkeep.planning.commands import DENIED, has_state
from kvmkeep.planning.disks.astray import astray, gone
from kvmkeep.planning.disks.files import on_mount
from kvmkeep.planning.disks.leaving import leaving_notes
from kvmkeep.planning.disks.stage import Stage, fresh, stage
from kvmkeep.planning.domains.xml import disk_xml, free_target
from kvmkeep.planning.lvm import activate
from kvmkeep.planning.scene import Scene, active, disks_in, free_ports


def attach_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what gives a guest the disks that it lacks, running and at its next start.

    They are made by steps before.
    """
    domain = scene.own_domain(guest)
    if domain is None or fresh(scene, guest):
        return ()
    taken = {disk.target for disk in domain.disks}
    elsewhere = [one.disk for one in astray(scene, guest, domain)]
    steps: list[Step] = []
    room = free_ports(domain)
    for disk in guest.disks:
        if disk in elsewhere or _is_not_ours(scene, guest, disk):
            continue
        found = disks_in(scene, domain, disk)
        live = _takes_devices(domain) and _lacks(scene, guest, disk, found)
        kept = not any(one.defined for one in found)
        if not live and not kept:
            continue
        target = found[0].target if found else free_target(taken)
        taken.add(target)
        live = live and room > 0
        room -= live
        if live or kept:
            steps.append(_attach_step(scene, guest, disk, target, live=live, kept=kept))
    return tuple(steps)


def _is_not_ours(scene: Scene, guest: Guest, disk: Disk) -> bool:
    """Whether an LV is refused anyway: lost, or somebody else's."""
    return isinstance(disk, LvDisk) and stage(scene, guest, disk) in {Stage.LOST, Stage.FOREIGN}


def _lacks(scene: Scene, guest: Guest, disk: Disk, found: tuple[DomainDisk, ...]) -> bool:
    """Whether a running guest is without a disk.

    It booted from its root disk, and may have another one by a path that is gone by now.
    """
    places = {one.target for one in found}
    has = (one for one in scene.domains[guest.name].disks if one.attached)
    there = (one in found or (one.target in places and gone(scene, one)) for one in has)
    return disk != guest.root and not any(there)


def disk_notes(scene: Scene) -> tuple[Note, ...]:
    """Return what becomes of disks that the spec no longer has, and what waits for a start."""
    notes: list[Note] = []
    for guest in scene.guests:
        domain = scene.own_domain(guest)
        if domain is None:
            continue
        notes += leaving_notes(scene, guest, domain)
        notes += [
            Note(subject=f"guest {guest.name}", text=text, pending=True)
            for text in _late(scene, guest, domain)
        ]
    return tuple(notes)


def _late(scene: Scene, guest: Guest, domain: Domain) -> list[str]:
    """Return which disks come with the guest's next start only."""
    asleep = domain.state is DomainState.SUSPENDED
    if fresh(scene, guest) or not (asleep or domain.state is DomainState.RUNNING):
        return []
    elsewhere = [one.disk for one in astray(scene, guest, domain)]
    found = ((disk, disks_in(scene, domain, disk)) for disk in guest.disks if disk not in elsewhere)
    lacking = [disk.name for disk, there in found if _lacks(scene, guest, disk, there)]
    if asleep and lacking:
        text = (
            f"it has put itself to sleep; it gets {', '.join(lacking)} at its next start, or when "
            f"it is awake: kvmkeep resume {guest.name}, and then kvmkeep apply"
        )
        return [text]
    late = lacking[free_ports(domain) :]
    if not late:
        return []
    text = (
        f"its machine has no free port (pcie-root-port) for {', '.join(late)}; the guest gets it "
        "when it is shut down and started again"
    )
    return [text]


def _takes_devices(domain: Domain) -> bool:
    """Whether a device can be given to the process.

    One that is in ACPI S3 may be awakened by it, and its kernel is not there to take it.
    """
    return active(domain) and domain.state is not DomainState.SUSPENDED


def _attach_step(
    scene: Scene, guest: Guest, disk: Disk, target: str, *, live: bool, kept: bool
) -> Step:
    domain = scene.domains[guest.name]
    path = f"{RUN_DIR}/{guest.name}-{disk.name}.xml"
    where = (*(("--live",) if live else ()), *(("--config",) if kept else ()))
    actions: list[Action] = []
    if isinstance(disk, FileDisk):
        actions.append(on_mount(disk))
    else:
        volume = scene.volume(disk)
        if volume is not None and not volume.active:
            actions.append(activate(scene.full_name(disk.lv)))
    actions += [
        WriteFile(
            path=path,
            content=disk_xml(scene.spec, guest, disk, target, scene.networks).encode(),
            why="the disk as libvirt is told of it",
            dir_mode=0o700,
        ),
        Command(
            argv=("virsh", "attach-device", "--domain", guest.name, "--file", path, *where),
            why="give it to the guest",
            timeout=120.0,
            meanings=(DENIED,),
        ),
        Command(argv=("rm", "--force", "--", path), why="leave no copy"),
    ]
    when = (
        "from its next start on" if not live else "at once" if not kept else "at once and for good"
    )
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"give it {scene.path(disk)} as disk {target}, {when}",
        why=f"the spec has the disk {disk.name}",
        probe=has_state(guest, domain.state),
        actions=tuple(actions),
        risk=Risk.GUEST,
    )
