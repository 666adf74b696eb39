"""The plan of `snapshot revert`: a guest that is off takes its disks back from a set.

`lvconvert --merge` ends well too where it only notes the merge for a later activation, since
something has the origin open; the guest would then be rolled back silently at some later boot. So
a guest is not started before each merge is seen to run. While one runs, the origin shows what it
will be (lvmraid and lvconvert(8), "Merge snapshot").
"""

from __future__ import annotations

from enum import Enum, auto
from typing import assert_never

from msgspec import Struct

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import TAG_REVERT
from kvmkeep.model.plan import Note, Noun, Plan, Reason, Refusal, Risk, Step, refused
from kvmkeep.model.snapshot import SnapshotSet, tag_value
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.commands import has_state, is_guest
from kvmkeep.planning.disks.storage import activation
from kvmkeep.planning.lvm import selected, who_has
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.saved import saved_reasons
from kvmkeep.planning.running.shutdown import shutdown_actions
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, active, make_scene, owned
from kvmkeep.planning.snapshots.again import AFTER, goes_on, runs_again, start_again
from kvmkeep.planning.snapshots.keep import keep_notes, keep_refusals, keep_steps
from kvmkeep.planning.snapshots.lost import LOST_MEANWHILE, lost_note, lost_set, unmark_step
from kvmkeep.planning.snapshots.mend import held, sets_of, thaw_steps
from kvmkeep.planning.snapshots.overfill import overfilled
from kvmkeep.planning.snapshots.removal import still_good, still_ours

_LIST = "choose another: kvmkeep snapshot list"


def plan_revert(
    spec: Spec, facts: Facts, name: str, to: str, limit: int = 0, *, keep: str = ""
) -> Plan:
    """Plan to take a guest back to the set `to`; where there is none, that is done already.

    A guest that runs is shut down first and waited for, up to `limit` seconds; 0 refuses that.
    `keep` is a time of ISO 8601: the present state is kept as a new set, named after it.
    """
    order = in_order(spec, (GuestName(name),))
    scene = make_scene(spec, facts, order.guests)
    plans = [_plan(scene, guest, to, limit, keep) for guest in scene.guests]
    steps = tuple(step for plan in plans for step in plan.steps)
    refusals = tuple(refusal for plan in plans for refusal in plan.refusals)
    return Plan(
        steps=steps,
        refusals=(
            *order.refusals,
            *guards.unseen(scene),
            *programs.missing_tools(scene, steps),
            *groups.whole_group(scene, steps),
            *guards.shared_disks(scene),
            *refusals,
        ),
        notes=tuple(note for plan in plans for note in plan.notes),
    )


class _Reached(Enum):
    """How far a revert is, which only what lies on the disks tells."""

    DONE = auto()
    """There is no such set, and nothing is left to do: it was done already."""
    TO_START = auto()
    """All disks are back; the guest ran before, and has to run again."""
    BEGUN = auto()
    """Disks are marked: some may be back, and the others have to follow."""
    NOT_BEGUN = auto()
    """The set is there, and nothing was done yet."""


class _Revert(Struct, frozen=True, kw_only=True):
    """What a guest's plan is made of.

    `to` is the set's name, `taken` the set, as far as there is any of it. `marked` are the names
    of the disks that are being taken back; `runs_again` tells that a run shut the guest down.
    `limit` and `keep` are those of `plan_revert`.
    """

    scene: Scene
    guest: Guest
    to: str
    taken: SnapshotSet | None
    marked: frozenset[str]
    runs_again: bool
    limit: int
    keep: str

    @property
    def on(self) -> bool:
        return active(self.scene.domains[self.guest.name])

    @property
    def members(self) -> tuple[Volume, ...]:
        return () if self.taken is None else self.taken.members

    @property
    def origins(self) -> list[str]:
        return sorted({member.origin for member in self.members} | self.marked)


def _reached(revert: _Revert) -> _Reached:
    """Return how far a revert is."""
    if revert.marked:
        return _Reached.BEGUN
    if revert.taken is not None:
        return _Reached.NOT_BEGUN
    return _Reached.TO_START if revert.runs_again else _Reached.DONE


def _plan(scene: Scene, guest: Guest, to: str, limit: int, keep: str) -> Plan:
    refusal = not_a_guest(scene, guest)
    if refusal is not None:
        return Plan(refusals=(refusal,))
    revert = _Revert(
        scene=scene,
        guest=guest,
        to=to,
        taken=next((one for one in sets_of(scene, guest) if one.name == to), None),
        marked=frozenset(v.name for v in _volumes(scene, guest) if TAG_REVERT + to in v.tags),
        runs_again=runs_again(scene, guest),
        limit=limit,
        keep=keep,
    )
    lost = _lost(revert)
    if lost is not None:
        return _give_up(revert, lost)
    reached = _reached(revert)
    match reached:
        case _Reached.DONE:
            return Plan()
        case _Reached.TO_START:
            return Plan(steps=(goes_on(revert.scene, revert.guest),))
        case _Reached.BEGUN | _Reached.NOT_BEGUN:
            return _go_back(revert)
        case _:  # pragma: no cover - the type checker proves it
            assert_never(reached)


def _go_back(revert: _Revert) -> Plan:
    """Plan to take the guest back, from wherever a run that was stopped has come to."""
    scene, guest, to, keep = revert.scene, revert.guest, revert.to, revert.keep
    refusals = _refusals(revert) + (_keep_refusals(revert) if keep else ())
    if refusals:
        return Plan(refusals=refusals)
    unmarked = set(revert.origins) - revert.marked
    return Plan(
        steps=(
            *thaw_steps(scene, guest),
            *((_shutdown(scene, guest, revert.limit),) if revert.on else ()),
            *_activate(scene, guest),
            *((_mark(revert),) if unmarked else ()),
            *(keep_steps(scene, guest, to, keep) if keep else ()),
            *_merges(revert),
            _finish(scene, guest, to, revert.origins),
            *((start_again(scene, guest),) if revert.on or revert.runs_again else ()),
        ),
        notes=(*_younger(revert), *(keep_notes(scene, guest, to, keep) if keep else ())),
    )


def _lost(revert: _Revert) -> SnapshotSet | None:
    """Return the set where a run before this one has begun, and it can't be gone back to."""
    begun = revert.marked or (revert.runs_again and not revert.on)
    return lost_set(revert.taken, _volumes(revert.scene, revert.guest)) if begun else None


def _give_up(revert: _Revert, lost: SnapshotSet) -> Plan:
    lvs = [revert.scene.full_name(name) for name in sorted(revert.marked)]
    return Plan(
        steps=(
            *((unmark_step(lost, lvs),) if lvs else ()),
            *((goes_on(revert.scene, revert.guest),) if revert.runs_again else ()),
        ),
        notes=(lost_note(lost),),
    )


def _younger(revert: _Revert) -> tuple[Note, ...]:
    """Tell of disks that the set has nothing of: they stay as they are today."""
    scene, guest, taken = revert.scene, revert.guest, revert.taken
    if taken is None or taken.trouble:
        return ()
    text = f"it is not in the set {revert.to}, and stays as it is today beside those that go back"
    return tuple(
        Note(subject=f"guest {guest.name}", text=f"its disk {disk.name}: {text}")
        for disk in guest.volumes
        if disk.lv not in revert.origins and scene.volume(disk) is not None
    )


def _merges(revert: _Revert) -> tuple[Step, ...]:
    one = revert.taken
    return () if one is None else tuple(_merge(revert.guest, one, each) for each in one.members)


def _keep_refusals(revert: _Revert) -> tuple[Refusal, ...]:
    whole = revert.taken if revert.taken is not None and not revert.taken.trouble else None
    return keep_refusals(revert.scene, revert.guest, revert.to, revert.keep, whole)


def _volumes(scene: Scene, guest: Guest) -> list[Volume]:
    found = ((disk, scene.volume(disk)) for disk in guest.volumes)
    return [volume for disk, volume in found if volume is not None and owned(volume, guest, disk)]


def _refusals(revert: _Revert) -> tuple[Refusal, ...]:
    scene, guest, to, taken = revert.scene, revert.guest, revert.to, revert.taken
    volumes = {volume.name: volume for volume in _volumes(scene, guest)}
    begun = _reached(revert) is _Reached.BEGUN
    found = [
        *_of_domain(scene, guest, revert.limit, begun=begun),
        *(pair for volume in volumes.values() for pair in _of_volume(guest, volume, to)),
    ]
    if taken is not None and taken.trouble and not begun:
        found.append((f"the set {to} is no good: {taken.trouble}", _LIST))
    for member in revert.members:
        found += _of_member(guest, member, volumes.get(member.origin), begun=begun, on=revert.on)
    if taken is not None and not begun:
        found += [pair for each in taken.members for pair in overfilled(scene, guest, taken, each)]
    return refused(f"guest {guest.name}", found)


def _of_domain(scene: Scene, guest: Guest, limit: int, *, begun: bool) -> list[Reason]:
    domain = scene.domains[guest.name]
    if not active(domain):
        return saved_reasons(domain)
    if begun:
        hint = f"shut it down: kvmkeep shutdown {guest.name}"
        return [("it runs in the middle of its revert", hint)]
    if domain.state is not DomainState.RUNNING and not held(scene, guest):
        return [(f"it is {domain.state}", f"end that first: virsh domstate {guest.name}")]
    if not limit:
        return [("it runs", "have it shut down, and started again afterwards: --shutdown")]
    return []


def _of_volume(guest: Guest, volume: Volume, to: str) -> list[Reason]:
    other = tag_value(volume, TAG_REVERT)
    if other not in {"", to}:
        hint = f"finish that: kvmkeep snapshot revert {guest.name} {other}"
        return [(f"it is being reverted to {other}", hint)]
    if volume.merge_failed:
        return [(f"the merge into {volume.name} failed", "look at: dmesg; lvs -a -o +lv_merging")]
    return []


def _of_member(
    guest: Guest, member: Volume, origin: Volume | None, *, begun: bool, on: bool
) -> list[Reason]:
    if member.invalid and begun:
        hint = f"bring the disks back from a backup: kvmkeep backup restore {guest.name}"
        return [(f"{member.name} has become invalid, and not all disks can go back", hint)]
    if origin is None:
        hint = f"look at: lvs -o +lv_tags {member.vg}/{member.origin}"
        return [(f"{member.name} is of {member.origin}, no disk of this guest", hint)]
    if origin.merging:
        return [(f"{origin.name} is still merging", "wait: kvmkeep snapshot list tells how far")]
    opened = [one.name for one in (origin, member) if one.opened]
    if opened and not (on and opened == [origin.name]):
        lv = opened[-1]
        return [(f"something has {lv} open", who_has(f"{member.vg}/{lv}"))]
    return []


def _shutdown(scene: Scene, guest: Guest, limit: int) -> Step:
    note = Command(
        argv=("lvchange", "--addtag", AFTER, scene.full_name(guest.root.lv)),
        why="note that the guest ran: it is started again in the end",
    )
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="shut it down, and wait until it is off",
        why="its disks can only be taken back while nothing has them open",
        probe=is_guest(guest),
        actions=(note, *shutdown_actions(scene, guest, limit)),
        risk=Risk.GUEST,
    )


def _activate(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    commands = activation(scene, guest)
    if not commands:
        return ()
    step = Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what="activate its disks",
        why="only then it shows whether a snapshot got full, and merges begin",
        probe=has_state(guest, DomainState.SHUTOFF),
        actions=commands,
    )
    return (step,)


def _mark(revert: _Revert) -> Step:
    scene, guest, to, taken = revert.scene, revert.guest, revert.to, revert.taken
    # Until the guest was off it wrote, and so filled the snapshots.
    looks = () if taken is None else (still_good(taken, m, LOST_MEANWHILE) for m in taken.members)
    mark = Command(
        argv=("lvchange", "--addtag", TAG_REVERT + to, *map(scene.full_name, revert.origins)),
        why="from now on nothing starts the guest before all of its disks are taken back",
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"mark its disks as being reverted to {to}",
        why="a run that is stopped in the middle is finished by the next",
        probe=has_state(guest, DomainState.SHUTOFF),
        actions=tuple(looks),
        place=(mark,),
    )


def _merge(guest: Guest, one: SnapshotSet, member: Volume) -> Step:
    merge = Command(
        argv=("lvconvert", "--yes", "--background", "--merge", member.full_name),
        why="copy the old blocks back (LVM merges the snapshot)",
        timeout=120.0,
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"take {member.vg}/{member.origin} back to {one.name}",
        why="what was written to it since is lost",
        probe=still_ours(one, member),
        actions=(merge,),
        risk=Risk.GUEST,
    )


def _finish(scene: Scene, guest: Guest, to: str, origins: list[str]) -> Step:
    lvs = [scene.full_name(name) for name in origins]
    refresh = Command(
        argv=("lvchange", "--refresh", *lvs), why="begin a merge that was put off: see lvconvert(8)"
    )
    # A merge that waits has no percentage, since the kernel has no table of it yet.
    select = "lv_merging!=merging || data_percent>=0"
    polls = (
        Poll(
            command=selected(lv, select, "see that the merge runs, or is done"),
            limit=60.0,
            message=f"the merge of {lv} to begin",
            otherwise=f"something has {lv} open: lsof /dev/{lv}; dmsetup ls --tree",
        )
        for lv in lvs
    )
    unmark = Command(
        argv=("lvchange", "--deltag", TAG_REVERT + to, *lvs), why="the guest may start again"
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {guest.name}",
        what=f"see that all of its disks are back at {to}",
        why="the guest must not start on some old and some new disks",
        probe=has_state(guest, DomainState.SHUTOFF),
        actions=(refresh, *polls, unmark),
    )
