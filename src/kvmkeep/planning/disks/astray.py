"""LVs of a guest in service that its definition names otherwise than they are called.

A definition has the path of an LV, and `vgrename` and `lvrename` change it unseen. Where the old
path is gone and the LV is there with our marks, the new one is written into the definition. Another
thing in its place is somebody's work. In no case is the LV attached: it would be a second disk, or
a second copy of a filesystem, of which the guest mounts whichever it finds first.
"""

from __future__ import annotations

import re

from msgspec import Struct

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain, DomainDisk
from kvmkeep.model.names import RUN_DIR, mapped_name
from kvmkeep.model.plan import Noun, Refusal, Risk, Step
from kvmkeep.model.spec import Guest, LvDisk
from kvmkeep.planning.commands import has_state, is_guest
from kvmkeep.planning.disks.leaving import leaving
from kvmkeep.planning.disks.stage import Stage, stage
from kvmkeep.planning.domains.redefine import edited, value_edit
from kvmkeep.planning.domains.xml import disk_serial, serial_of
from kvmkeep.planning.running.saved import saved_reasons
from kvmkeep.planning.scene import Scene, active, aliases, disks_in

_DISKS = frozenset({"disk", "lun"})
"""What is no drive with a medium (formatdomain, "Hard drives, floppy disks, CDROMs")."""


class Astray(Struct, frozen=True, kw_only=True):
    """A guest's LV, and the disk that its definition has in the place of it.

    `sure` when that is the LV by a path that it had before.
    """

    disk: LvDisk
    has: DomainDisk
    sure: bool


def astray(scene: Scene, guest: Guest, domain: Domain) -> tuple[Astray, ...]:
    """Return the LVs that a domain has by none of their names, with what it has instead."""
    there = {disk: disks_in(scene, domain, disk) for disk in guest.volumes}
    lacking = [
        disk
        for disk, found in there.items()
        if stage(scene, guest, disk) is Stage.SERVICE and not any(one.defined for one in found)
    ]
    if not lacking:
        return ()
    others = _unexplained(scene, guest, domain)
    found: list[Astray] = []
    for disk in tuple(lacking):
        has = next((one for one in others if _is_named(scene, guest, disk, one)), None)
        if has is not None:
            found.append(Astray(disk=disk, has=has, sure=gone(scene, has)))
            lacking.remove(disk)
            others.remove(has)
    alone = len(lacking) == 1
    for disk in lacking:
        lost = [one for one in others if gone(scene, one)]
        # A guest has a root disk in any case; another one may be about to be given to it.
        has = next(iter((*lost, *(others if disk == guest.root else ()))), None)
        if has is not None:
            sure = alone and lost == [has] and (disk == guest.root or _is_ours(has))
            found.append(Astray(disk=disk, has=has, sure=sure))
            others.remove(has)
    # What a running guest has by its right path was changed since in the definition alone.
    return tuple(one for one in found if one.sure or not there[one.disk])


def path_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what writes the paths that LVs have by now into a guest's definition.

    A guest that runs has them open, whatever they are called: this is for its next start.
    """
    domain = scene.own_domain(guest)
    if domain is None or saved_reasons(domain):
        return ()
    moved = [one for one in astray(scene, guest, domain) if one.sure]
    if not moved:
        return ()
    path = f"{RUN_DIR}/{guest.name}.xml"
    edits = tuple(
        value_edit(attribute, one.has.source, scene.path(one.disk))
        for one in moved
        for attribute in ("dev", "file")
    )
    words = ", ".join(f"{scene.path(one.disk)} for {one.has.source}" for one in moved)
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {guest.name}",
            what=f"write the paths that its disks have now into its definition: {words}",
            why="nothing is there by the old path, so it could not be started",
            probe=is_guest(guest) if active(domain) else has_state(guest, domain.state),
            actions=(
                *edited(guest.uuid, path, edits),
                # Without --validate: libvirt prints more than its own schema allows.
                Command(argv=("virsh", "define", "--", path), why="have libvirt use them"),
                Command(argv=("rm", "--force", "--", path), why="leave no copy"),
            ),
            risk=Risk.GUEST,
        ),
    )


def astray_refusals(
    scene: Scene, guest: Guest, domain: Domain, *, sure: bool = False
) -> tuple[Refusal, ...]:
    """Refuse a guest with another disk in a place than its own.

    Those that `apply` sets right are refused with `sure` alone, for who would start it as it is.
    """
    waits = saved_reasons(domain)
    return tuple(
        Refusal(
            subject=f"guest {guest.name}",
            reason=f"its definition has {one.has.source or 'nothing'} as {one.has.target}, where "
            f"its disk {one.disk.name} ({scene.path(one.disk)}) should be",
            hint=_way(scene, guest, domain, one),
        )
        for one in astray(scene, guest, domain)
        if sure or waits or not one.sure
    )


def _way(scene: Scene, guest: Guest, domain: Domain, one: Astray) -> str:
    name, has, path = guest.name, one.has, scene.path(one.disk)
    if one.sure:
        first = "".join(f"{hint}; then " for _, hint in saved_reasons(domain))
        return f"{first}have the new path written into it: kvmkeep apply {name}"
    edit = f"virsh edit {name}: give {has.target} the source {path}"
    if not has.source or gone(scene, has):
        return edit
    lv = next((v.name for v in scene.volumes.values() if has.source in _paths(scene, v.name)), "")
    if lv:
        return f"{edit}; or, if {lv} is that disk by now, write `lv: {lv}` for it into the spec"
    join = (
        f"virsh blockcommit {name} {has.target} --active --pivot"
        if active(domain)
        else f"qemu-img commit {has.source}"
    )
    return f"if {has.source} is an overlay, bring its content back first: {join}; then {edit}"


def _unexplained(scene: Scene, guest: Guest, domain: Domain) -> list[DomainDisk]:
    """Return the disks of a definition that are none of the guest's, nor about to leave it."""
    known = [one for disk in guest.disks for one in disks_in(scene, domain, disk)]
    known += [one.found for one in leaving(scene, guest, domain)]
    return [one for one in domain.disks if one.defined and one.kind in _DISKS and one not in known]


def _is_named(scene: Scene, guest: Guest, disk: LvDisk, one: DomainDisk) -> bool:
    """Whether a disk is an LV by its serial, or by the LV's name in a group that is gone."""
    if one.serial and one.serial == disk_serial(guest, disk):
        return True
    name = one.source.rpartition("/")[2]
    # Hyphens of the names are doubled there, so a single one is between group and LV.
    mapped = re.fullmatch(rf".*[^-]{mapped_name('', disk.lv)}", name)
    return gone(scene, one) and (name == disk.lv or mapped is not None)


def _is_ours(one: DomainDisk) -> bool:
    """Whether a disk has the serial that ours get, from the name that its LV has then."""
    return one.serial == serial_of(one.source.rpartition("/")[2])


def gone(scene: Scene, one: DomainDisk) -> bool:
    """Whether there is no device behind a disk, and no LV that is only not active."""
    return (
        one.source.startswith("/dev/")
        and not one.device
        and all(one.source not in aliases(v.vg, v.name, "") for v in scene.facts.volumes)
    )


def _paths(scene: Scene, lv: str) -> tuple[str, ...]:
    return aliases(scene.spec.storage.vg, lv, "")
