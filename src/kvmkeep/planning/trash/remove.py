"""The plan of `remove`: a guest goes into the trash, and nothing of it is destroyed.

Each LV wears the stamp of the trash before the domain is undefined, and keeps its name until it is
its turn. So a run that was killed is known by LVs with a stamp and their old names, and the next
one goes on with that stamp. The guest's file of the spec is moved just before the last LV, since
until then the spec knows the guest.
"""

from __future__ import annotations

import posixpath
import shlex

from msgspec import Struct

from kvmkeep.model.command import Action, Command, WriteFile
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.facts import Facts, Volume
from kvmkeep.model.names import STATE_DIR, TAG_DISK, TAG_TRASH, TRASH_DIR, console_log, utc_stamp
from kvmkeep.model.plan import Note, Noun, Plan, Reason, Risk, Step, refused
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import ROOT_DISK, Guest, Spec
from kvmkeep.model.trash import (
    AUTOSTART,
    DEFINITION,
    LOG,
    SAVED,
    TrashEntry,
    is_trash,
    trash_entries,
)
from kvmkeep.model.units import GuestName
from kvmkeep.planning import groups, guards, programs
from kvmkeep.planning.commands import has_state, is_guest, no_domain
from kvmkeep.planning.first_boot.seed_steps import remove_seed
from kvmkeep.planning.running.paused import STILL, how_to_continue, paused_text
from kvmkeep.planning.running.saved import saved_reasons
from kvmkeep.planning.running.shutdown import asking
from kvmkeep.planning.scene import Scene, active, aliases, make_scene
from kvmkeep.planning.snapshots.mend import thaw_steps
from kvmkeep.planning.trash import variables
from kvmkeep.planning.trash.moves import (
    going,
    guests_volumes,
    into_trash,
    mark_step,
    new_name,
    rename_step,
    trouble,
)


class Removing(Struct, frozen=True, kw_only=True):
    """Which guest goes, at which `moment` (UTC, ISO 8601).

    `file` is the absolute path of its file of the spec, empty where the spec does not know it.
    A guest that runs is shut down and waited for, up to `limit` seconds; 0 refuses that.
    """

    guest: str
    moment: str
    file: str = ""
    limit: int = 0


class _Work(Struct, frozen=True, kw_only=True):
    """What there is of the guest, and the stamp that it gets or has."""

    scene: Scene
    removing: Removing
    guest: Guest | None
    domain: Domain | None
    volumes: tuple[Volume, ...]
    stamp: str

    @property
    def subject(self) -> str:
        return f"guest {self.removing.guest}"

    @property
    def folder(self) -> str:
        return f"{TRASH_DIR}/{self.removing.guest}-{self.stamp}"

    @property
    def entry(self) -> TrashEntry | None:
        """What lies in the trash of that guest and stamp."""
        facts, name = self.scene.facts, f"{self.removing.guest}-{self.stamp}"
        entries = trash_entries(facts.volumes, self.scene.spec.storage.vg, facts.trash)
        return next((one for one in entries if one.name == name), None)

    @property
    def last(self) -> Volume | None:
        """The LV that is renamed last: the root disk, if there is one."""
        roots = [one for one in self.volumes if TAG_DISK + ROOT_DISK in one.tags and not one.origin]
        return next(iter((*roots, *self.volumes)), None)


def plan_remove(spec: Spec, facts: Facts, removing: Removing) -> Plan:
    """Plan to bring a guest into the trash; one that is nowhere is there already.

    It need not stand in the spec: then its domain and LVs are those that wear its name and mark.
    """
    guest = spec.guest(removing.guest)
    scene = make_scene(spec, facts, (guest,) if guest is not None else ())
    domain = scene.domains_by_uuid.get(guest.uuid) if guest is not None else None
    domain = domain or scene.domains.get(removing.guest)
    volumes = guests_volumes(scene, removing.guest)
    if guest is None and domain is None and not volumes:
        return Plan(refusals=guards.unseen(scene))
    begun = sorted(tag_value(one, TAG_TRASH) for one in volumes if is_trash(one))
    work = _Work(
        scene=scene,
        removing=removing,
        guest=guest,
        domain=domain,
        volumes=volumes,
        stamp=begun[0] if begun else utc_stamp(removing.moment),
    )
    reasons = _reasons(work, begun=bool(begun))
    steps = () if reasons else _steps(work)
    return Plan(
        steps=steps,
        refusals=(
            *guards.unseen(scene),
            *programs.missing_tools(scene, steps),
            *groups.whole_group(scene, steps),
            *variables.unseen(scene, work.subject, "" if domain is None else domain.variables),
            *refused(work.subject, reasons),
        ),
        notes=_notes(work),
    )


def _reasons(work: _Work, *, begun: bool) -> list[Reason]:
    """Return all reasons why the guest can't be removed."""
    name, guest, domain = work.removing.guest, work.guest, work.domain
    found: list[Reason] = []
    if guest is not None and guest.protect:
        hint = f"if it really is to go, take `protect: true` out of {guest.place.file}"
        found.append(("it is protected by its spec", hint))
    needing = [one.name for one in work.scene.spec.guests if name in one.run.needs]
    if needing:
        hint = f"take {name} out of their `needs` first"
        found.append((f"it is needed by {', '.join(needing)}", hint))
    running = domain is not None and active(domain)
    if domain is not None:
        found += _of_domain(work, domain)
    for volume in work.volumes:
        found += trouble(work.scene, volume, name, running=running)
    there = work.entry
    if there is not None and not begun and (there.volumes or (guest and there.spec_file)):
        found.append((f"there is a {there.name} in the trash", "wait a minute"))
    return found


def _of_domain(work: _Work, domain: Domain) -> list[Reason]:
    name, guest = work.removing.guest, work.guest
    if domain.name != name:
        other = shlex.quote(domain.name)
        hint = f"finish renaming it (kvmkeep rename {name} {other}), or: virsh dumpxml {other}"
        return [(f"its UUID is that of the domain {domain.name}", hint)]
    if not domain.ours or (guest is not None and domain.uuid != guest.uuid):
        hint = f"use virsh for it: virsh dumpxml {name}"
        return [("the domain of that name is not ours", hint)]
    if not active(domain):
        return saved_reasons(domain)
    if domain.state in STILL:
        return [(f"{paused_text(domain)}, so it can't shut down", how_to_continue(domain))]
    if not work.removing.limit:
        return [("it runs", "have it shut down gracefully first: --shutdown")]
    return []


def _notes(work: _Work) -> tuple[Note, ...]:
    """Tell of what stays where it is: disks that are not ours, and the firmware's variables."""
    if work.domain is None:
        return ()
    why = variables.staying(work.scene, work.domain)
    text = f"the variables of its firmware stay in {work.domain.variables}: {why}"
    vg = work.scene.spec.storage.vg
    own = {path for one in work.volumes for path in aliases(vg, one.name, one.device)}
    disks = (
        Note(
            subject=work.subject,
            text=f"its disk {disk.source} is no LV of ours, and stays",
        )
        for disk in work.domain.disks
        if disk.source and disk.kind == "disk" and not {disk.source, disk.device} & own
    )
    return (*disks, *((Note(subject=work.subject, text=text),) if why else ()))


def _steps(work: _Work) -> tuple[Step, ...]:
    steps: list[Step] = []
    if work.guest is not None:
        steps += thaw_steps(work.scene, work.guest)
    if work.domain is not None and active(work.domain):
        steps.append(_shutdown(work, work.domain))
    if any(not is_trash(one) for one in work.volumes):
        unmarked = [one for one in work.volumes if not is_trash(one)]
        steps.append(mark_step(work.removing.guest, unmarked, work.stamp, _off(work)))
    if work.domain is not None:
        steps.append(_undefine(work, work.domain))
    elif work.entry is not None:
        steps += variables.take_away_again(work.scene, work.entry)
    last = work.last
    why = "its content is kept, and its name is free again"
    steps += [
        rename_step(work.removing.guest, one, work.stamp, why)
        for one in work.volumes
        if one is not last
    ]
    steps.append(_finish(work, last))
    return tuple(steps)


def _shutdown(work: _Work, domain: Domain) -> Step:
    return Step(
        noun=Noun.DOMAINS,
        subject=work.subject,
        what="shut it down, and wait until it is off",
        why="you asked for it",
        probe=is_guest(domain),
        actions=asking(domain, work.removing.limit, agent=domain.agent),
        risk=Risk.GUEST,
    )


def _off(work: _Work) -> Command:
    if work.domain is None:
        return no_domain(work.removing.guest)
    state = DomainState.SHUTOFF if active(work.domain) else work.domain.state
    return has_state(work.domain, state)


def _undefine(work: _Work, domain: Domain) -> Step:
    # virsh(1), "undefine": state of a TPM is removed unless it is asked for to be kept; older
    # versions don't know the option, and fail.
    tpm = ("--keep-tpm",) if "<tpm" in domain.xml else ()
    actions: list[Action] = [
        *make_folder(work.folder),
        Command(
            argv=("virsh", "dumpxml", "--inactive", "--security-info", "--", domain.uuid),
            why="keep its definition",
            stdout_to=f"{work.folder}/{DEFINITION}",
        ),
    ]
    if domain.autostart:
        path = f"{work.folder}/{AUTOSTART}"
        actions.append(WriteFile(path=path, content=b"", why="it starts with the host"))
    what, nvram = "its definition", "--keep-nvram"
    path = variables.leaving(work.scene, domain)
    if path:
        # What it stores after that would be lost.
        actions += (*variables.into_trash(path, work.folder), _off(work))
        what, nvram = "its definition and its firmware's variables", "--nvram"
    undefine = ("virsh", "undefine", nvram, *tpm, "--", domain.uuid)
    actions.append(Command(argv=undefine, why="undefine it in libvirt"))
    return Step(
        noun=Noun.DOMAINS,
        subject=work.subject,
        what=f"undefine it, and keep {what} in {work.folder}",
        why="you asked for it",
        probe=_off(work),
        actions=tuple(actions),
        risk=Risk.GUEST,
    )


def make_folder(folder: str) -> tuple[Command, ...]:
    """Return what makes a folder of the trash, for root alone."""
    return (
        Command(
            argv=("install", "--directory", "--mode=0711", "--", STATE_DIR),
            why="make the directory for what is kept",
        ),
        Command(
            argv=("install", "--directory", "--mode=0700", "--", TRASH_DIR, folder),
            why="make a directory that only root can read",
        ),
    )


def _finish(work: _Work, last: Volume | None) -> Step:
    name, scene = GuestName(work.removing.guest), work.scene
    actions: list[Action] = [*make_folder(work.folder)]
    if any(seed.guest == name for seed in scene.facts.seeds):
        actions.append(remove_seed(name))
    saved = scene.saved.get(name)
    if saved is not None:
        kept = f"{work.folder}/{SAVED}"
        actions.append(move(saved.path, kept, "keep our copy of its definition"))
    # 1 also where there is none.
    log = move(console_log(name), f"{work.folder}/{LOG}", "keep its console's log", ok=(0, 1))
    actions.append(log)
    what = "keep the rest of it in the trash"
    if work.removing.file and work.guest is not None:
        base = posixpath.basename(work.removing.file)
        text = "the spec does not know the guest any more"
        actions.append(move(work.removing.file, f"{work.folder}/{base}", text))
        what = f"move {work.removing.file} to {work.folder}"
    actions.append(flushed(work.folder))
    if last is not None:
        actions += into_trash(last, work.stamp)
        what += f", and rename LV {last.full_name} to {new_name(last, work.stamp)}"
    return Step(
        noun=Noun.STORAGE,
        subject=work.subject,
        what=what,
        why=f"to take all of it back: kvmkeep trash restore {name}-{work.stamp}",
        probe=going(name, last, work.stamp) if last is not None else None,
        actions=tuple(actions),
    )


def move(source: str, target: str, why: str, ok: tuple[int, ...] = (0,)) -> Command:
    """Return what moves a file; between filesystems it is a copy that is not flushed (mv(1))."""
    argv = ("mv", "--no-target-directory", "--", source, target)
    return Command(argv=argv, why=why, ok=ok)


def flushed(*folders: str) -> Command:
    """Return what has all on the disks that was moved there, by a run that was killed too."""
    return Command(
        argv=("sync", "--file-system", "--", *folders),
        why="have on the disks what was moved, before what is left of it goes",
        timeout=1800.0,
    )
