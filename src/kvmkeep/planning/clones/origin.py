"""What a clone's disks are copied from: the LVs of a guest that is off, or a set of snapshots."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import TAG_FOR, TAG_OURS, TAG_SET, fetch_dir, lv_path, second_stamp
from kvmkeep.model.plan import Note, Refusal, Step
from kvmkeep.model.snapshot import Level
from kvmkeep.model.spec import Guest, LvDisk
from kvmkeep.model.units import Size
from kvmkeep.planning.backups.fetch import Subject, fetched, gone, tidy
from kvmkeep.planning.commands import has_state
from kvmkeep.planning.disks.storage import activation
from kvmkeep.planning.lvm import activate, removal, who_has
from kvmkeep.planning.repositories.secrets import secret_refusals
from kvmkeep.planning.running.saved import sleeps
from kvmkeep.planning.scene import Scene, active
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create, set_name
from kvmkeep.planning.snapshots.mend import mend_steps, sets_of


class Wanted(Struct, frozen=True, kw_only=True):
    """What is asked for.

    `from_set` names a set of snapshots to copy from, `backup` is one whose disks are taken; without
    both, a guest that runs is copied through a set that is taken for it at `moment`, as
    `snapshot create` would take it.
    """

    moment: str
    level: Level | None = None
    size: Size | None = None
    from_set: str = ""
    backup: Subject | None = None


class Copies(Struct, frozen=True, kw_only=True):
    """Which disk of which guest becomes which: `pairs`; `new` are those without an LV as yet."""

    source: Guest
    clone: Guest
    pairs: tuple[tuple[LvDisk, LvDisk], ...]
    new: tuple[LvDisk, ...]


class Origin(Struct, frozen=True, kw_only=True):
    """Where the content is read.

    `steps` come first. `paths` are the devices to read, one for each pair of disks; or `fills` are
    what writes so many bytes of each. `before`,
    `still` and `after` are run around the copying, `after` in any case. `taken` is the set that
    is taken for just this clone. A snapshot that gets full meanwhile can't be read any more, so
    that the copying fails: nothing has to look.
    """

    paths: tuple[str, ...] = ()
    fills: tuple[tuple[Size, tuple[Command, ...]], ...] = ()
    how: str = ""
    steps: tuple[Step, ...] = ()
    before: tuple[Command, ...] = ()
    still: tuple[Command, ...] = ()
    after: tuple[Command, ...] = ()
    taken: str = ""
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[Note, ...] = ()


def origin(scene: Scene, facts: Facts, copies: Copies, wanted: Wanted) -> Origin:
    """Return where the disks are copied from; `facts` are as they will be by then."""
    if wanted.backup is not None:
        return _from_backup(scene, copies, wanted.backup)
    if wanted.from_set:
        return _from_set(scene, copies, wanted.from_set)
    if not active(scene.domains[copies.source.name]):
        return _from_disks(scene, copies)
    return _from_new_set(scene, facts, copies, wanted)


def _from_backup(scene: Scene, copies: Copies, subject: Subject) -> Origin:
    records = {one.disk: one for one in subject.manifest.disks}
    name = f"{subject.entry.guest}@{subject.entry.moment}"
    lost = gone(subject)
    found: list[str] = []
    fills: list[tuple[Size, tuple[Command, ...]]] = []
    folder = fetch_dir(copies.clone.name)
    program = scene.facts.units.command
    for disk, new in copies.pairs:
        record = records.get(disk.name)
        if record is None:
            found.append(f"the backup {name} has no disk {disk.name}")
        elif disk.name in lost:
            found.append(f"disk {disk.name} of the backup {name} is gone from the repository")
        elif record.size > scene.lv_size(new):
            found.append(f"its disk {disk.name} is larger in the backup {name} than it is now")
        else:
            commands = fetched(subject, record, scene.path(new), folder, program)
            fills.append((record.size, commands))
    hint = f"look at: kvmkeep backup show {name}"
    return Origin(
        fills=tuple(fills),
        how=f" as they were at the backup {name}",
        after=(tidy(folder),),
        refusals=(
            *secret_refusals(scene.facts, subject.repository),
            *(
                Refusal(subject=f"guest {copies.source.name}", reason=reason, hint=hint)
                for reason in found
            ),
        ),
    )


def _from_disks(scene: Scene, copies: Copies) -> Origin:
    source = copies.source
    subject = f"guest {source.name}"
    opened = [volume for disk, _ in copies.pairs if (volume := scene.volumes[disk.lv]).opened]
    # QEMU's own locks keep the guest from starting meanwhile; others may write all the same.
    off = has_state(source, DomainState.SHUTOFF)
    return Origin(
        paths=tuple(scene.path(disk) for disk, _ in copies.pairs),
        how=f", while {source.name} is off",
        steps=mend_steps(scene, source),
        before=(off, *activation(scene, source)),
        still=(off,),
        notes=_as_saved(scene, source),
        refusals=tuple(
            Refusal(
                subject=subject,
                reason=f"it is off, but something has {volume.full_name} open",
                hint=who_has(volume.full_name),
            )
            for volume in opened
        ),
    )


def _as_saved(scene: Scene, source: Guest) -> tuple[Note, ...]:
    if not sleeps(scene.own_domain(source)):
        return ()
    text = "its memory is saved (virsh managedsave): its disks are as after a power cut"
    return (Note(subject=f"guest {source.name}", text=text),)


def _from_set(scene: Scene, copies: Copies, name: str) -> Origin:
    source, vg = copies.source, scene.spec.storage.vg
    one = next((one for one in sets_of(scene, source) if one.name == name), None)
    members = {} if one is None else {member.origin: member for member in one.members}
    reason = ""
    if one is None:
        reason = f"it has no set {name}"
    elif one.trouble:
        reason = f"the set {name} is no good: {one.trouble}"
    elif not {disk.lv for disk, _ in copies.pairs} <= members.keys():
        reason = f"the set {name} is not of all its disks"
    if reason or one is None:
        hint = f"look at: kvmkeep snapshot list {source.name}"
        return Origin(refusals=(Refusal(subject=f"guest {source.name}", reason=reason, hint=hint),))
    found = [members[disk.lv] for disk, _ in copies.pairs]
    return Origin(
        paths=tuple(lv_path(vg, member.name) for member in found),
        how=f" as they were at {name}",
        steps=mend_steps(scene, source),
        before=tuple(
            activate(member.full_name, "activate the snapshot")
            for member in found
            if not member.active
        ),
    )


def _from_new_set(scene: Scene, facts: Facts, copies: Copies, wanted: Wanted) -> Origin:
    source, clone = copies.source, copies.clone
    wish = SnapshotRequest(
        guests=(source.name,),
        moment=wanted.moment,
        level=wanted.level,
        size=wanted.size,
        new_guest=clone.name,
    )
    plan = plan_create(scene.spec, facts, wish)
    second = second_stamp(wanted.moment)
    there = [one for one in sets_of(scene, source) if one.taken == second and not one.trouble]
    name = there[0].name if there else set_name(scene, source, wish)
    vg = scene.spec.storage.vg
    snapshots = [f"{disk.lv}-{name}" for disk, _ in copies.pairs]
    marks = (TAG_OURS, TAG_FOR + clone.name, TAG_SET + name)
    why = "the disks are copied: delete the snapshot that was taken for it"
    return Origin(
        paths=tuple(lv_path(vg, lv) for lv in snapshots),
        how=f" as they were at {name}, and delete that set",
        steps=plan.steps,
        after=tuple(command for lv in snapshots for command in removal(f"{vg}/{lv}", marks, why)),
        taken=name,
        refusals=plan.refusals,
        notes=plan.notes,
    )
