"""The plan of `clone`: a new guest with copies of another one's disks, which runs on meanwhile.

First the LVs are made and filled, then the new guest's file of the spec is written, and from
there on it is what `apply` does with a guest before its first boot. Until the file is there,
nothing but another `clone` knows of the LVs; those that are not complete are never filled from
an image.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import WriteFile
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import (
    STATE_FILLING,
    STATE_FRESH,
    TAG_CLONE,
    TAG_FOR,
    TAG_REVERT,
    lv_tags,
)
from kvmkeep.model.plan import Note, Noun, Plan, Reason, Refusal, Step, refused
from kvmkeep.model.snapshot import SnapshotSet, tag_value
from kvmkeep.model.spec import FileDisk, FirstBoot, Guest, LvDisk, Spec
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.clones.copy import content_steps
from kvmkeep.planning.clones.origin import Copies, Origin, Wanted, origin
from kvmkeep.planning.disks.stage import Stage, cloned_from, stage
from kvmkeep.planning.disks.storage import has_tags, storage_refusals
from kvmkeep.planning.lvm import who_has
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.start import not_a_guest, young
from kvmkeep.planning.scene import Scene, make_scene, owned
from kvmkeep.planning.snapshots.create import outside_disks
from kvmkeep.planning.snapshots.mend import sets_of
from kvmkeep.planning.snapshots.removal import removal


class Cloning(Struct, frozen=True, kw_only=True):
    """Who is cloned, and the clone as its file will describe it.

    `file` is the absolute path of that file, `content` what it will hold. `wanted` says what the
    copies are made from.
    """

    source: GuestName
    clone: Guest
    file: str
    content: bytes
    wanted: Wanted


class _Work(Struct, frozen=True, kw_only=True):
    """The scene of the spec with the clone in it, both guests, and whether its file is there."""

    scene: Scene
    source: Guest
    clone: Guest
    cloning: Cloning
    written: bool

    @property
    def begun(self) -> bool:
        """Whether the clone's root LV is ours, and a copy of just this guest."""
        return cloned_from(self.scene, self.clone) == self.source.name

    @property
    def complete(self) -> bool:
        """Whether the clone's LVs hold all that they are to hold."""
        return self.begun and stage(self.scene, self.clone, self.clone.root) is not Stage.FILLING


def plan_clone(spec: Spec, facts: Facts, cloning: Cloning) -> Plan:
    """Plan to make a clone; its file in the spec, once it is there, counts for all but content."""
    by_name = {guest.name: guest for guest in spec.guests}
    source, written = by_name.get(cloning.source), by_name.get(cloning.clone.name)
    if source is None or source.name == cloning.clone.name:
        reason = "there is no guest of that name in the spec"
        reason = reason if source is None else "it can't be a clone of itself"
        hint = "`kvmkeep list` shows the names"
        subject = f"guest {cloning.source}"
        return Plan(refusals=(Refusal(subject=subject, reason=reason, hint=hint),))
    clone = written or cloning.clone
    if written is None:
        guests = sorted((*spec.guests, clone), key=lambda guest: guest.name)
        spec = replace(spec, guests=tuple(guests))
    work = _Work(
        scene=make_scene(spec, facts, (source,)),
        source=source,
        clone=clone,
        cloning=cloning,
        written=written is not None,
    )
    return _rest(work, facts) if work.complete else _whole(work, facts)


def _rest(work: _Work, facts: Facts) -> Plan:
    """Plan what is left to do once the disks are copied."""
    made = make_plan(work.scene.spec, facts, (work.clone.name,))
    removed = tuple(step for one in _left(work) for step in _removal(one))
    return replace(made, steps=(*removed, *_file_steps(work), *made.steps))


def _whole(work: _Work, facts: Facts) -> Plan:
    refusals = (
        *guards.unseen(work.scene),
        *_unfit_source(work),
        *_unfit_clone(work),
    )
    if refusals:
        return Plan(refusals=refusals)
    copies = _copies(work)
    new = Size(sum(disk.size.bytes for disk in copies.new))
    found = origin(work.scene, _with_less(facts, work.scene.spec.storage.vg, new), copies,
                   work.cloning.wanted)  # fmt: skip
    later = make_plan(work.scene.spec, _as_copied(work, facts, copies, new), (work.clone.name,))
    steps = () if found.refusals else content_steps(work.scene, copies, found)
    removed = tuple(step for one in _left(work, found) for step in _removal(one))
    refusals = (
        *programs.missing_tools(work.scene, steps),
        *groups.sound_group(work.scene, steps),
        *_room(work, copies, new),
        *found.refusals,
        *later.refusals,
    )
    return Plan(
        steps=(*removed, *steps, *_file_steps(work), *later.steps),
        refusals=tuple(dict.fromkeys(refusals)),
        notes=(*_notes(work), *found.notes, *later.notes),
    )


def uncloneable(guest: Guest) -> tuple[Refusal, ...]:
    """Return why a guest can't be cloned, or be a clone, whatever the host."""
    subject = f"guest {guest.name}"
    found: list[Refusal] = []
    if guest.first_boot is FirstBoot.NONE:
        reason = "no seed would give the clone its own name and addresses "
        reason += "(it was taken over)" if guest.adopted else "(`first_boot: none`)"
        hint = "make the new guest from an image, and take what it needs: kvmkeep copy-out"
        found.append(Refusal(subject=subject, reason=reason, hint=hint))
    for disk in guest.disks:
        if isinstance(disk, FileDisk):
            reason = f"its disk {disk.name} is the file {disk.path}: only LVs are cloned"
            hint = "make the new guest from an image, and take what it needs: kvmkeep copy-out"
            found.append(Refusal(subject=subject, reason=reason, hint=hint))
    return tuple(found)


def _unfit_source(work: _Work) -> tuple[Refusal, ...]:
    """Return why a guest can't be cloned at all."""
    scene, guest = work.scene, work.source
    subject = f"guest {guest.name}"
    refusal = not_a_guest(scene, guest) or young(scene, guest)
    if refusal is not None:
        return (refusal,)
    found = [*storage_refusals(scene), *uncloneable(guest), *uncloneable(work.clone)]
    for disk in guest.volumes:
        volume = scene.volume(disk)
        to = "" if volume is None else tag_value(volume, TAG_REVERT)
        if volume is not None and (to or volume.merging):
            reason = f"{disk.lv} is being reverted to a snapshot"
            hint = (
                f"finish that: kvmkeep snapshot revert {guest.name} {to}"
                if to
                else ("wait until `kvmkeep snapshot list` shows no revert any more")
            )
            found.append(Refusal(subject=subject, reason=reason, hint=hint))
    return (*found, *guards.shared_disks(scene))


def _unfit_clone(work: _Work) -> tuple[Refusal, ...]:
    """Return why the clone can't be made: its name is taken, or its disks would not do."""
    found: list[Reason] = []
    if work.clone.name in work.scene.domains:
        what = "guest of that name, which is no clone" if work.written else "domain of that name"
        found.append((f"there is a {what}", "choose another name"))
    disks = {disk.name: disk for disk in work.clone.volumes}
    for disk in work.source.volumes:
        volume, new = work.scene.volume(disk), disks.get(disk.name)
        if volume is not None and new is None:
            hint = f"give it one of {volume.size}, in {work.cloning.file}"
            found.append((f"it has no disk {disk.name}, which {work.source.name} has", hint))
        elif volume is not None and new is not None:
            found.extend(_unfit_disk(work, volume, new))
    return refused(f"guest {work.clone.name}", found)


def _unfit_disk(work: _Work, volume: Volume, new: LvDisk) -> list[Reason]:
    there = work.scene.volume(new)
    lv = f"{volume.vg}/{new.lv}"
    if there is None:
        if not work.written or work.scene.rounded(new.size) >= volume.size:
            return []
        hint = f"give it {volume.size}, in {work.cloning.file}"
        return [(f"its disk {new.name} is smaller than {volume.name}", hint)]
    if not _copy_of(work, there, new):
        hint = f"look at `lvs -o +lv_tags {lv}`; choose another name for the clone"
        return [(f"the LV {lv} exists already", hint)]
    if there.size < volume.size:
        hint = f"remove it, it is not complete: lvremove {lv}"
        return [(f"{lv} is smaller than {volume.name}, which was grown since", hint)]
    if there.opened:
        return [(f"something has {lv} open", who_has(lv))]
    return []


def _copy_of(work: _Work, volume: Volume, disk: LvDisk) -> bool:
    """Whether an LV was made for this disk of the clone, by a run that did not end."""
    mark = TAG_CLONE + work.source.name
    return (
        owned(volume, work.clone, disk)
        and mark in volume.tags
        and (work.begun or STATE_FILLING in volume.tags)
    )


def _copies(work: _Work) -> Copies:
    """Return which disk becomes which; no copy is smaller than what it is a copy of."""
    pairs: list[tuple[LvDisk, LvDisk]] = []
    disks = {disk.name: disk for disk in work.clone.volumes}
    for disk in work.source.volumes:
        volume = work.scene.volume(disk)
        if volume is not None:
            new = disks[disk.name]
            pairs.append((disk, replace(new, size=work.scene.rounded(max(new.size, volume.size)))))
    return Copies(
        source=work.source,
        clone=work.clone,
        pairs=tuple(pairs),
        new=tuple(disk for _, disk in pairs if work.scene.volume(disk) is None),
    )


def _with_less(facts: Facts, vg: str, size: Size) -> Facts:
    """Return the facts as they will be once so much of the volume group is taken."""
    groups = tuple(
        replace(group, free=group.free.minus(size)) if group.name == vg else group
        for group in facts.groups
    )
    return replace(facts, groups=groups)


def _as_copied(work: _Work, facts: Facts, copies: Copies, new: Size) -> Facts:
    """Return the facts as they will be once the LVs are complete."""
    vg, root = work.scene.spec.storage.vg, work.clone.root.name
    made = {
        disk.lv: Volume(
            vg=vg,
            name=disk.lv,
            size=work.scene.lv_size(disk),
            tags=(
                *lv_tags(work.clone.name, disk.name),
                TAG_CLONE + work.source.name,
                *((STATE_FRESH,) if disk.name == root else ()),
            ),
            active=True,
            opened=False,
            device="",
            attributes="",
        )
        for _, disk in copies.pairs
    }
    kept = (one for one in facts.volumes if one.vg != vg or one.name not in made)
    return replace(_with_less(facts, vg, new), volumes=(*kept, *made.values()))


def _room(work: _Work, copies: Copies, new: Size) -> tuple[Refusal, ...]:
    group = work.scene.group
    reserve = work.scene.spec.host.storage_reserve
    if group is None or new <= group.free.minus(reserve):
        return ()
    reason = (
        f"the copies of {len(copies.new)} disks need {new}, but {group.free.minus(reserve)} may "
        f"be used ({group.free} are free, {reserve} are the host's reserve)"
    )
    hint = "extend the volume group (vgextend)"
    return (Refusal(subject=f"volume group {group.name}", reason=reason, hint=hint),)


def _left(work: _Work, found: Origin | None = None) -> tuple[SnapshotSet, ...]:
    """Return the sets that killed runs took for this clone, and that nobody removes otherwise."""
    mark = TAG_FOR + work.clone.name
    return tuple(
        one
        for one in sets_of(work.scene, work.source)
        if any(mark in member.tags for member in one.members)
        and (found is None or (one.name != found.taken and not one.partial))
    )


def _removal(one: SnapshotSet) -> tuple[Step, ...]:
    return removal(one, "it was taken for a clone, by a run that was stopped")


def _file_steps(work: _Work) -> tuple[Step, ...]:
    if work.written:
        return ()
    clone = work.clone
    # The source's file may hold a password hash, and so does this one.
    file = WriteFile(
        path=work.cloning.file,
        content=work.cloning.content,
        why="from now on it is a guest of the spec",
        secret=clone.secret,
    )
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {clone.name}",
            what=f"write {work.cloning.file}",
            why="its disks are complete: from here on it is made as any guest of the spec",
            probe=has_tags(
                work.scene, clone, clone.root, TAG_CLONE + work.source.name, STATE_FRESH
            ),
            actions=(file,),
        ),
    )


def _notes(work: _Work) -> tuple[Note, ...]:
    domain: Domain = work.scene.domains[work.source.name]
    return tuple(
        Note(
            subject=f"guest {work.clone.name}",
            text=f"{work.source.name}'s disk {path} is not copied: it is no LV of the spec",
        )
        for path in outside_disks(work.scene, work.source, domain)
    )
