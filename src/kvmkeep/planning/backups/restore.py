"""The plan of `backup restore`: a guest's disks come back from a backup, beside what is there.

What is there now goes into the trash first: nothing is written over. The new LVs count as not
complete until all of them are written and were read back, the root disk longest; a run that was
killed begins their content again. The definition and the guest's file of the spec are brought back
last, and only where there are none: a guest of the spec without disks would be made from its image.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from kvmkeep.model.backup_manifest import DiskRecord
from kvmkeep.model.command import Action, Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import STATE_FILLING, TAG_RESTORE
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Step, refused
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import LvDisk, Spec
from kvmkeep.model.trash import is_trash
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.arrays import strained_arrays
from kvmkeep.planning.backups.fetch import fetched, tidy
from kvmkeep.planning.backups.restored import taken_over
from kvmkeep.planning.backups.restoring import BackupRestoreRequest, RestoreWork
from kvmkeep.planning.backups.returned_domain import Returned, returned
from kvmkeep.planning.backups.returned_guest import Lost, return_steps
from kvmkeep.planning.backups.unrestorable import unrestorable
from kvmkeep.planning.commands import zero
from kvmkeep.planning.disks.storage import BEHIND, activated, create_step, has_tags
from kvmkeep.planning.repositories.secrets import secret_refusals
from kvmkeep.planning.scene import Scene, make_scene
from kvmkeep.planning.trash.moves import mark_step, rename_step


def plan_restore(spec: Spec, facts: Facts, restoring: BackupRestoreRequest) -> Plan:
    """Plan to bring disks back from a backup, and the guest's definition where there is none."""
    scene = make_scene(spec, facts, (restoring.guest,))
    work = RestoreWork(
        scene=scene,
        restoring=restoring,
        pairs=_pairs(restoring),
        definition=_definition(scene, restoring),
    )
    subject = f"guest {restoring.guest.name}"
    if not work.pairs:
        reason = f"the backup has no disk {restoring.only}" if restoring.only else "it has no disks"
        hint = f"look at: kvmkeep backup show {restoring.subject.entry.guest}"
        return Plan(refusals=(Refusal(subject=subject, reason=reason, hint=hint),))
    last = () if restoring.only else return_steps(scene, _lost(work))
    if work.done:
        wrong = refused(subject, work.definition.reasons)
        kept = taken_over(scene, work.guest, work.disks, restoring.mark)
        return Plan(steps=() if wrong else (*kept, *last), refusals=wrong)
    reasons = unrestorable(work)
    steps = () if reasons else (*_trash_steps(work), *_content_steps(work), *last)
    return Plan(
        steps=steps,
        refusals=(
            *guards.unseen_beside_files(scene, (restoring.guest,)),
            *programs.missing_tools(scene, steps),
            *groups.sound_group(scene, steps, urgent=True),
            *secret_refusals(facts, restoring.subject.repository),
            *refused(subject, reasons),
        ),
        notes=() if reasons else (*strained_arrays(scene), *_notes(work)),
        once=True,
    )


def _pairs(restoring: BackupRestoreRequest) -> tuple[tuple[DiskRecord, LvDisk], ...]:
    """Return what becomes which LV, large enough for it.

    An LV may be larger than its spec says: whole extents of another group, or extended by hand.
    """
    records = {one.disk: one for one in restoring.subject.manifest.disks}
    return tuple(
        (records[disk.name], replace(disk, size=max(disk.size, records[disk.name].size)))
        for disk in restoring.guest.volumes
        if disk.name in records and restoring.only in {"", disk.name}
    )


def _definition(scene: Scene, restoring: BackupRestoreRequest) -> Returned:
    """Return what the guest is defined from; nothing where it is there, or not asked for."""
    if restoring.only or restoring.guest.name in scene.domains:
        return Returned()
    return returned(scene, restoring.guest, restoring.subject)


def _trash_steps(work: RestoreWork) -> tuple[Step, ...]:
    going, stamp = work.leaving, work.stamp
    unmarked = [one for one in going if not is_trash(one)]
    why = f"nothing is written over; it lies in the trash as {work.guest.name}-{stamp}"
    return (
        *((mark_step(work.guest.name, unmarked, stamp, None),) if unmarked else ()),
        *(rename_step(work.guest.name, one, stamp, why) for one in going),
    )


def _content_steps(work: RestoreWork) -> tuple[Step, ...]:
    guest, mark = work.guest, work.restoring.mark
    new = [disk for _, disk in work.pairs if work.made(disk) is None]
    return (
        *(create_step(_without(work, new), guest, disk, "", mark) for disk in new),
        *_begun_again(work),
        *(_disk_step(work, record, disk) for record, disk in work.pairs),
        _complete_step(work),
    )


def _without(work: RestoreWork, disks: Iterable[LvDisk]) -> Scene:
    """Return the scene as it will be once the present LVs of these disks are in the trash."""
    gone = {disk.lv for disk in disks}
    facts = work.scene.facts
    kept = tuple(one for one in facts.volumes if one.name not in gone)
    return make_scene(work.scene.spec, replace(facts, volumes=kept), work.scene.guests)


def _begun_again(work: RestoreWork) -> tuple[Step, ...]:
    """Return what takes over the LVs of a run that was stopped: all are written again."""
    steps: list[Step] = []
    for _, disk in work.pairs:
        volume = work.made(disk)
        if volume is None or {work.restoring.mark, STATE_FILLING} <= {*volume.tags}:
            continue
        old = TAG_RESTORE + tag_value(volume, TAG_RESTORE)
        steps.append(
            Step(
                noun=Noun.STORAGE,
                subject=f"guest {work.guest.name}",
                what=f"write {volume.full_name} again",
                why="a run that was stopped has not brought all of its disks back",
                actions=(
                    Command(
                        argv=(
                            "lvchange", "--addtag", STATE_FILLING, "--deltag", old,
                            "--addtag", work.restoring.mark, volume.full_name,
                        ),
                        why="all disks are to be of one moment",
                    ),
                ),
            )
        )  # fmt: skip
    return tuple(steps)


def _disk_step(work: RestoreWork, record: DiskRecord, disk: LvDisk) -> Step:
    target = work.scene.path(disk)
    volume = work.made(disk)
    active_first = activated(work.scene, disk) if volume is not None else ()
    room = work.scene.rounded(disk.size) if volume is None else volume.size
    behind = (zero(target, record.size.bytes, room.minus(record.size).bytes, BEHIND),)
    moment = work.restoring.subject.entry.moment
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {work.guest.name}",
        what=f"bring disk {disk.name} ({record.size}) of {moment} back to {target}, and read it "
        "again",
        why="it has to be, block by block, what was read at the backup",
        probe=has_tags(work.scene, work.guest, disk, work.restoring.mark, STATE_FILLING),
        actions=(
            *active_first,
            *(behind if record.size < room else ()),
            *fetched(work.restoring.subject, record, target, work.folder, work.program),
        ),
        finally_=(tidy(work.folder),),
    )


def _complete_step(work: RestoreWork) -> Step:
    vg = work.scene.spec.storage.vg
    first, *others = [f"{vg}/{disk.lv}" for _, disk in work.pairs]
    actions: list[Action] = []
    if others:
        why = "these disks are complete"
        actions.append(Command(argv=("lvchange", "--deltag", STATE_FILLING, *others), why=why))
    why = "all of them are: they are the guest's disks"
    actions.append(Command(argv=("lvchange", "--deltag", STATE_FILLING, first), why=why))
    disk = work.pairs[0][1]
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {work.guest.name}",
        what=f"put {', '.join(disk.name for _, disk in work.pairs)} into service",
        why="until then the guest can't be started",
        probe=has_tags(work.scene, work.guest, disk, work.restoring.mark, STATE_FILLING),
        actions=tuple(actions),
    )


def _lost(work: RestoreWork) -> Lost:
    restoring = work.restoring
    return Lost(
        subject=restoring.subject,
        guest=work.guest,
        definition=work.definition,
        folder=work.folder,
        file=restoring.file,
        content=restoring.content,
        stays_off=restoring.stays_off,
    )


def unmet(missing: Iterable[str]) -> str:
    """Tell of a guest that comes back before what it needs."""
    return (
        f"what it needs is not there: {', '.join(missing)}; it comes back without that in its "
        "file, and stays off (once that is back, write it into run.needs again)"
    )


def _notes(work: RestoreWork) -> tuple[Note, ...]:
    restoring = work.restoring
    subject = f"guest {work.guest.name}"
    have = {record.disk for record, _ in work.pairs}
    texts = [
        f"its disk {disk.name} is not in the backup, and stays as it is"
        for disk in work.guest.disks
        if disk.name not in have and not restoring.only
    ]
    known = {disk.name for disk in work.guest.volumes}
    texts += [
        f"the backup's disk {one.disk} is none of the spec, and is left out"
        for one in restoring.subject.manifest.disks
        if one.disk not in known
    ]
    wanted = {disk.name: work.scene.rounded(disk.size) for disk in work.guest.volumes}
    texts += [
        f"its disk {disk.name} is {record.size} in the backup and comes back as large, though its "
        f"file says {wanted[disk.name]}: write that size into {work.guest.place.file}"
        for record, disk in work.pairs
        if wanted[disk.name] < record.size
    ]
    texts += work.definition.notes
    if restoring.file:
        texts += [
            f"its file has {disk.path} as its disk {disk.name}: if that is there, the next apply "
            "gives it to the guest as it is"
            for disk in work.guest.files
        ]
    if restoring.missing:
        texts.append(unmet(restoring.missing))
    if work.leaving:
        name = f"{work.guest.name}-{work.stamp}"
        texts.append(f"its present disks lie in the trash then, as {name}: kvmkeep trash list")
    return tuple(Note(subject=subject, text=text) for text in texts)
