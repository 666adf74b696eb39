"""Disks: logical volumes, filled from an image or zeroed, and tagged with how far they are.

The options of LVM are those of lvcreate(8) and lvchange(8); nothing here removes or shrinks.
"""

from __future__ import annotations

from kvmkeep.model.command import Action, Command, Progress
from kvmkeep.model.facts import GROUPS, Volume
from kvmkeep.model.names import (
    STATE_FILLING,
    STATE_FRESH,
    STATE_SPARE,
    TAG_CLONE,
    TAG_DISK,
    TAG_GUEST,
    TAG_OURS,
    TAG_TRASH,
    console_log,
    lv_tags,
)
from kvmkeep.model.plan import Noun, Reason, Refusal, Step
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import ROOT_DISK, Guest, LvDisk
from kvmkeep.model.trash import is_trash
from kvmkeep.model.units import Size
from kvmkeep.planning.backups.coming_back import coming_back
from kvmkeep.planning.commands import long_enough, same_file, synced, zero
from kvmkeep.planning.disks.stage import Stage, stage
from kvmkeep.planning.images.image import ImageSource
from kvmkeep.planning.lvm import (
    WHERE_IS_IT,
    absent,
    activate,
    create,
    selected,
    selection,
    who_has,
)
from kvmkeep.planning.scene import Scene, owned, users, users_of

_BLOCK = Size(4096)
BEHIND = "zero what lies behind the copy"
_IN_MEMORY = ("/dev/shm/", "/run/", "/tmp/")  # noqa: S108 - compared, not written to


def root_steps(
    scene: Scene, guest: Guest, source: ImageSource, drop_in: Command | None
) -> tuple[Step, ...]:
    """Return what makes a guest's root LV and writes its image to it.

    `drop_in` changes a file inside the guest's copy, before the LV counts as complete.
    """
    at = stage(scene, guest, guest.root)
    steps: list[Step] = []
    if at is Stage.ABSENT:
        steps.append(create_step(scene, guest, guest.root, source.assumes))
    if at in {Stage.ABSENT, Stage.FILLING}:
        steps.append(_fill_step(scene, guest, source, drop_in))
    return tuple(steps)


def data_steps(scene: Scene, guest: Guest, assumes: str) -> tuple[Step, ...]:
    """Return what makes a guest's other LVs and zeroes them."""
    steps: list[Step] = []
    for disk in guest.volumes[1:]:
        at = stage(scene, guest, disk)
        if at is Stage.ABSENT:
            steps.append(create_step(scene, guest, disk, assumes))
        if at in {Stage.ABSENT, Stage.FILLING}:
            steps.append(_zero_step(scene, guest, disk, assumes))
    return tuple(steps)


def activation(scene: Scene, guest: Guest) -> tuple[Command, ...]:
    """Return what makes the devices of a guest's existing LVs appear, if they are its own."""
    found = ((disk, scene.volume(disk)) for disk in guest.volumes)
    return tuple(
        activate(volume.full_name)
        for disk, volume in found
        if volume is not None and not volume.active and owned(volume, guest, disk)
    )


def put_in_service(scene: Scene, guest: Guest) -> Command:
    """Return what ends the first boot's state of a guest's root LV."""
    return Command(
        argv=("lvchange", "--deltag", STATE_FRESH, scene.full_name(guest.root.lv)),
        why="from now on the guest is in service, and its disk is never written again",
    )


def storage_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Return why a guest's LVs can't be used: lost, or not ours."""
    found: list[Refusal] = []
    for guest in scene.guests:
        for disk in guest.volumes:
            found.extend(_disk_refusals(scene, guest, disk))
    return tuple(dict.fromkeys(found))


def _disk_refusals(scene: Scene, guest: Guest, disk: LvDisk) -> list[Refusal]:
    subject, lv = f"guest {guest.name}", scene.full_name(disk.lv)
    at = stage(scene, guest, disk)
    if at is Stage.LOST:
        return [_lost(scene, guest, disk)]
    volume = scene.volume(disk)
    if volume is None:
        named = f"its disk {disk.name} would be made anew as {lv}, but"
        return [
            Refusal(
                subject=subject,
                reason=f"{named} {one.name} wears its marks",
                hint=_named_again(one),
            )
            for one in _wearing(scene, guest, disk)
        ]
    if at is Stage.FOREIGN:
        return [_foreign(scene, guest, disk, volume)]
    if at is Stage.FILLING and (going := _going_on(scene, guest, disk, volume)) is not None:
        return [going]
    if at is Stage.FILLING and volume.opened:
        reason = f"{lv} is to be written, but something holds it open"
        hint = f"{who_has(lv)}; if it is a guest, shut it down"
        return [Refusal(subject=subject, reason=reason, hint=hint)]
    return []


def _lost(scene: Scene, guest: Guest, disk: LvDisk) -> Refusal:
    """Refuse to make anew what was there; say where it may have gone."""
    vg = scene.spec.storage.vg
    if scene.group is None and not scene.facts.unseen(GROUPS):
        # What is late, or needs its disks, is neither lost nor to be written over.
        reason = f"its volume group {vg} is not there"
        return Refusal(subject=f"guest {guest.name}", reason=reason, hint=WHERE_IS_IT)
    lv, hint = scene.full_name(disk.lv), "bring the LV back (vgcfgrestore, or a backup)"
    there = "was taken over" if guest.adopted else "is defined"
    if scene.domain(guest) is None and not guest.adopted:
        there = "had it when it was defined last"
        path = scene.saved[guest.name].path
        hint += f"; to give it an empty disk instead, move {path} away first"
    elif not guest.adopted:
        hint += f"; to make a new guest instead, `virsh undefine {guest.name}` first"
    reason = f"the guest {there}, but its LV {lv} is gone"
    renamed = _wearing(scene, guest, disk)
    if renamed:
        reason += f"; {', '.join(one.name for one in renamed)} wears its marks"
        hint = f"if it was renamed, name it back: lvrename {vg} {renamed[0].name} {disk.lv}"
        if guest.name in users_of(scene, renamed[0].name, renamed[0].device):
            hint = f"the guest has that one: {_named_again(renamed[0])}"
    return Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint)


def _wearing(scene: Scene, guest: Guest, disk: LvDisk) -> list[Volume]:
    """Return the LVs that are this disk by their marks, whatever they are called."""
    return [
        one
        for one in scene.tagged.get(guest.name, ())
        if owned(one, guest, disk) and not {STATE_FILLING, STATE_SPARE} & {*one.tags}
    ]


def _named_again(volume: Volume) -> str:
    return (
        f"put storage.lv_prefix or the disk's `lv` back in the spec, or write `lv: {volume.name}` "
        "for it"
    )


def _going_on(scene: Scene, guest: Guest, disk: LvDisk, volume: Volume) -> Refusal | None:
    """Refuse an LV whose content comes from elsewhere: it is not made from an image."""
    subject, lv = f"guest {guest.name}", volume.full_name
    clone = tag_value(volume, TAG_CLONE)
    if clone:
        reason = f"{lv} is to become a copy of {clone}'s disk, and is not complete"
        hint = f"finish that: kvmkeep clone {clone} {guest.name}"
        return Refusal(subject=subject, reason=reason, hint=hint)
    return coming_back(scene, guest, disk)


def _foreign(scene: Scene, guest: Guest, disk: LvDisk, volume: Volume) -> Refusal:
    """Refuse an LV that has the name of a guest's disk and is not it."""
    subject, lv = f"guest {guest.name}", volume.full_name
    if is_trash(volume):
        reason, hint = half_removed(guest, volume)
        return Refusal(subject=subject, reason=reason, hint=hint)
    owner = next((tag for tag in volume.tags if tag.startswith(TAG_GUEST)), "")
    whose = f"belongs to guest {owner.removeprefix(TAG_GUEST)}" if owner else "is not ours"
    hint = f"look at `lvs -o +lv_tags {lv}`; choose another name for the guest or disk"
    if guest.adopted and not owner:
        hint = f"take it over: kvmkeep adopt {guest.name}"
    elif not owner and scene.own_domain(guest) is not None and guest.name in users(scene, disk):
        tags = " ".join(f"--addtag {tag}" for tag in lv_tags(guest.name, disk.name))
        hint = f"the guest has it: if it only lost its tags, lvchange {tags} {lv}"
    if TAG_OURS in volume.tags and owner == TAG_GUEST + guest.name:
        before = tag_value(volume, TAG_DISK)
        whose = f"is another disk of this guest ({before})"
        hint = f"compare its tag {TAG_DISK}... with the spec's disks"
        if before not in {ROOT_DISK, *(one.name for one in guest.disks)} and disk != guest.root:
            hint = (
                f"if it is to be called {disk.name} from now on: {retagging(scene, volume, disk)}"
            )
    return Refusal(subject=subject, reason=f"the LV {lv} exists and {whose}", hint=hint)


def retagging(scene: Scene, volume: Volume, disk: LvDisk) -> str:
    """Return the line that has an LV be a disk of another name, with its snapshots."""
    before = TAG_DISK + tag_value(volume, TAG_DISK)
    of_it = (one for one in scene.volumes.values() if one.origin == volume.name)
    names = [volume.full_name, *(one.full_name for one in of_it if before in one.tags)]
    tags = f"--deltag {before} --addtag {TAG_DISK}{disk.name}"
    return f"lvchange {tags} {' '.join(names)}"


def half_removed(guest: Guest, volume: Volume) -> Reason:
    """Return why a guest's LV that wears the stamp of the trash is not taken for its disk."""
    stamp = tag_value(volume, TAG_TRASH)
    reason = f"the LV {volume.full_name} is on its way into the trash, or out of it"
    hint = (
        f"finish that: kvmkeep remove {guest.name}, or take it back: "
        f"kvmkeep trash restore {guest.name}-{stamp}"
    )
    return reason, hint


def create_step(scene: Scene, guest: Guest, disk: LvDisk, assumes: str, *marks: str) -> Step:
    """Return what makes a guest's LV, not complete yet; `marks` are further tags of it."""
    size = scene.lv_size(disk)
    lv = scene.full_name(disk.lv)
    tags = (*lv_tags(guest.name, disk.name), *marks, STATE_FILLING)
    why = "make the LV, marked as ours and as not yet complete"
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"make LV {lv} of {size}",
        why=f"it is the guest's disk {disk.name}",
        probe=absent(lv),
        actions=(create(scene.spec.storage.vg, disk.lv, size, tags, why),),
        assumes=assumes,
    )


def _fill_step(scene: Scene, guest: Guest, source: ImageSource, drop_in: Command | None) -> Step:
    disk = guest.root
    size = scene.lv_size(disk)
    actions: list[Action] = list(activated(scene, disk))
    # The end of the LV goes first: the image may end inside a block, and then overwrites a part.
    if source.virtual_size is not None:
        begin = source.virtual_size.bytes // _BLOCK.bytes * _BLOCK.bytes
        if begin < size.bytes:
            actions.append(zero(scene.path(disk), begin, size.bytes - begin, BEHIND))
    unchanged = [same_file(source.path, source.fingerprint)] if source.fingerprint else []
    actions.extend(unchanged)
    actions.append(_convert(scene, disk, source))
    actions.extend(unchanged)
    if drop_in is not None:
        actions.append(drop_in)
    actions.append(synced(scene.path(disk)))
    actions.append(forget_console(guest))
    why = "the LV is complete now, and its guest has not booted yet"
    actions.append(_filled(scene, disk, why, "--addtag", STATE_FRESH))
    extra = ", and put a file into it that tells cloud-init where its seed is" if drop_in else ""
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"write image {source.image.name} to {scene.path(disk)}{extra}",
        why="nothing of what was there before stays readable",
        probe=has_tags(scene, guest, disk, STATE_FILLING),
        actions=tuple(actions),
        assumes=source.assumes,
    )


def _zero_step(scene: Scene, guest: Guest, disk: LvDisk, assumes: str) -> Step:
    size = scene.lv_size(disk)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"zero {scene.path(disk)} ({size})",
        why="nothing of what was there before stays readable",
        probe=has_tags(scene, guest, disk, STATE_FILLING),
        actions=(
            *activated(scene, disk),
            zero(scene.path(disk), 0, size.bytes, "zero the whole disk"),
            synced(scene.path(disk)),
            _filled(scene, disk, "the disk is in service now, and is never written again"),
        ),
        assumes=assumes,
    )


def _filled(scene: Scene, disk: LvDisk, why: str, *more: str) -> Command:
    argv = ("lvchange", "--deltag", STATE_FILLING, *more, scene.full_name(disk.lv))
    return Command(argv=argv, why=why)


def _convert(scene: Scene, disk: LvDisk, source: ImageSource) -> Command:
    # Reading past the page cache needs O_DIRECT, which older kernels' tmpfs doesn't have.
    cache = "writeback" if source.path.startswith(_IN_MEMORY) else "none"
    image = source.image
    size = source.virtual_size or scene.lv_size(disk)
    return convert(scene, disk, source.path, size, image.write_rate, form=image.format, cache=cache)


def convert(
    scene: Scene,
    disk: LvDisk,
    path: str,
    size: Size,
    rate: int,
    *,
    form: str = "raw",
    cache: str = "none",
) -> Command:
    """Return what copies a file or device of a size to an LV; `rate` is in bytes per second."""
    limit = ("-r", str(rate)) if rate else ()
    per_second = min(rate // 2, 5 * 10**6) if rate else 5 * 10**6
    return Command(
        argv=(
            "qemu-img", "convert", "-n", "-p", "-W", "-m", "16", "-t", "none", "-T", cache,
            "-f", form, "-O", "raw", *limit, "--", path, scene.path(disk),
        ),
        why="copy it, past the page cache",
        timeout=long_enough(size, max(1, per_second)),
        progress=Progress.QEMU_IMG,
        total_bytes=size.bytes,
    )  # fmt: skip


def forget_console(guest: Guest) -> Command:
    """Return what empties a console's log: the last words of an earlier guest must not count.

    virtlogd(8) calls it `.0` once it has begun another one.
    """
    log = console_log(guest.name)
    return Command(
        argv=("truncate", "--no-create", "--size=0", "--", log, f"{log}.0"),
        why="forget what an earlier guest of that name wrote to its console",
    )


def activated(scene: Scene, disk: LvDisk) -> tuple[Command, ...]:
    """Return what makes the device of an LV appear that exists."""
    volume = scene.volume(disk)
    if volume is None or volume.active:
        return ()
    return (activate(volume.full_name),)


def has_tags(scene: Scene, guest: Guest, disk: LvDisk, *marks: str) -> Command:
    """Succeed only while the LV is this guest's and wears these tags as well."""
    select = selection((*lv_tags(guest.name, disk.name), *marks))
    why = "see that the LV is ours and still as far as it was"
    return selected(scene.full_name(disk.lv), select, why)
