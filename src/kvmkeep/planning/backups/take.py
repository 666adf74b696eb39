"""The beginning and the end of `backup run`: a set of snapshots to read from, and its deletion.

Only one run on a host makes backups at a time. So whatever wears the mark of a backup and is not
of this run is what a dead one left, and goes.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import TAG_BACKUP, second_stamp, staging_dir
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.snapshot import Level, SnapshotSet, snapshot_sets, tag_value
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.init import repository_refusals
from kvmkeep.planning.backups.owner import is_meant, stored_in
from kvmkeep.planning.backups.vanished import vanished_notes
from kvmkeep.planning.commands import remove_tree
from kvmkeep.planning.repositories.engine import driver
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from kvmkeep.planning.snapshots.removal import removal

_LEAST_PART = 20
"""A snapshot is not made smaller than this part of its disk: it would soon be full."""


class Beginning(Struct, frozen=True, kw_only=True):
    """What is asked for: a set of a guest at `moment`, a time of ISO 8601.

    `level` is None where the agent decides. `size` is that of each snapshot; None for full size,
    or as much as there is room for.
    """

    guest: GuestName
    moment: str
    level: Level | None = None
    size: Size | None = None


def plan_take(spec: Spec, facts: Facts, beginning: Beginning) -> Plan:
    """Plan the set; what dead runs have left goes first. `facts` have the guest's repository."""
    guest = spec.guest(beginning.guest)
    refusals = backup_refusals(spec, facts, beginning.guest)
    if guest is None or guest.backup is None or refusals:
        return Plan(refusals=refusals)
    ours = set_for_backup(spec, facts, guest, beginning.moment)
    stored = _stored(spec, facts, guest.name, guest.backup.repository)
    second = second_stamp(beginning.moment)
    if second in stored and (ours is None or ours.trouble):
        reason = f"repository {guest.backup.repository} has something of its moment {second}"
        hint = "run this again; if it is so each time, see that the clock is right: timedatectl"
        return Plan(refusals=(Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint),))
    dropping = _dropping(spec, facts, ours)
    later = _without(spec, facts, ours)
    wish = SnapshotRequest(
        guests=(guest.name,),
        moment=beginning.moment,
        level=beginning.level,
        size=beginning.size or _size(spec, later, guest),
        repository=guest.backup.repository,
        stored=stored,
    )
    plan = plan_create(spec, later, wish)
    notes = (*vanished_notes(spec, facts), *plan.notes)
    return replace(plan, steps=(*dropping, *plan.steps), notes=notes)


def leftovers(spec: Spec, facts: Facts) -> tuple[Step, ...]:
    """Return what deletes all that dead runs have left; nothing while a run is at work."""
    return () if facts.backups.running else _dropping(spec, facts, None)


def plan_drop(spec: Spec, facts: Facts) -> Plan:
    """Plan the end: no set and no directory of a backup stays."""
    scene = make_scene(spec, facts, ())
    steps = _dropping(spec, facts, None)
    return Plan(
        steps=steps, refusals=(*guards.blind_for(scene), *programs.missing_tools(scene, steps))
    )


def backup_sets(spec: Spec, facts: Facts) -> tuple[SnapshotSet, ...]:
    """Return all sets that were taken to be backed up."""
    sets = snapshot_sets(facts.volumes, spec.storage.vg)
    return tuple(one for one in sets if repository_of(one))


def repository_of(one: SnapshotSet) -> str:
    """Return the repository that a set was taken for; empty where it was not taken for any."""
    return next((name for each in one.members if (name := tag_value(each, TAG_BACKUP))), "")


def set_for_backup(spec: Spec, facts: Facts, guest: Guest, moment: str) -> SnapshotSet | None:
    """Return the set that was taken of a guest at a moment to be backed up."""
    taken = second_stamp(moment)
    sets = backup_sets(spec, facts)
    return next((one for one in sets if (one.guest, one.taken) == (guest.name, taken)), None)


def backup_refusals(spec: Spec, facts: Facts, name: GuestName) -> tuple[Refusal, ...]:
    """Return why a guest can't be backed up: all that can be known before anything is done."""
    subject = f"guest {name}"
    guest = spec.guest(name)
    if guest is None:
        hint = "`kvmkeep list` shows the guests; was it renamed?"
        return (Refusal(subject=subject, reason="the spec has no such guest", hint=hint),)
    if guest.backup is None:
        hint = "write `backup: {repository: NAME}` into its file"
        return (Refusal(subject=subject, reason="the spec has no backup for it", hint=hint),)
    repository = spec.repository(guest.backup.repository)
    found = list(repository_refusals(facts, repository))
    found += _tools(facts, repository)
    if guest.files:
        names = ", ".join(disk.path for disk in guest.files)
        reason = f"its disk {names} is a file: there is no snapshot of it to read from"
        hint = "copy it to a logical volume, or have something else back the guest up"
        found.append(Refusal(subject=subject, reason=reason, hint=hint))
    return tuple(found)


def _stored(spec: Spec, facts: Facts, guest: str, repository: str) -> frozenset[str]:
    """Return the moments of which a repository has anything of that guest of this host.

    A set of the same name would be taken for what lies there, or mixed up with it. What it has
    under another name that the guest had is called by that moment too.
    """
    return frozenset(
        e.moment
        for one in facts.backups.repositories
        if one.name == repository
        for e in stored_in(one)
        if e.host == spec.host.name and (e.guest == guest or is_meant(spec, e, guest))
    )


def _tools(facts: Facts, repository: Repository) -> tuple[Refusal, ...]:
    """Refuse where the engine is not installed; `prune` stands for all of its commands."""
    words = driver(repository, facts.units.command).prune()
    step = Step(noun=Noun.STORAGE, subject="", what="store what is read", why="", actions=(words,))
    return programs.tools_of({tool.name: tool for tool in facts.tools}, (step,))


def _dropping(spec: Spec, facts: Facts, kept: SnapshotSet | None) -> tuple[Step, ...]:
    """Return what deletes all of backups that are on their way, but for one."""
    why = "a set that was taken for a backup is worth nothing afterwards"
    sets = [one for one in backup_sets(spec, facts) if one != kept or one.trouble]
    held = None if kept is None or kept.trouble else (kept.guest, kept.name)
    folders = [
        staging_dir(one.guest, one.moment)
        for one in facts.backups.staged
        if (one.guest, one.moment) != held
    ]
    steps = [step for one in sets for step in removal(one, why)]
    needless = "the manifest is stored, or the run that made it is dead"
    steps += [
        Step(
            noun=Noun.STORAGE,
            subject="backups",
            what=f"remove {folder}",
            why="it holds what a backup needs while it is made",
            actions=(remove_tree(folder, needless),),
        )
        for folder in folders
    ]
    return tuple(steps)


def _without(spec: Spec, facts: Facts, kept: SnapshotSet | None) -> Facts:
    """Return the facts as they will be without what dead runs have left."""
    sets = [one for one in backup_sets(spec, facts) if one != kept or one.trouble]
    gone = {(member.vg, member.name) for one in sets for member in one.members}
    freed = sum(one.size.bytes for one in sets)
    return replace(
        facts,
        volumes=tuple(one for one in facts.volumes if (one.vg, one.name) not in gone),
        groups=tuple(
            replace(one, free=one.free + Size(freed)) if one.name == spec.storage.vg else one
            for one in facts.groups
        ),
    )


def _size(spec: Spec, facts: Facts, guest: Guest) -> Size | None:
    """Return how large the snapshots can be where full size has no room; None for full size."""
    group = facts.group(spec.storage.vg)
    if group is None:
        return None
    free = group.free.minus(spec.host.storage_reserve)
    sizes = [disk.size.bytes for disk in guest.volumes]
    full = sum(sizes) + sum(sizes) // 1000 + 4 * group.extent.bytes * len(sizes)
    part = Size(free.bytes // len(sizes) // group.extent.bytes * group.extent.bytes)
    if full <= free.bytes or part.bytes * _LEAST_PART < max(sizes):
        return None
    return part
