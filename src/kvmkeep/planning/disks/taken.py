"""Disks of a guest that is off which something on the host has open: a mount, a mapping, a loop.

Beside that the guest is not started: two that write to one filesystem destroy it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kvmkeep.model.command import Poll
from kvmkeep.model.facts import Volume
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Disk, Guest
from kvmkeep.planning.disks.stage import Stage, stage
from kvmkeep.planning.lvm import selected, until_let_go, who_has
from kvmkeep.planning.scene import Scene, active, users


def taken(scene: Scene, guest: Guest) -> Iterator[Refusal]:
    """Return why a guest that is off must not start, for each disk that is open beside it."""
    for volume in _alone(scene, guest):
        if volume.opened:
            yield Refusal(
                subject=f"guest {guest.name}",
                reason=f"it is off, but something has {volume.full_name} open",
                hint=who_has(volume.full_name),
            )
    for disk in guest.files:
        if disk.path in scene.facts.loop_files and _has(scene, guest, disk):
            yield Refusal(
                subject=f"guest {guest.name}",
                reason=f"it is off, but a loop device has {disk.path} open",
                hint=f"see which: losetup --associated {shlex.quote(disk.path)}",
            )


def taken_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Return the same for all guests whose first boot is before them, which `apply` starts."""
    young = (guest for guest in scene.guests if stage(scene, guest, guest.root) is Stage.FRESH)
    off = (guest for guest in young if not _runs(scene, guest))
    return tuple(refusal for guest in off for refusal in taken(scene, guest))


def let_go(scene: Scene, guest: Guest) -> tuple[Poll, ...]:
    """Return what waits, before a guest starts, until nothing has its disks open."""
    look = "see that nothing has it open: the guest would write beside that"
    return tuple(
        until_let_go(selected(one.full_name, "lv_device_open!=open", look), one.full_name)
        for one in _alone(scene, guest)
    )


def _alone(scene: Scene, guest: Guest) -> Iterator[Volume]:
    """Return the LVs that its definition has or will have, and no other domain's."""
    for disk in guest.volumes:
        volume = scene.volume(disk)
        if volume is not None and _has(scene, guest, disk):
            yield volume


def _has(scene: Scene, guest: Guest, disk: Disk) -> bool:
    return users(scene, disk) == (() if scene.domain(guest) is None else (guest.name,))


def _runs(scene: Scene, guest: Guest) -> bool:
    domain = scene.domain(guest)
    return domain is not None and active(domain)
