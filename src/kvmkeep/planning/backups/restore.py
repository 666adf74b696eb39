"""The plan of `backup restore`: a guest's disks come back from a backup, beside what is there.

What is there now goes into the trash first: nothing is written over. The new LVs count as not
complete until all of them are written and were read back, the root disk longest; a run that was
killed begins their content again. The definition and the guest's file of the spec are brought back
last, and only where there are none: a guest of the spec without disks would be made from its image.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.backup_manifest import DiskRecord
from kvmkeep.model.command import Action, Command
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import (
    STATE_FILLING,
    TAG_RESTORE,
    TAG_TRASH,
    fetch_dir,
    second_stamp,
    utc_stamp,
)
from kvmkeep.model.plan import Note, Noun, Plan, Reason, Refusal, Step, refused
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest, LvDisk, Spec
from kvmkeep.model.trash import is_trash, trash_entries
from kvmkeep.model.units import Size
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.fetch import Subject, fetched, gone, tidy
from kvmkeep.planning.backups.restored import is_back, leaving, made, taken_over
from kvmkeep.planning.backups.returned_domain import Returned, returned
from kvmkeep.planning.backups.returned_guest import Lost, return_steps
from kvmkeep.planning.commands import zero
from kvmkeep.planning.disks.storage import BEHIND, activated, create_step, has_tags
from kvmkeep.planning.lvm import who_has
from kvmkeep.planning.repositories.secrets import secret_refusals
from kvmkeep.planning.running.saved import saved_reasons
from kvmkeep.planning.scene import Scene, active, make_scene, owned
from kvmkeep.planning.trash.moves import mark_step, rename_step, trouble


class BackupRestoreRequest(Struct, frozen=True, kw_only=True):
    """What comes back: a backup of `guest`, as the spec has it or will have it.

    `stays_off` is the word about a guest that is defined again: nobody starts it by himself.

    `asked` is when it was asked for (ISO 8601). `only` names one disk; empty for all. `file` and
    `content` are those of the guest's file of the spec, where it has none now; `missing` were
    among its needs, and are not there.
    """

    subject: Subject
    guest: Guest
    asked: str
    only: str = ""
    file: str = ""
    content: bytes = b""
    missing: tuple[str, ...] = ()
    stays_off: bool = True

    @property
    def mark(self) -> str:
        """The tag of the LVs that this run puts into service."""
        return f"{TAG_RESTORE}{self.subject.entry.moment}/{second_stamp(self.asked)}"


class _Work(Struct, frozen=True, kw_only=True):
    """The scene, and which disk of the backup becomes which LV; the first is completed last.

    `definition` is what the guest is defined from where it is lost.
    """

    scene: Scene
    restoring: BackupRestoreRequest
    pairs: tuple[tuple[DiskRecord, LvDisk], ...]
    definition: Returned

    @property
    def guest(self) -> Guest:
        return self.restoring.guest

    @property
    def folder(self) -> str:
        """Where block lists and the definition lie meanwhile."""
        return fetch_dir(self.guest.name)

    @property
    def program(self) -> str:
        return self.scene.facts.units.command

    @property
    def disks(self) -> tuple[LvDisk, ...]:
        """The disks that come back."""
        return tuple(disk for _, disk in self.pairs)

    def made(self, disk: LvDisk) -> Volume | None:
        """Return the LV that a restore has made for a disk and not put into service yet."""
        return made(self.scene, self.guest, self.disks, disk)

    @property
    def done(self) -> bool:
        """Whether this very run has put all of them into service, or one that was stopped then."""
        moment = self.restoring.subject.entry.moment
        if not self.restoring.only and is_back(self.scene, self.guest, self.disks, moment):
            return True
        volumes = [self.scene.volumes.get(disk.lv) for _, disk in self.pairs]
        return all(
            one is not None and self.restoring.mark in one.tags and STATE_FILLING not in one.tags
            for one in volumes
        )


def plan_restore(spec: Spec, facts: Facts, restoring: BackupRestoreRequest) -> Plan:
    """Plan to bring disks back from a backup, and the guest's definition where there is none."""
    scene = make_scene(spec, facts, (restoring.guest,))
    work = _Work(
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
    reasons = _reasons(work)
    steps = () if reasons else (*_trash_steps(work), *_content_steps(work), *last)
    return Plan(
        steps=steps,
        refusals=(
            *guards.unseen_beside_files(scene, (restoring.guest,)),
            *programs.missing_tools(scene, steps),
            *guards.volume_group(scene, steps),
            *secret_refusals(facts, restoring.subject.repository),
            *refused(subject, reasons),
        ),
        notes=() if reasons else _notes(work),
        once=True,
    )


def _pairs(restoring: BackupRestoreRequest) -> tuple[tuple[DiskRecord, LvDisk], ...]:
    records = {one.disk: one for one in restoring.subject.manifest.disks}
    return tuple(
        (records[disk.name], disk)
        for disk in restoring.guest.volumes
        if disk.name in records and restoring.only in {"", disk.name}
    )


def _definition(scene: Scene, restoring: BackupRestoreRequest) -> Returned:
    """Return what the guest is defined from; nothing where it is there, or not asked for."""
    if restoring.only or restoring.guest.name in scene.domains:
        return Returned()
    return returned(scene, restoring.guest, restoring.subject)


def _reasons(work: _Work) -> list[Reason]:
    scene, guest = work.scene, work.guest
    domain = scene.domains.get(guest.name)
    found: list[Reason] = []
    if domain is not None and scene.own_domain(guest) is None:
        found.append(("the domain of that name is not ours", f"virsh dumpxml {guest.name}"))
    elif domain is not None and active(domain):
        found.append(
            ("it runs, on the disks that would go", f"shut it down: kvmkeep shutdown {guest.name}")
        )
    else:
        found += saved_reasons(domain)
    twin = scene.domains_by_uuid.get(guest.uuid)
    if twin is not None and twin.name != guest.name:
        found.append((f"the domain {twin.name} has its UUID", "rename or remove that one first"))
    if work.restoring.subject.manifest.uuid != guest.uuid:
        hint = "correct `identity`, or `host.name`"
        hint += "" if work.restoring.file else "; or make a new guest of it: --as NAME"
        found.append(("the backup is of a guest with another UUID", hint))
    else:
        found += work.definition.reasons
    lost = gone(work.restoring.subject)
    hint = f"choose another one: kvmkeep backup list {guest.name}"
    found += [
        (f"its disk {disk.name} is gone from the repository", hint)
        for disk in work.disks
        if disk.name in lost
    ]
    for record, disk in work.pairs:
        found += _of_disk(work, record, disk)
    for volume in _leaving(work):
        found += trouble(scene, volume, guest.name, running=False)
    return [*found, *_of_trash(work), *_of_room(work)]


def _of_disk(work: _Work, record: DiskRecord, disk: LvDisk) -> list[Reason]:
    scene = work.scene
    if scene.rounded(disk.size) < record.size:
        hint = f"write that size into {work.guest.place.file}"
        return [(f"its disk {disk.name} is {record.size} in the backup, and smaller now", hint)]
    volume = scene.volumes.get(disk.lv)
    ours = volume is None or owned(volume, work.guest, disk) or volume in _leaving(work)
    if volume is not None and not ours:
        hint = f"look at: lvs -o +lv_tags {volume.full_name}"
        return [(f"the LV {volume.full_name} is not that disk of it", hint)]
    if work.made(disk) is not None and volume is not None and volume.opened:
        return [(f"something has {volume.full_name} open", who_has(volume.full_name))]
    return []


def _of_trash(work: _Work) -> list[Reason]:
    entries = trash_entries(
        work.scene.facts.volumes, work.scene.spec.storage.vg, work.scene.facts.trash
    )
    name = f"{work.guest.name}-{_stamp(work)}"
    begun = any(is_trash(one) for one in _leaving(work))
    if _leaving(work) and not begun and any(one.name == name for one in entries):
        return [(f"there is a {name} in the trash", "wait a minute")]
    return []


def _of_room(work: _Work) -> list[Reason]:
    group = work.scene.group
    if group is None:
        return []
    new = (work.scene.rounded(disk.size).bytes for _, disk in work.pairs if work.made(disk) is None)
    needed = Size(sum(new))
    free = group.free.minus(work.scene.spec.host.storage_reserve)
    if needed <= free:
        return []
    reason = f"it needs {needed} beside what is there, but {free} of {group.name} may be used"
    return [(reason, "empty the trash (`kvmkeep trash list`), or extend the group (vgextend)")]


def _leaving(work: _Work) -> list[Volume]:
    return leaving(work.scene, work.guest, work.disks)


def _stamp(work: _Work) -> str:
    """Return the stamp of the trash: that of a run that was stopped in the middle, if any."""
    begun = (tag_value(one, TAG_TRASH) for one in _leaving(work))
    return next((stamp for stamp in begun if stamp), utc_stamp(work.restoring.asked))


def _trash_steps(work: _Work) -> tuple[Step, ...]:
    going, stamp = _leaving(work), _stamp(work)
    unmarked = [one for one in going if not is_trash(one)]
    why = f"nothing is written over; it lies in the trash as {work.guest.name}-{stamp}"
    return (
        *((mark_step(work.guest.name, unmarked, stamp, None),) if unmarked else ()),
        *(rename_step(work.guest.name, one, stamp, why) for one in going),
    )


def _content_steps(work: _Work) -> tuple[Step, ...]:
    guest, mark = work.guest, work.restoring.mark
    new = [disk for _, disk in work.pairs if work.made(disk) is None]
    return (
        *(create_step(_without(work, new), guest, disk, "", mark) for disk in new),
        *_begun_again(work),
        *(_disk_step(work, record, disk) for record, disk in work.pairs),
        _complete_step(work),
    )


def _without(work: _Work, disks: Iterable[LvDisk]) -> Scene:
    """Return the scene as it will be once the present LVs of these disks are in the trash."""
    gone = {disk.lv for disk in disks}
    facts = work.scene.facts
    kept = tuple(one for one in facts.volumes if one.name not in gone)
    return make_scene(work.scene.spec, replace(facts, volumes=kept), work.scene.guests)


def _begun_again(work: _Work) -> tuple[Step, ...]:
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


def _disk_step(work: _Work, record: DiskRecord, disk: LvDisk) -> Step:
    target = work.scene.path(disk)
    volume = work.made(disk)
    active_first = activated(work.scene, disk) if volume is not None else ()
    room = work.scene.rounded(disk.size) if volume is None else volume.size
    behind = (zero(target, record.size.bytes, room.minus(record.size).bytes, BEHIND),)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {work.guest.name}",
        what=f"bring disk {disk.name} ({record.size}) back to {target}, and read it again",
        why="it has to be, block by block, what was read at the backup",
        probe=has_tags(work.scene, work.guest, disk, work.restoring.mark, STATE_FILLING),
        actions=(
            *active_first,
            *(behind if record.size < room else ()),
            *fetched(work.restoring.subject, record, target, work.folder, work.program),
        ),
        finally_=(tidy(work.folder),),
    )


def _complete_step(work: _Work) -> Step:
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


def _lost(work: _Work) -> Lost:
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


def _notes(work: _Work) -> tuple[Note, ...]:
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
    texts += work.definition.notes
    if restoring.missing:
        texts.append(unmet(restoring.missing))
    if _leaving(work):
        name = f"{work.guest.name}-{_stamp(work)}"
        texts.append(f"its present disks lie in the trash then, as {name}: kvmkeep trash list")
    return tuple(Note(subject=subject, text=text) for text in texts)
