"""Disks in files: made on their mount, and of no use to a guest without it.

Where NFS is missing, the directory is there and empty: nothing is made in it, and no guest starts.
"""

from __future__ import annotations

import posixpath
import shlex

from kvmkeep.model.command import Command
from kvmkeep.model.plan import Noun, Refusal, Step
from kvmkeep.model.spec import FileDisk, Guest
from kvmkeep.planning.commands import HOUR, long_enough
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.scene import Scene, is_on, users
from kvmkeep.planning.ways import way_refusals

_ROOTS_OWN = "make that root's own (chown root:root; chmod go-w), or give the disk another file"


def on_mount(disk: FileDisk) -> Command:
    """Succeed only while something is mounted where a disk's file lies (mountpoint(1))."""
    return _mounted(disk.mount, f"disk {disk.name} lies there")


def mounted(guest: Guest) -> tuple[Command, ...]:
    """Return what sees, before a guest starts, that its mounts are there."""
    first = {disk.mount: disk for disk in reversed(guest.files)}
    others = (mount for mount in guest.run.mounts if mount not in first)
    return (
        *(on_mount(disk) for disk in first.values()),
        *(_mounted(mount, "the guest needs it") for mount in others),
    )


def file_steps(scene: Scene, guest: Guest, assumes: str) -> tuple[Step, ...]:
    """Return what makes the files of a guest's disks; one that is there is used as it is."""
    return tuple(
        _make_step(guest, disk, assumes)
        for disk in guest.files
        if disk.mount in scene.facts.mounts
        and disk.path not in scene.disk_files
        and not scene.facts.unseen(disk.path)
    )


def file_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Return why disks in files can't be used, and which mounts a first boot lacks."""
    lacking = tuple(
        refusal
        for guest in scene.guests
        if fresh(scene, guest) and not is_on(scene, guest)
        if (refusal := _lacking(scene, guest)) is not None
    )
    return (*lacking, *_unusable(scene))


def _unusable(scene: Scene) -> tuple[Refusal, ...]:
    return tuple(
        refusal
        for guest in scene.guests
        for disk in guest.files
        if (refusal := _wrong(scene, guest, disk)) is not None
    )


def unmounted(scene: Scene, guest: Guest) -> Refusal | None:
    """Return why a guest can't start, if one of its mounts is not there."""
    for disk in guest.files:
        if disk.mount not in scene.facts.mounts:
            return _not_mounted(guest, disk)
    return _lacking(scene, guest)


def _lacking(scene: Scene, guest: Guest) -> Refusal | None:
    for mount in guest.run.mounts:
        if mount not in scene.facts.mounts:
            return _lacks(guest, mount, f"it needs {mount}, where nothing is mounted")
    return None


def _wrong(scene: Scene, guest: Guest, disk: FileDisk) -> Refusal | None:
    subject = f"guest {guest.name}"
    if disk.mount not in scene.facts.mounts:
        return _not_mounted(guest, disk)
    file = scene.disk_files.get(disk.path)
    if scene.facts.unseen(disk.path):
        return None  # it is refused as what it is
    if file is None:
        if guest.adopted or guest.name in users(scene, disk):
            hint = "bring it back (a backup); to begin with an empty one, detach it first"
            reason = f"the file {disk.path} of its disk {disk.name} is gone"
            return Refusal(subject=subject, reason=reason, hint=hint)
        way = scene.facts.way(posixpath.dirname(disk.path))
        return next(iter(way_refusals(subject, way, _ROOTS_OWN)), None)
    if file.kind != "file":
        reason = f"{disk.path} is no plain file, but: {file.kind}"
        return Refusal(subject=subject, reason=reason, hint="give the disk another file")
    return None


def _not_mounted(guest: Guest, disk: FileDisk) -> Refusal:
    where = f"nothing is mounted at {disk.mount}, where its disk {disk.name} lies"
    return _lacks(guest, disk.mount, where)


def _lacks(guest: Guest, mount: str, reason: str) -> Refusal:
    place = shlex.quote(mount)
    hint = f"mount it: mount {place}; see: findmnt {place}; systemctl --failed"
    return Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint, unready=True)


def _mounted(mount: str, why: str) -> Command:
    # An automount counts as a mount point. With a slash behind it, the mount is made, or this
    # fails. "/." would too, but root may not search what an NFS server keeps from it.
    argv = ("mountpoint", "--quiet", f"{mount}/")
    return Command(argv=argv, why=f"see that {mount} is mounted: {why}")


def _make_step(guest: Guest, disk: FileDisk, assumes: str) -> Step:
    part = f"{disk.path}.part"
    folder = posixpath.dirname(disk.path)
    # QEMU's user must get through to the file, but need not see the names beside it.
    make_folder = Command(
        argv=("mkdir", "--parents", "--mode=0711", "--", folder), why="make its directory"
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"make the file {disk.path} of {disk.size}",
        why=f"it is the guest's disk {disk.name}",
        probe=on_mount(disk),
        actions=(
            *((make_folder,) if folder != disk.mount else ()),
            Command(
                argv=("rm", "--force", "--", part), why="remove what an interrupted run has left"
            ),
            Command(
                argv=(
                    "qemu-img", "create", "-q", "-f", "raw", "-o", "preallocation=falloc",
                    part, str(disk.size.bytes),
                ),
                why="take all of its room now: a guest must not meet a full filesystem later",
                timeout=long_enough(disk.size),
            ),
            Command(argv=("chmod", "0600", "--", part), why="only root and QEMU may read it"),
            Command(argv=("sync", "--", part), why="flush it to disk first", timeout=HOUR),
            Command(
                argv=("test", "!", "-e", disk.path), why="see that there is still no such file"
            ),
            Command(
                argv=("mv", "--no-target-directory", "--", part, disk.path), why="now it counts"
            ),
        ),
        assumes=assumes,
    )  # fmt: skip
