"""Disks that the spec makes larger: the LV or file first, then what the guest sees of it.

New extents may hold what another guest has left there. They are zeroed in an LV of their own, which
no guest has, and then given to the disk: nothing is ever written to the LV of a disk in service.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import Action, Command
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import Volume
from kvmkeep.model.names import (
    TAG_BACKUP,
    TAG_GROW,
    TAG_SET,
    lv_tags,
    spare_name,
)
from kvmkeep.model.plan import Note, Noun, Reason, Refusal, Step, refused
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Disk, FileDisk, Guest, LvDisk
from kvmkeep.model.units import MIB, Size
from kvmkeep.planning.disks.grow_file import file_step, room_taken
from kvmkeep.planning.disks.grow_inside import asked, forget_step, use_step, way_out
from kvmkeep.planning.disks.grow_spare import ready, removal_step, set_free, spare_steps, spares
from kvmkeep.planning.disks.stage import Stage, fresh, stage
from kvmkeep.planning.lvm import selected, selection
from kvmkeep.planning.running.paused import how_to_continue
from kvmkeep.planning.scene import Scene, active, disk_in, owned

_UNKNOWN = "LVM had chosen the new extents"

_PLAIN = "-oO"
"""What lvs(8) says first of an LV that takes extents by their numbers; the others are origins."""
_KINDS = {"r": "a RAID LV", "R": "a RAID LV", "C": "a cached LV", "V": "a thin LV"}


class Growth(Struct, frozen=True, kw_only=True):
    """A disk whose LV is smaller than the spec says; `size` is what it is to have.

    `spare` is the LV with the zeroed extents that it gets, if that is ready.
    """

    guest: Guest
    disk: LvDisk
    volume: Volume
    size: Size
    spare: Volume | None

    @property
    def more(self) -> Size:
        """How much is missing."""
        return self.size.minus(self.volume.size)


def growths(scene: Scene, guest: Guest) -> tuple[Growth, ...]:
    """Return which LVs of a guest in service are to be made larger."""
    if scene.own_domain(guest) is None or fresh(scene, guest):
        return ()
    found: list[Growth] = []
    for disk in guest.volumes:
        volume, size = scene.volume(disk), scene.rounded(disk.size)
        if volume is None or volume.size >= size:
            continue
        if stage(scene, guest, disk) is Stage.SERVICE:
            spare = ready(scene, guest, disk, size.minus(volume.size))
            found.append(Growth(guest=guest, disk=disk, volume=volume, size=size, spare=spare))
    return tuple(found)


def unbegun(scene: Scene, guest: Guest) -> tuple[Growth, ...]:
    """Return which LVs are too small, and nothing has been done about it yet."""
    due = growths(scene, guest)
    return tuple(one for one in due if spare_name(one.volume.name) not in scene.volumes)


def room_needed(scene: Scene, guest: Guest) -> Size:
    """Return what a guest's growing disks take of what the volume group has free now."""
    due = growths(scene, guest)
    made = [one.size.bytes for one in spares(scene, guest)]
    return Size(sum(growth.more.bytes for growth in due)).minus(Size(sum(made)))


def grow_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what makes a guest's disks larger, as far as that is certain."""
    due = growths(scene, guest)
    steps = [removal_step(guest, one) for one in _leftovers(scene, guest, due)]
    for growth in due:
        if growth.spare is None:
            steps += spare_steps(scene, guest, growth.disk, growth.more)
        else:
            steps.append(_extend_step(scene, growth))
    steps += [
        file_step(guest, disk)
        for disk in guest.files
        if _too_small(scene, disk) and not _runs(scene, guest, disk)
    ]
    gone = _marks(scene, guest) - {disk.name for disk in guest.disks}
    steps += [forget_step(scene, guest, name) for name in sorted(gone)]
    return tuple(steps)


def later_grow_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what follows once LVM has chosen the new extents."""
    due = [growth for growth in growths(scene, guest) if growth.spare is None]
    return tuple(_extend_step(scene, growth) for growth in due)


def use_steps(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    """Return what has a guest use its larger disks, or forgets that it was to.

    They come last, each by itself: what one guest can't do inside keeps nothing else from being
    done.
    """
    if scene.own_domain(guest) is None or fresh(scene, guest):
        return ()
    due = {growth.disk.name: growth for growth in growths(scene, guest)}
    marks = _marks(scene, guest)
    steps: list[Step] = []
    for disk in guest.disks:
        growth, runs = due.get(disk.name), _runs(scene, guest, disk)
        if growth is not None:
            assumes = "" if growth.spare is not None else _UNKNOWN
            step = use_step(scene, guest, disk, growth.size)
            steps += [replace(step, assumes=assumes)] if runs else []
        elif runs and isinstance(disk, FileDisk) and _too_small(scene, disk):
            first: list[Action] = [room_taken(scene, disk)]
            first += [] if disk.name in marks else [_mark(scene, guest, disk)]
            use = use_step(scene, guest, disk, disk.size)
            steps.append(replace(use, actions=(*first, *use.actions)))
        elif disk.name in marks:
            steps.append(use_step(scene, guest, disk, _size(scene, disk)))
    return tuple(steps)


def grow_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Return why disks can't be made as large as the spec says."""
    found: list[Refusal] = []
    for guest in scene.guests:
        reasons = [
            *(pair for disk in guest.disks for pair in _shrinking(scene, guest, disk)),
            *(pair for growth in growths(scene, guest) for pair in _unable(scene, growth)),
            *_still(scene, guest),
        ]
        found += refused(f"guest {guest.name}", reasons)
    return tuple(found)


def grow_notes(scene: Scene) -> tuple[Note, ...]:
    """Return what becomes of growths in guests that can't be asked, or did not do it."""
    notes: list[Note] = []
    for guest in scene.guests:
        names = _growing(scene, guest)
        domain = scene.own_domain(guest)
        if not names or domain is None:
            continue
        if asked(scene, guest):
            texts = [_begun(scene, guest, disk.name) for disk in _marked(scene, guest)]
        else:
            texts = [_unasked(domain, names)]
        notes += [Note(subject=f"guest {guest.name}", text=text) for text in texts]
    return tuple(notes)


def _unasked(domain: Domain, names: list[str]) -> str:
    why = (
        "its agent does not run programs and show files for us (guest-exec, guest-file-open), or "
        "it is no Linux"
    )
    return (
        f"{why if active(domain) else 'it is off'}: partition and filesystem of "
        f"{', '.join(names)} grow at its next boot where cloud-init's growpart is; else grow them "
        "inside (growpart, resize2fs, xfs_growfs)"
    )


def _begun(scene: Scene, guest: Guest, name: str) -> str:
    return (
        f"an earlier run had it begin to use the new size of disk {name}; where it can't, "
        f"{way_out(scene, guest, name)}"
    )


def _growing(scene: Scene, guest: Guest) -> list[str]:
    """Return the names of the disks that are about to grow, or in the middle of it."""
    if fresh(scene, guest):
        return []
    files = [disk.name for disk in guest.files if _too_small(scene, disk)]
    due = [growth.disk.name for growth in growths(scene, guest)]
    return list(dict.fromkeys([*due, *files, *(disk.name for disk in _marked(scene, guest))]))


def _shrinking(scene: Scene, guest: Guest, disk: Disk) -> list[Reason]:
    if isinstance(disk, FileDisk):
        file = scene.disk_files.get(disk.path)
        size = Size(0) if file is None else Size(file.fingerprint.size)
        wanted = disk.size
    else:
        volume = scene.volume(disk)
        size = Size(0) if volume is None or not owned(volume, guest, disk) else volume.size
        wanted = scene.rounded(disk.size)
    if size <= wanted:
        return []
    hint = f"write its size into the spec: {disk.name}: {_written(size)}"
    reason = (
        f"{scene.path(disk)} has {size}, the spec says {disk.size}; a disk is never made smaller"
    )
    return [(reason, hint)]


def _unable(scene: Scene, growth: Growth) -> list[Reason]:
    guest, volume = growth.guest, growth.volume
    found: list[Reason] = []
    snapshots = [one for one in scene.volumes.values() if one.origin == volume.name]
    kind = _kind(volume)
    if kind:
        extend = f"lvextend --size {growth.size.bytes}b {volume.full_name}"
        mark = f"{TAG_GROW}{growth.disk.name} {scene.full_name(guest.root.lv)}"
        hint = f"make it larger by hand, and apply again: {extend} && lvchange --addtag {mark}"
        found.append((f"{volume.name} is {kind}: only a plain one is made larger here", hint))
    elif volume.merging:
        hint = "wait until `kvmkeep snapshot list` shows no revert any more"
        found.append((f"{volume.name} is being reverted, and can't grow meanwhile", hint))
    elif snapshots:
        names = ", ".join(sorted(one.name for one in snapshots))
        hint = _rid_of(scene, guest, snapshots)
        found.append((f"{volume.name} can't grow while it has snapshots ({names})", hint))
    name = spare_name(volume.name)
    if name in scene.volumes and not any(one.name == name for one in spares(scene, guest)):
        hint = f"look at it: lvs -o +lv_tags {volume.vg}/{name}"
        found.append((f"the LV {volume.vg}/{name} is not ours", hint))
    return found


def _kind(volume: Volume) -> str:
    """Return what an LV is that takes no extents by their numbers; empty where it does."""
    if volume.attributes[:1] not in _PLAIN:
        return _KINDS.get(volume.attributes[0], "no plain LV")
    if volume.striped:
        return "a striped LV"
    # Its third letter is how it takes extents: only just behind its own, of a contiguous one.
    return "a contiguous LV" if volume.attributes[2:3] in {"c", "C"} else ""


def _rid_of(scene: Scene, guest: Guest, snapshots: list[Volume]) -> str:
    """Return what rids a disk of its snapshots; a backup deletes its own once it has read them."""
    for_backup = [one for one in snapshots if tag_value(one, TAG_BACKUP)]
    sets = sorted({tag_value(one, TAG_SET) for one in snapshots if one not in for_backup} - {""})
    hints: list[str] = []
    if sets:
        hints.append(f"delete them first: kvmkeep snapshot delete {guest.name} {' '.join(sets)}")
    if for_backup and scene.facts.backups.running:
        hints.append("wait until the backup that it is for has ended")
    elif for_backup:
        hints.append("have what a dead backup left deleted: kvmkeep watch")
    return "; ".join(hints) or f"see what they are for: lvs -o +origin,lv_tags {snapshots[0].vg}"


def _still(scene: Scene, guest: Guest) -> list[Reason]:
    """Refuse where the guest runs, but stands still: it would not see that a disk grows."""
    domain = scene.own_domain(guest)
    if domain is None or domain.state in {DomainState.SHUTOFF, DomainState.RUNNING}:
        return []
    names = _growing(scene, guest)
    if not names:
        return []
    would = f"it is {domain.state}, and would not see that {', '.join(names)} grows"
    return [(would, how_to_continue(domain))]


def _marks(scene: Scene, guest: Guest) -> set[str]:
    root = scene.volume(guest.root)
    tags = () if root is None or not owned(root, guest, guest.root) else root.tags
    return {tag.removeprefix(TAG_GROW) for tag in tags if tag.startswith(TAG_GROW)}


def _marked(scene: Scene, guest: Guest) -> list[Disk]:
    marks = _marks(scene, guest)
    return [disk for disk in guest.disks if disk.name in marks]


def _size(scene: Scene, disk: Disk) -> Size:
    return disk.size if isinstance(disk, FileDisk) else scene.lv_size(disk)


def _too_small(scene: Scene, disk: FileDisk) -> bool:
    file = scene.disk_files.get(disk.path)
    return file is not None and file.fingerprint.size < disk.size.bytes


def _runs(scene: Scene, guest: Guest, disk: Disk) -> bool:
    """Whether the guest runs with the disk."""
    domain = scene.own_domain(guest)
    if domain is None or not active(domain):
        return False
    found = disk_in(scene, domain, disk)
    return found is not None and found.attached


def _leftovers(scene: Scene, guest: Guest, due: tuple[Growth, ...]) -> list[Volume]:
    """Return the LVs that no disk gets any more, or that are of another size than it lacks."""
    wanted = {(spare_name(growth.disk.lv), growth.more) for growth in due}
    return [one for one in spares(scene, guest) if (one.name, one.size) not in wanted]


def _extend_step(scene: Scene, growth: Growth) -> Step:
    """Return what gives a disk its extents."""
    guest, disk, spare = growth.guest, growth.disk, growth.spare
    vg, name = scene.spec.storage.vg, spare_name(disk.lv)
    lv = f"{vg}/{disk.lv}"
    actions: list[Action] = []
    if _runs(scene, guest, disk) and disk.name not in _marks(scene, guest):
        actions.append(_mark(scene, guest, disk))
    ranges = spare.extents if spare is not None else ()
    actions += [
        set_free(vg, name),
        Command(
            argv=("lvextend", "--size", f"{growth.size.bytes}b", lv, *ranges),
            why="give just these extents to the disk; what is on it stays as it is",
            timeout=120.0,
        ),
    ]
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"make LV {lv} larger: {growth.size} instead of {growth.volume.size}",
        why="the spec says so",
        probe=_has_size(growth),
        actions=tuple(actions),
        assumes="" if spare is not None else _UNKNOWN,
    )


def _mark(scene: Scene, guest: Guest, disk: Disk) -> Command:
    """Return what notes that the guest is still to use a disk's new size."""
    return Command(
        argv=(
            "lvchange", "--addtag", TAG_GROW + disk.name,
            scene.full_name(guest.root.lv),
        ),
        why="note that the guest has yet to use it, in case this run is stopped",
    )  # fmt: skip


def _has_size(growth: Growth) -> Command:
    marks = selection(lv_tags(growth.guest.name, growth.disk.name))
    select = f"{marks} && lv_size={growth.volume.size.bytes}b"
    why = "see that the LV is the guest's and has its old size"
    return selected(growth.volume.full_name, select, why)


def _written(size: Size) -> str:
    """Return a size as the spec takes it: whole MiB, or GiB."""
    mib = -(-size.bytes // MIB)
    return f"{mib // 1024}GiB" if mib % 1024 == 0 else f"{mib}MiB"
