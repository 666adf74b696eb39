"""Guests' disks beyond LVM's and libvirt's lists: what is asked only where it matters."""

from __future__ import annotations

import posixpath

from msgspec.structs import replace

from kvmkeep.host import lvm
from kvmkeep.host.mountinfo import LIMIT, PLACE, asleep, mount_of, mount_points
from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import Volume
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.names import STATE_SPARE, TAG_GROW, TAG_GUEST
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.way import Way
from kvmkeep.observe.agents import AT_ONCE, executing
from kvmkeep.observe.notebook import Notebook

_MOUNT_LIMIT = 5.0
"""Seconds for all automounts: one whose server is silent goes on by itself, for a later look."""


def with_extents(notebook: Notebook, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
    """Add to each LV that gives its extents to another which ones these are."""
    if not any(STATE_SPARE in volume.tags for volume in volumes):
        return volumes
    nothing: dict[tuple[str, str], tuple[str, ...]] = {}
    found = notebook.ask("extents of logical volumes", lvm.extents, nothing)
    return tuple(
        replace(volume, extents=found.get((volume.vg, volume.name), ()))
        if STATE_SPARE in volume.tags
        else volume
        for volume in volumes
    )


def with_stripes(notebook: Notebook, spec: Spec, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
    """Mark the LVs that are striped, where one of a guest is to grow."""
    there = _of_group(spec, volumes)
    if not any(_lv_grows(guest, there) for guest in spec.guests):
        return volumes
    none: frozenset[tuple[str, str]] = frozenset()
    found = notebook.ask("striped logical volumes", lvm.striped, none)
    return tuple(
        replace(one, striped=True) if (one.vg, one.name) in found else one for one in volumes
    )


def with_executing_agents(
    notebook: Notebook,
    spec: Spec,
    domains: tuple[Domain, ...],
    volumes: tuple[Volume, ...],
    files: tuple[ImageFile, ...],
) -> tuple[Domain, ...]:
    """Ask the agents of the guests whose disks grow, or go, whether they run programs for us."""
    there = _of_group(spec, volumes)
    sizes = {file.path: file.fingerprint.size for file in files}
    changing = {
        *(guest.name for guest in spec.guests if _grows(guest, there, sizes)),
        *with_disks_to_go(spec, domains, volumes),
    }
    asked = (
        one.name
        for one in domains
        if one.name in changing and one.agent and one.state is DomainState.RUNNING
    )
    able = executing(notebook.door, asked)
    return tuple(
        replace(domain, executes=True) if domain.name in able else domain for domain in domains
    )


def with_disks_to_go(
    spec: Spec, domains: tuple[Domain, ...], volumes: tuple[Volume, ...]
) -> frozenset[str]:
    """Return the guests that run with an LV or a file that is known as theirs, not in the spec."""
    wanted = {str(guest.name): {disk.lv for disk in guest.volumes} for guest in spec.guests}
    attached = {one.name: {d.device for d in one.disks if d.attached} for one in domains}
    files = {str(guest.name): {disk.path for disk in guest.files} for guest in spec.guests}
    sources = {one.name: {d.source for d in one.disks if d.attached} for one in domains}
    with_files = frozenset(
        one.name
        for one in domains
        if one.name in files
        and ({*one.files, *one.live_files} - files[one.name]) & sources[one.name]
    )
    owners = ((tag_value(volume, TAG_GUEST), volume) for volume in volumes)
    return with_files | frozenset(
        name
        for name, volume in owners
        if volume.vg == spec.storage.vg
        and volume.name not in wanted.get(name, {volume.name})
        and volume.device
        and volume.device in attached.get(name, ())
    )


def raw_files(domains: tuple[Domain, ...]) -> tuple[str, ...]:
    """Return the paths of the raw files that are disks of any domain, ours or not."""
    return tuple(
        disk.source
        for domain in domains
        for disk in domain.disks
        if (disk.kind, disk.format) == ("disk", "raw")
        and disk.source.startswith("/")
        and not disk.source.startswith("/dev/")
    )


def mounts(notebook: Notebook, spec: Spec, files: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the mount points that guests need at which something is mounted.

    `files` are further disks, on whichever mount but that of the root they lie.
    """
    wanted = {disk.mount for guest in spec.guests for disk in guest.files}
    wanted.update(mount for guest in spec.guests for mount in guest.run.mounts)
    if not wanted and not files:
        return ()
    asked = {*wanted, *(posixpath.dirname(path) for path in files)}
    points = mount_points(_woken(notebook, sorted(asked)))
    above = (mount_of(path, points) for path in files)
    return tuple(sorted((wanted & points) | {one for one in above if one}))


def _woken(notebook: Notebook, places: list[str]) -> bytes:
    """Return what is mounted, once automounts had their time to bring what belongs there.

    Else nobody might go there before the guest does. A directory that is asked for by its mere
    name wakes no automount (stat(2), AT_NO_AUTOMOUNT); with a slash behind it, it does.
    """
    content = notebook.read(PLACE, LIMIT) or b""
    commands = tuple(
        Command(argv=("stat", "--", f"{one}/"), why=f"have {one} mounted", timeout=_MOUNT_LIMIT)
        for one in asleep(content, places)
    )
    if not commands:
        return content
    notebook.door.run_all(commands, limit=_MOUNT_LIMIT, at_once=AT_ONCE)
    return notebook.read(PLACE, LIMIT) or b""


def disk_files(
    notebook: Notebook, spec: Spec, there: tuple[str, ...], files: tuple[str, ...] = ()
) -> tuple[ImageFile, ...]:
    """Return the files that are disks, of those whose mount is there; `files` are further ones."""
    paths = [
        posixpath.normpath(disk.path)
        for guest in spec.guests
        for disk in guest.files
        if disk.mount in there
    ]
    paths += [path for path in files if any(path.startswith(f"{mount}/") for mount in there)]
    found = (notebook.look(path) for path in dict.fromkeys(paths))
    return tuple(file for file in found if file is not None)


def file_ways(
    notebook: Notebook, spec: Spec, there: tuple[str, ...], files: tuple[ImageFile, ...]
) -> tuple[Way, ...]:
    """Return the ways to where disks are to be files that are not there yet."""
    known = {file.path for file in files}
    folders = (
        posixpath.dirname(disk.path)
        for guest in spec.guests
        for disk in guest.files
        if disk.mount in there and posixpath.normpath(disk.path) not in known
    )
    return tuple(notebook.door.way(folder) for folder in dict.fromkeys(folders))


def loop_files(notebook: Notebook, spec: Spec) -> tuple[str, ...]:
    """Return the files that loop devices have open, where a guest has a disk in a file."""
    if not any(guest.files for guest in spec.guests):
        return ()
    # The kernel tells the whole path of each loop device that has one (its drivers/block/loop.c).
    names = (name for name in notebook.names("/sys/block") if name.startswith("loop"))
    found = (notebook.read(f"/sys/block/{name}/loop/backing_file") for name in names)
    return tuple(one.decode("utf-8", "replace").rstrip("\n") for one in found if one)


def _of_group(spec: Spec, volumes: tuple[Volume, ...]) -> dict[str, Volume]:
    return {volume.name: volume for volume in volumes if volume.vg == spec.storage.vg}


def _grows(guest: Guest, there: dict[str, Volume], sizes: dict[str, int]) -> bool:
    root = there.get(guest.root.lv)
    marked = root is not None and any(tag.startswith(TAG_GROW) for tag in root.tags)
    return (
        marked
        or _lv_grows(guest, there)
        or any(sizes.get(disk.path, disk.size.bytes) < disk.size.bytes for disk in guest.files)
    )


def _lv_grows(guest: Guest, there: dict[str, Volume]) -> bool:
    lvs = ((there.get(disk.lv), disk) for disk in guest.volumes)
    return any(volume is not None and volume.size < disk.size for volume, disk in lvs)
