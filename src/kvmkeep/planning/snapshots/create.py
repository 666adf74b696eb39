"""The plan of `snapshot create`: all disks of a guest at one moment, with a guest that runs on."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.command import Action, Command
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import (
    STATE_PARTIAL,
    TAG_BACKUP,
    TAG_EXPIRES,
    TAG_FOR,
    TAG_KEPT,
    TAG_LEVEL,
    TAG_MEMBERS,
    TAG_REVERT,
    TAG_SET,
    TAG_TAKEN,
    check_snapshot_name,
    lv_tags,
    second_stamp,
    utc_stamp,
)
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.snapshot import Level, SnapshotSet, full_size, is_snapshot, tag_value
from kvmkeep.model.spec import Guest, LvDisk, Spec
from kvmkeep.model.units import GuestName, Size, check_lv_name
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.commands import has_state
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.disks.storage import storage_refusals
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.paused import how_to_continue, paused_text
from kvmkeep.planning.running.saved import sleeps
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, active, make_scene, names_of
from kvmkeep.planning.snapshots.mend import held, mend_steps, sets_of
from kvmkeep.planning.snapshots.window import agent_answers, window

_TAKEN = frozenset({
    DomainState.SHUTOFF, DomainState.RUNNING, DomainState.PAUSED, DomainState.CRASHED
})  # fmt: skip
_MANY = 2
"""More snapshots than this of one LV slow its writes down a lot."""


class SnapshotRequest(Struct, frozen=True, kw_only=True):
    """What is asked for.

    `moment` is a time of ISO 8601: it gives the set its name. `level` is None where the agent
    decides: frozen if it is connected. `size` is that of each snapshot; None for full size, which
    can't overflow. `expires` is a time of ISO 8601, or empty. `new_guest` is the one that the set
    is taken for, if it is taken to make a clone; `kept_before` the set whose revert it is taken
    before, if it keeps what that takes away; `repository` where it is to be backed up, and `stored`
    what there is of it there already.
    """

    guests: tuple[str, ...]
    moment: str
    level: Level | None = None
    size: Size | None = None
    expires: str = ""
    new_guest: str = ""
    kept_before: str = ""
    repository: str = ""
    stored: frozenset[str] = frozenset()


def plan_create(spec: Spec, facts: Facts, wish: SnapshotRequest) -> Plan:
    """Plan a set for each guest; one that was taken at this very moment is already there."""
    order = in_order(spec, (GuestName(name) for name in wish.guests))
    scene = make_scene(spec, facts, order.guests)
    todo = [guest for guest in scene.guests if not _taken(scene, guest, wish)]
    refusals = [refusal for guest in todo for refusal in _refusals(scene, guest, wish)]
    steps = () if refusals else tuple(s for one in todo for s in _steps(scene, one, wish))
    mending = tuple(s for one in scene.guests if one not in todo for s in mend_steps(scene, one))
    if todo and not refusals:
        refusals.extend(room(scene, todo, wish))
    return Plan(
        steps=(*mending, *steps),
        refusals=(
            *order.refusals,
            *guards.blind_for(scene, scene.guests),
            *programs.missing_tools(scene, steps),
            *groups.group_exists(scene),
            *groups.whole_group(scene, steps),
            *guards.shared_disks(scene),
            *refusals,
        ),
        notes=tuple(note for guest in todo for note in _notes(scene, guest, wish)),
    )


def level_of(scene: Scene, guest: Guest, wish: SnapshotRequest) -> Level:
    """Return how consistent the set of a guest will be."""
    domain = scene.domains[guest.name]
    if not active(domain):
        return Level.CRASH if _unclean(scene, guest, domain) else Level.OFF
    if _stands(scene, guest, domain):
        return Level.CRASH
    return wish.level or (Level.FROZEN if domain.agent else Level.CRASH)


def _unclean(scene: Scene, guest: Guest, domain: Domain) -> str:
    """Return why the disks of a guest that is off may be in the middle of a write, if so."""
    if sleeps(domain):
        return "its memory is saved (virsh managedsave)"
    opened = [volume.full_name for _, volume in _disks(scene, guest) if volume.opened]
    return f"it is off, but something has {', '.join(opened)} open" if opened else ""


def _taken(scene: Scene, guest: Guest, wish: SnapshotRequest) -> SnapshotSet | None:
    taken = second_stamp(wish.moment)
    return next(
        (one for one in sets_of(scene, guest) if one.taken == taken and not one.trouble), None
    )


def set_name(scene: Scene, guest: Guest, wish: SnapshotRequest) -> str:
    """Return the set's name: the minute, or the second where the minute's name is taken."""
    minute = utc_stamp(wish.moment)
    others = wish.stored | {one.name for one in sets_of(scene, guest) if not one.partial}
    named = (scene.volumes.get(f"{disk.lv}-{minute}") for disk in guest.volumes)
    foreign = any(one is not None and not is_snapshot(one) for one in named)
    return second_stamp(wish.moment) if foreign or minute in others else minute


def _stands(scene: Scene, guest: Guest, domain: Domain) -> bool:
    """Whether the guest stands still by itself or by somebody else: it then stays so."""
    if domain.state is DomainState.CRASHED:
        return True
    return domain.state is DomainState.PAUSED and not held(scene, guest)


def _disks(scene: Scene, guest: Guest) -> list[tuple[LvDisk, Volume]]:
    found = ((disk, scene.volume(disk)) for disk in guest.volumes)
    return [(disk, volume) for disk, volume in found if volume is not None]


def _steps(scene: Scene, guest: Guest, wish: SnapshotRequest) -> tuple[Step, ...]:
    return (*mend_steps(scene, guest), *take_steps(scene, guest, wish))


def take_steps(scene: Scene, guest: Guest, wish: SnapshotRequest) -> tuple[Step, ...]:
    """Return what takes a set of one guest, and then says that it is complete."""
    level, name = level_of(scene, guest, wish), set_name(scene, guest, wish)
    disks = _disks(scene, guest)
    domain = scene.domains[guest.name]
    creates = tuple(_create(scene, guest, disk, wish) for disk, _ in disks)
    actions: tuple[Action, ...] = creates
    finally_: tuple[Command, ...] = ()
    probe = has_state(guest, domain.state)
    if active(domain) and not _stands(scene, guest, domain):
        around = window(scene, guest, level, len(disks))
        actions, finally_ = (*around.before, *creates, around.still), around.after
        probe = has_state(guest, DomainState.RUNNING)
        if level is Level.FROZEN:
            probe = agent_answers(guest)
    how = {
        Level.FROZEN: "with its filesystems frozen and the guest suspended meanwhile",
        Level.CRASH: "with the guest suspended meanwhile; its filesystems are not frozen",
        Level.OFF: "while the guest is off",
    }[level]
    if level is Level.CRASH and not active(domain):
        how = "while the guest is off, but as after a power cut"
    count = "1 disk" if len(disks) == 1 else f"{len(disks)} disks"
    take = Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"take set {name} of its {count}, {how}",
        why="all disks of the set show the same moment",
        probe=probe,
        actions=actions,
        finally_=finally_,
        risk=Risk.GUEST if finally_ else Risk.NONE,
    )
    lvs = (scene.full_name(f"{disk.lv}-{name}") for disk, _ in disks)
    good = Command(
        argv=("lvchange", "--deltag", STATE_PARTIAL, *lvs),
        why="the set is complete, and may be gone back to",
    )
    complete = Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"mark set {name} as complete",
        why="until then no revert accepts it, and the next run deletes it",
        actions=(good,),
    )
    return (take, complete)


def _create(scene: Scene, guest: Guest, disk: LvDisk, wish: SnapshotRequest) -> Command:
    name, level = set_name(scene, guest, wish), level_of(scene, guest, wish)
    tags = (
        *lv_tags(guest.name, disk.name),
        TAG_SET + name,
        TAG_TAKEN + second_stamp(wish.moment),
        TAG_LEVEL + level,
        TAG_MEMBERS + str(len(_disks(scene, guest))),
        *((TAG_EXPIRES + second_stamp(wish.expires),) if wish.expires else ()),
        *((TAG_FOR + wish.new_guest,) if wish.new_guest else ()),
        *((TAG_KEPT + wish.kept_before,) if wish.kept_before else ()),
        *((TAG_BACKUP + wish.repository,) if wish.repository else ()),
        STATE_PARTIAL,
    )
    size = _size(scene, disk, wish)
    whole = size == _full(scene, disk)
    sized = ("--extents", "100%ORIGIN") if whole else ("--size", f"{size.bytes}b")
    return Command(
        argv=(
            "lvcreate", "--snapshot", "--permission", "r", "--chunksize", "256k", *sized,
            "--name", f"{disk.lv}-{name}", *(word for tag in tags for word in ("--addtag", tag)),
            scene.full_name(disk.lv),
        ),
        why=f"take the snapshot of disk {disk.name}, marked as ours and as part of no set yet",
    )  # fmt: skip


def _full(scene: Scene, disk: LvDisk) -> Size:
    extent = scene.group.extent if scene.group is not None else Size(1)
    return full_size(scene.lv_size(disk), extent)


def _size(scene: Scene, disk: LvDisk, wish: SnapshotRequest) -> Size:
    full = _full(scene, disk)
    return full if wish.size is None else min(full, scene.rounded(wish.size))


def room(scene: Scene, guests: list[Guest], wish: SnapshotRequest) -> tuple[Refusal, ...]:
    """Refuse more than the volume group has free, without the host's reserve."""
    group = scene.group
    if group is None:
        return ()
    disks = [disk for guest in guests for disk, _ in _disks(scene, guest)]
    leaving = [one.size for guest in guests for one in sets_of(scene, guest) if one.partial]
    reserve = scene.spec.host.storage_reserve
    free = (group.free + Size(sum(size.bytes for size in leaving))).minus(reserve)
    needed = Size(sum(_size(scene, disk, wish).bytes for disk in disks))
    if needed <= free:
        return ()
    each = Size(free.bytes // len(disks))
    hint = "delete old sets (`kvmkeep snapshot list`), or extend the volume group"
    if each > group.extent:
        hint = (
            "take smaller snapshots, which become invalid when they are full: "
            f"--size {each.bytes // (1 << 20)}MiB, and `kvmkeep snapshot watch`"
        )
    reason = (
        f"the set needs {needed}, but {free} may be used "
        f"({group.free} are free, {reserve} are the host's reserve)"
    )
    return (Refusal(subject=f"volume group {group.name}", reason=reason, hint=hint),)


def _refusals(scene: Scene, guest: Guest, wish: SnapshotRequest) -> list[Refusal]:
    subject = f"guest {guest.name}"
    refusal = not_a_guest(scene, guest)
    if refusal is not None:
        return [refusal]
    found = [one for one in storage_refusals(scene) if one.subject == subject]
    domain = scene.domains[guest.name]
    if fresh(scene, guest):
        hint = "finish that: kvmkeep apply"
        found.append(Refusal(subject=subject, reason="its first boot is not done yet", hint=hint))
    if domain.state not in _TAKEN:
        reason = f"it is in the state `{domain.state}`, in which it can't be made to stand still"
        hint = f"wait, and look again: virsh domstate {guest.name}"
        found.append(Refusal(subject=subject, reason=reason, hint=hint))
    elif (
        active(domain)
        and wish.level is Level.FROZEN
        and level_of(scene, guest, wish) is Level.CRASH
    ):
        reason = f"{paused_text(domain)}, so its agent can't freeze anything"
        hint = f"{how_to_continue(domain)}; or leave --consistency out"
        found.append(Refusal(subject=subject, reason=reason, hint=hint))
    for disk, volume in _disks(scene, guest):
        if volume.merging:
            reason = f"{disk.lv} is being reverted; LVM takes no snapshot meanwhile"
            hint = "wait until `kvmkeep snapshot list` shows no revert any more"
            found.append(Refusal(subject=subject, reason=reason, hint=hint))
    goals = {tag_value(volume, TAG_REVERT) for _, volume in _disks(scene, guest)}
    for to in sorted(goals - {""}):
        reason = f"its revert to {to} is not done: a set would have disks of different times"
        hint = f"finish that: kvmkeep snapshot revert {guest.name} {to}"
        found.append(Refusal(subject=subject, reason=reason, hint=hint))
    return found + long_names(scene, guest, wish)


def long_names(scene: Scene, guest: Guest, wish: SnapshotRequest) -> list[Refusal]:
    """Refuse names of snapshots that LVM or device mapper would refuse."""
    found: list[Refusal] = []
    for disk, _ in _disks(scene, guest):
        try:
            check_lv_name(f"{disk.lv}-{second_stamp(wish.moment)}")
            check_snapshot_name(scene.spec.storage.vg, f"{disk.lv}-{set_name(scene, guest, wish)}")
        except ValueError as error:
            hint = "a shorter name of guest or disk leaves room for the time"
            found.append(Refusal(subject=f"guest {guest.name}", reason=str(error), hint=hint))
    return found


def _notes(scene: Scene, guest: Guest, wish: SnapshotRequest) -> tuple[Note, ...]:
    subject = f"guest {guest.name}"
    domain = scene.own_domain(guest)
    if domain is None:
        return ()
    texts: list[str] = []
    why = "" if active(domain) else _unclean(scene, guest, domain)
    if active(domain) and wish.level is None and level_of(scene, guest, wish) is Level.CRASH:
        why = "it is suspended" if _stands(scene, guest, domain) else "its agent is not connected"
    if why:
        texts.append(f"{why}: the set will be as after a power cut (crash-consistent)")
    small = [
        disk for disk, _ in _disks(scene, guest) if _size(scene, disk, wish) < _full(scene, disk)
    ]
    if small:
        names = ", ".join(disk.name for disk in small)
        texts.append(
            f"the snapshots of {names} are smaller than the disks: one that gets full is lost; "
            "have them grow in time: kvmkeep snapshot watch"
        )
    if len(sets_of(scene, guest)) >= _MANY:
        texts.append(
            f"it has {len(sets_of(scene, guest))} sets already, and each makes writing slower"
        )
    texts += [
        f"its disk {path} is not in the set: it is no LV of the spec"
        for path in outside_disks(scene, guest, domain)
    ]
    return tuple(Note(subject=subject, text=text) for text in texts)


def outside_disks(scene: Scene, guest: Guest, domain: Domain) -> list[str]:
    """Return the disks of a domain that are no LVs of the spec."""
    known = {name for disk in guest.volumes for name in names_of(scene, disk)}
    return [
        disk.source
        for disk in domain.disks
        if disk.kind == "disk" and disk.source and not {disk.source, disk.device} & known
    ]
