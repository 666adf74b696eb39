"""The plan of `trash restore`: what one removal brought into the trash is taken back.

LVs get their names back first and lose the stamp of the trash last, so a run that was killed is
known by it. Nothing that has one of these names now is touched.
"""

from __future__ import annotations

import posixpath
import shlex

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import Action, Command
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import (
    STATE_FILLING,
    STATE_FRESH,
    TAG_DISK,
    TAG_GUEST,
    TRASH_DIR,
    console_log,
    mapped_name,
)
from kvmkeep.model.plan import Noun, Plan, Reason, Risk, Step, refused
from kvmkeep.model.run_mark import RunMark
from kvmkeep.model.spec import ROOT_DISK, Guest, Spec
from kvmkeep.model.trash import (
    AUTOSTART,
    DEFINITION,
    LOG,
    SAVED,
    VARIABLES,
    TrashEntry,
    original_name,
    trash_entries,
    trash_marks,
)
from kvmkeep.model.trash_folder import KeptDomain
from kvmkeep.model.units import check_lv_name
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.commands import is_guest, no_domain, remove_tree
from kvmkeep.planning.domains.kept_xml import keep_definition
from kvmkeep.planning.domains.run_mark import autostart_step, keep_mark, starting_with_host
from kvmkeep.planning.lvm import wears
from kvmkeep.planning.scene import Scene, active, aliases, make_scene, users_of
from kvmkeep.planning.trash import variables
from kvmkeep.planning.trash.moves import out_of_trash, unmark
from kvmkeep.planning.trash.remove import flushed, move


class TrashRestoreRequest(Struct, frozen=True, kw_only=True):
    """Which entry of the trash is taken back. `folder` is where the spec's guests lie.

    `guest` is what the spec will say of it, where its file is in the trash as well.
    """

    name: str
    folder: str
    guest: Guest | None = None


def plan_restore(spec: Spec, facts: Facts, restoring: TrashRestoreRequest) -> Plan:
    """Plan to take a guest or a disk back; an entry that is not there is back already."""
    scene = make_scene(spec, facts, ())
    entries = trash_entries(facts.volumes, spec.storage.vg, facts.trash)
    entry = next((one for one in entries if one.name == restoring.name), None)
    if entry is None:
        return Plan(refusals=guards.unseen(scene))
    subject = f"guest {entry.guest}"
    reasons = _reasons(scene, entry, restoring)
    steps = () if reasons else _steps(scene, entry, restoring)
    return Plan(
        steps=steps,
        refusals=(
            *guards.unseen(scene),
            *programs.missing_tools(scene, steps),
            *groups.whole_group(scene, steps),
            *variables.unseen(scene, subject, _variables(entry)),
            *refused(subject, reasons),
        ),
    )


def _waiting(entry: TrashEntry) -> list[Volume]:
    """Return the LVs that still have their names of the trash."""
    return [one for one in entry.volumes if original_name(one) != one.name]


def _kept(entry: TrashEntry) -> KeptDomain | None:
    return entry.folder.domain if entry.folder is not None else None


def _variables(entry: TrashEntry) -> str:
    """Return where the variables of its firmware are to lie; empty where it has none."""
    kept = _kept(entry)
    return "" if kept is None else kept.variables


def _reasons(scene: Scene, entry: TrashEntry, restoring: TrashRestoreRequest) -> list[Reason]:
    found: list[Reason] = []
    if entry.emptying:
        hint = f"finish that: kvmkeep trash empty {entry.name}"
        found.append(("its destruction was begun", hint))
    for volume in _waiting(entry):
        found += _of_volume(scene, volume)
    if entry.folder is not None and entry.folder.problem:
        hint = "bring its definition back from a backup"
        found.append((entry.folder.problem, hint))
    kept = _kept(entry)
    if kept is not None:
        found += _of_domain(scene, entry, kept, restoring.guest)
    if entry.folder is None:
        found += _of_nobody(scene, entry)
    return [*found, *_of_files(scene, entry)]


def _of_volume(scene: Scene, volume: Volume) -> list[Reason]:
    name = original_name(volume)
    try:
        check_lv_name(name)
    except ValueError as error:
        hint = f"look at: lvs -o +lv_tags {volume.full_name}"
        return [(f"the tag with the old name of {volume.full_name} is broken: {error}", hint)]
    if name in scene.volumes:
        hint = f"rename that one: lvrename {volume.vg} {name} NAME"
        return [(f"there is an LV {volume.vg}/{name} now", hint)]
    return []


def _of_domain(
    scene: Scene, entry: TrashEntry, kept: KeptDomain, guest: Guest | None
) -> list[Reason]:
    found: list[Reason] = []
    path = f"{TRASH_DIR}/{entry.name}/{DEFINITION}"
    if kept.name != entry.guest or not kept.ours:
        found.append((f"{path} is not the definition of this guest", f"look at: less {path}"))
    if guest is not None and guest.uuid != kept.uuid:
        hint = "correct `identity` in its file, or `host.name`"
        found.append(("its UUID is not the one that the spec gives it", hint))
    there = scene.domains.get(entry.guest)
    twin = scene.domains_by_uuid.get(kept.uuid)
    if there is not None and (_waiting(entry) or there.uuid != kept.uuid):
        found.append((f"there is a domain {there.name} now", "rename or remove that one first"))
    if twin is not None and twin.name != entry.guest:
        found.append((f"the domain {twin.name} has its UUID {kept.uuid}", "remove that one first"))
    # One that is there before all LVs are back is another guest of that name.
    own = twin if not _waiting(entry) else None
    found += variables.taken(scene, entry, kept.variables, own)
    return [*found, *_of_sources(scene, entry, kept)]


def _of_sources(scene: Scene, entry: TrashEntry, kept: KeptDomain) -> list[Reason]:
    """Demand that the definition names no LV that is lost, or somebody else's."""
    vg = scene.spec.storage.vg
    own = {path for one in entry.volumes for path in aliases(vg, original_name(one), "")}
    by_path = {path: one for one in scene.volumes.values() for path in aliases(vg, one.name, "")}
    found: list[Reason] = []
    for source in kept.sources:
        if source in own or not _in_group(source, vg):
            continue
        other = by_path.get(source)
        if other is None:
            hint = "bring that LV back first"
            found.append((f"its definition names {source}, which is not there", hint))
        elif [name for name in users_of(scene, other.name, other.device) if name != entry.guest]:
            hint = "take it out of that domain first"
            found.append((f"its definition names {source}, which another domain has", hint))
    return found


def _of_nobody(scene: Scene, entry: TrashEntry) -> list[Reason]:
    """Refuse a disk alone whose guest is nowhere: `apply` would make an empty one beside it."""
    waiting = _waiting(entry)
    name = entry.guest
    if not waiting or scene.spec.guest(name) is not None or name in scene.domains:
        return []
    lvs = " ".join(one.full_name for one in waiting)
    hint = (
        f"bring that guest back first; or if it was renamed to NEW: lvchange --deltag "
        f"{TAG_GUEST}{name} --addtag {TAG_GUEST}NEW {lvs}; then restore what `kvmkeep trash list` "
        "shows of NEW"
    )
    return [(f"it is a disk alone, and there is no guest {name}", hint)]


def _in_group(source: str, vg: str) -> bool:
    """Whether a path is one of an LV of the group: others (multipath, LUKS) are not looked at.

    A hyphen of another group's name is doubled there, and no LV's name begins with one.
    """
    mapped = f"/dev/mapper/{mapped_name(vg, '')}"
    return source.startswith(f"/dev/{vg}/") or (
        source.startswith(mapped) and not source.startswith(f"{mapped}-")
    )


def _of_files(scene: Scene, entry: TrashEntry) -> list[Reason]:
    found: list[Reason] = []
    files = entry.folder.files if entry.folder is not None else ()
    for guest in scene.spec.guests:
        same = posixpath.basename(guest.place.file) == entry.spec_file
        if entry.spec_file and (guest.name == entry.guest or same):
            hint = "rename that one, or take it out of the spec"
            found.append((f"the spec has {guest.place.file} now", hint))
    if SAVED in files and entry.guest in scene.saved:
        path = scene.saved[entry.guest].path
        move = shlex.join(("mv", path, f"{path}.old"))
        found.append((f"there is a {path} now", f"move it away: {move}"))
    return found


def _steps(scene: Scene, entry: TrashEntry, restoring: TrashRestoreRequest) -> tuple[Step, ...]:
    subject = f"guest {entry.guest}"
    steps = [
        Step(
            noun=Noun.STORAGE,
            subject=subject,
            what=f"rename LV {one.full_name} to {original_name(one)}",
            why="you asked for it",
            probe=wears(one, trash_marks(one), "see that the LV still lies in the trash"),
            actions=(out_of_trash(one),),
        )
        for one in _waiting(entry)
    ]
    kept = _kept(entry)
    if entry.folder is not None and kept is not None:
        there = scene.domains_by_uuid.get(kept.uuid)
        steps += variables.put_back(scene, entry, kept.variables)
        if there is None:
            steps.append(_define(entry))
        steps += _stays_off(scene, entry, kept, there)
        if AUTOSTART in entry.folder.files and not (there is not None and there.starts):
            actions = starting_with_host(kept, there, on=True, by_units=False)
            steps.append(autostart_step(kept, actions, on=True, why="so it did before"))
    files = _files(scene, entry, restoring)
    if files:
        text = "bring its files back"
        if entry.spec_file:
            text += f": {restoring.folder}/{entry.spec_file}"
        steps.append(
            Step(
                noun=Noun.DOMAINS,
                subject=subject,
                what=text,
                why="then the spec knows the guest again"
                if entry.spec_file
                else "they are its own",
                actions=files,
            )
        )
    if entry.volumes:
        steps.append(
            Step(
                noun=Noun.STORAGE,
                subject=subject,
                what="take the trash's marks from its disks",
                why="all of it is back",
                actions=tuple(unmark(one) for one in entry.volumes),
            )
        )
    return tuple(steps)


def _stays_off(
    scene: Scene, entry: TrashEntry, kept: KeptDomain, there: Domain | None
) -> tuple[Step, ...]:
    """Return what has a guest stay off until somebody starts it, though it starts with the host.

    An old server that is brought back to be looked at is not to serve anybody by itself. One whose
    first boot is not done has no word: it is up to `apply`.
    """
    mark = kept.run_mark if there is None else there.run_mark
    if _is_young(entry) or mark.wanted is False or (there is not None and active(there)):
        return ()
    no = RunMark(starts=mark.starts, wanted=False)
    word = keep_mark(kept, no, "neither a boot nor the watch starts it")
    # Of a removal that was stopped early, the kept file has not gone.
    file = (keep_definition(scene.spec, kept),) if entry.guest in scene.saved else ()
    return (
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {entry.guest}",
            what="remember that it is to stay off",
            why="kvmkeep start starts it",
            probe=is_guest(kept),
            actions=(word, *file),
        ),
    )


def _is_young(entry: TrashEntry) -> bool:
    """Whether the first boot of the guest was not done when it was removed."""
    root = TAG_DISK + ROOT_DISK
    tags = {tag for one in entry.volumes if root in one.tags and not one.origin for tag in one.tags}
    return not tags.isdisjoint({STATE_FILLING, STATE_FRESH})


def _define(entry: TrashEntry) -> Step:
    path = f"{TRASH_DIR}/{entry.name}/{DEFINITION}"
    # Not validated: it is what libvirt itself has printed.
    define = Command(argv=("virsh", "define", "--", path), why="define it in libvirt again")
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {entry.guest}",
        what=f"define it as it was, from {path}",
        why="so it was when it was removed",
        probe=no_domain(entry.guest),
        actions=(define,),
        risk=Risk.GUEST,
    )


def _files(scene: Scene, entry: TrashEntry, restoring: TrashRestoreRequest) -> tuple[Action, ...]:
    if entry.folder is None:
        return ()
    folder = f"{TRASH_DIR}/{entry.name}"
    saved = f"{scene.spec.xml_dir}/{entry.guest}.xml"
    actions: list[Action] = []
    if SAVED in entry.folder.files:
        kept = _kept(entry)
        if kept is not None and not _is_young(entry):
            # Here a half-written one is written again by the next run.
            dump = keep_definition(scene.spec, kept)
            actions.append(replace(dump, stdout_to=f"{folder}/{SAVED}"))
        actions.append(move(f"{folder}/{SAVED}", saved, "keep its XML at hand"))
    if LOG in entry.folder.files:
        actions.append(move(f"{folder}/{LOG}", console_log(entry.guest), "its console's log"))
    if entry.spec_file:
        back = f"{restoring.folder}/{entry.spec_file}"
        text = "the spec knows the guest again"
        actions.append(move(f"{folder}/{entry.spec_file}", back, text))
    with_xml = SAVED in entry.folder.files or entry.guest in scene.saved
    with_file = bool(entry.spec_file or scene.spec.guests)
    where = ((with_file, restoring.folder), (with_xml, scene.spec.xml_dir))
    folders = [folder for there, folder in where if there]
    if VARIABLES in entry.folder.files and _variables(entry):
        folders.append(posixpath.dirname(_variables(entry)))
    actions.extend([flushed(*folders)] if folders else [])
    return (*actions, remove_tree(folder, "its definition is libvirt's again"))
