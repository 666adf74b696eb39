"""The plan of `trash empty`: the only one that destroys what a guest has written.

Each LV of an entry is marked first. Then come its snapshots, then its disks, one by one: zeroed
whole, so that nothing of it can be read by whoever gets its extents next, deactivated, and removed
by its full name, if it still wears our marks. The blocks that a snapshot has kept are reached by
splitting it from its origin (lvconvert(8), "--splitsnapshot").
"""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import STATE_EMPTYING, TRASH_DIR, lv_path, stamped_time
from kvmkeep.model.plan import Noun, Plan, Reason, Step, refused
from kvmkeep.model.spec import Spec
from kvmkeep.model.trash import TrashEntry, original_name, trash_entries, trash_marks
from kvmkeep.planning import guards, programs
from kvmkeep.planning.commands import remove_tree, synced, zero
from kvmkeep.planning.lvm import removal, wears, who_has
from kvmkeep.planning.scene import Scene, make_scene, users_of


def plan_empty(spec: Spec, facts: Facts, names: Iterable[str]) -> Plan:
    """Plan to destroy entries of the trash; one that is not there is gone already."""
    scene = make_scene(spec, facts, ())
    wanted = frozenset(names)
    entries = trash_entries(facts.volumes, spec.storage.vg, facts.trash)
    chosen = [one for one in entries if one.name in wanted]
    refusals = tuple(
        refusal
        for entry in chosen
        for refusal in refused(f"guest {entry.guest}", _reasons(scene, entry))
    )
    steps = () if refusals else tuple(step for one in chosen for step in _steps(one))
    return Plan(
        steps=steps,
        refusals=(*guards.unseen(scene), *programs.missing_tools(scene, steps), *refusals),
    )


def _reasons(scene: Scene, entry: TrashEntry) -> list[Reason]:
    found: list[Reason] = []
    if entry.moving:
        hint = (
            f"finish that (kvmkeep remove {entry.guest}), or take it back "
            f"(kvmkeep trash restore {entry.name})"
        )
        found.append((f"{entry.name} is on its way into the trash or out of it", hint))
    own = {one.name for one in entry.volumes}
    for volume in entry.volumes:
        lv = volume.full_name
        users = users_of(scene, volume.name, volume.device)
        if users:
            found.append((f"{lv} is a disk of the domain {users[0]}", "take it out of it first"))
        elif volume.opened:
            found.append((f"something has {lv} open", who_has(lv)))
        if volume.origin and volume.origin not in own:
            hint = f"look at: lvs -o +lv_tags,origin {lv}"
            found.append((f"{lv} is a snapshot of {volume.origin}, which is not of it", hint))
        if volume.merging:
            found.append((f"{lv} is being merged", "wait: lvs -a -o +lv_merging"))
        foreign = [
            one.full_name
            for one in scene.volumes.values()
            if one.origin == volume.name and one.name not in own
        ]
        if foreign:
            hint = "whoever made it has to remove it first"
            found.append((f"{lv} has a snapshot that is not of the trash: {foreign[0]}", hint))
    return found


def _steps(entry: TrashEntry) -> tuple[Step, ...]:
    steps: list[Step] = []
    subject = f"guest {entry.guest}"
    unmarked = [one for one in entry.volumes if STATE_EMPTYING not in one.tags]
    if unmarked:
        steps.append(_mark(entry, unmarked))
    steps += [_destroy(entry, one) for one in entry.volumes]
    if entry.folder is not None:
        folder = f"{TRASH_DIR}/{entry.name}"
        steps.append(
            Step(
                noun=Noun.STORAGE,
                subject=subject,
                what=f"delete {folder}: {' '.join(entry.folder.files)}",
                why="nothing of the guest is left that it would be of use for",
                actions=(remove_tree(folder, "delete what was kept of it"),),
            )
        )
    return tuple(steps)


def _mark(entry: TrashEntry, unmarked: list[Volume]) -> Step:
    look = "see that the LV lies in the trash, and that nothing has it open"
    looks = [wears(one, trash_marks(one), look, unused=True) for one in unmarked]
    mark = Command(
        argv=("lvchange", "--addtag", STATE_EMPTYING, *(one.full_name for one in unmarked)),
        why="from now on it can't be restored as if it were whole",
    )
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {entry.guest}",
        what=f"mark {entry.name} as being destroyed",
        why="you asked for it",
        probe=looks[0],
        actions=(*looks[1:], mark),
    )


def _destroy(entry: TrashEntry, volume: Volume) -> Step:
    time = stamped_time(entry.stamp)
    since = f", in the trash since {time:%Y-%m-%d %H:%M} UTC" if time is not None else ""
    device = lv_path(volume.vg, volume.name)
    return Step(
        noun=Noun.STORAGE,
        subject=f"guest {entry.guest}",
        what=(
            f"DESTROY LV {volume.full_name} (it was {original_name(volume)}, "
            f"{volume.size}{since}): zero it, then remove it"
        ),
        why="you asked for it; nothing of it can be read by whoever gets its place",
        probe=wears(
            volume, _marks(volume), "see that the LV is the one to destroy, and is not open",
            unused=True,
        ),
        actions=(
            *_reached(entry, volume),
            zero(device, 0, volume.size.bytes, "zero all of it"),
            synced(device, "have the zeros on the disks before its place is given away"),
            _activation(volume.full_name, on=False),
            *removal(volume.full_name, _marks(volume), "remove it, if it still wears our marks"),
        ),
    )  # fmt: skip


def _marks(volume: Volume) -> tuple[str, ...]:
    return (*trash_marks(volume), STATE_EMPTYING)


def _reached(entry: TrashEntry, volume: Volume) -> tuple[Command, ...]:
    """Return what makes the LV's own blocks a device that can be written."""
    commands: list[Command] = []
    if volume.origin:
        # A snapshot is active with its origin, and no sooner is it inactive.
        commands.append(_activation(f"{volume.vg}/{volume.origin}", on=False))
        split = ("lvconvert", "--splitsnapshot", volume.full_name)
        commands.append(Command(argv=split, why="give the blocks that it kept an LV of their own"))
    if volume.attributes[1:2] == "r":
        argv = ("lvchange", "--permission", "rw", volume.full_name)
        commands.append(Command(argv=argv, why="make it writable"))
    had_snapshots = any(one.origin == volume.name for one in entry.volumes)
    if volume.origin or had_snapshots or not volume.active:
        commands.append(_activation(volume.full_name, on=True))
    return tuple(commands)


def _activation(lv: str, *, on: bool) -> Command:
    return Command(
        argv=("lvchange", "--activate", "y" if on else "n", lv),
        why="make its device" if on else "take its device away: nothing can open it any more",
    )
