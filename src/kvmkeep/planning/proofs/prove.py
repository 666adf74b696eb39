"""The plan of `backup prove`: start a guest from its backup, where nobody can notice it.

Nothing is restored: the repository is seen as files, and what the guest writes goes to overlays
that are thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from kvmkeep.model.backup import RepositoryFacts, RepositoryState
from kvmkeep.model.command import Command
from kvmkeep.model.facts import GROUPS, Facts
from kvmkeep.model.plan import Note, Noun, Plan, Reason, Refusal, Step, refused
from kvmkeep.model.proof import TAG_PROOF, Ladder, Proof
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size, check_lv_name
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.fetch import Subject, gone
from kvmkeep.planning.backups.owner import owner
from kvmkeep.planning.commands import remove_tree
from kvmkeep.planning.lvm import WHERE_IS_IT
from kvmkeep.planning.proofs.climb import Climb, likeness
from kvmkeep.planning.proofs.domain import CannotProveError, has_agent, memory_of, proof_xml
from kvmkeep.planning.proofs.ladder import climb_steps
from kvmkeep.planning.proofs.lock import unless_proving
from kvmkeep.planning.proofs.parts import Parts, end, overlay_size, remove, results_dir
from kvmkeep.planning.repositories.engine import driver
from kvmkeep.planning.repositories.files import engine_refusals
from kvmkeep.planning.repositories.secrets import secret_refusals
from kvmkeep.planning.scene import Scene, make_scene

_ANOTHER = "prove another one of its backups: kvmkeep backup list"
_PATIENCE = 300
_LITTLE = Size(256 << 20)
"""A guest is not started with less memory than this, unless it has less itself."""


class Proving(Struct, frozen=True, kw_only=True):
    """A proof that was asked for, and what is there of it and of others.

    `asked` is a time of ISO 8601, `run` the name of the directory of its results. `known` is the
    verdict that is kept of this backup: that of this run, or an earlier one. `stray` are guests
    with runs whose results others have left. `listed` is what the repository has once nobody can
    forget anything any more; None where that is known from an earlier look.
    """

    subject: Subject
    asked: str
    run: str
    ladder: Ladder
    known: Proof | None
    stray: tuple[tuple[str, str], ...]
    listed: RepositoryFacts | None = None

    @property
    def kept(self) -> bool:
        """Whether its verdict is there."""
        return self.known is not None and self.known.time == self.asked


def plan_prove(spec: Spec, facts: Facts, proving: Proving) -> Plan:
    """Plan to take down what a killed proof has left, and to climb what is left of the ladder."""
    scene = make_scene(spec, facts, ())
    if proving.kept:
        own = (proving.subject.entry.guest, proving.run)
        mine = (own,) if proving.ladder.rungs or proving.ladder.said else ()
        return Plan(steps=leftover_steps(scene, (*proving.stray, *mine)))
    cleaning = leftover_steps(scene, proving.stray)
    lost = _lost(proving)
    if lost:
        return Plan(refusals=lost)
    try:
        climb = _climb(scene, proving)
        proof_xml(likeness(climb))
    except CannotProveError as error:
        return Plan(refusals=(Refusal(subject=_name(proving), reason=str(error), hint=_ANOTHER),))
    steps = (*cleaning, *climb_steps(climb))
    refusals = (
        *guards.unseen_beside_files(scene),
        *programs.missing_tools(scene, steps),
        *engine_refusals(scene, proving.subject.repository.engine),
        *secret_refusals(facts, proving.subject.repository),
        *_unfit(scene, climb),
    )
    return Plan(steps=steps, refusals=refusals, notes=_notes(climb), once=True)


def _lost(proving: Proving) -> tuple[Refusal, ...]:
    """Refuse what is not there: that is known without trying, and is no verdict."""
    listed, subject = proving.listed, _name(proving)
    if listed is not None and listed.state is RepositoryState.READY:
        wanted = proving.subject.entry.manifest
        if all(one.manifest != wanted for one in listed.entries):
            reason = "it was forgotten meanwhile"
            return (Refusal(subject=subject, reason=reason, hint=_ANOTHER, unready=True),)
    return tuple(
        Refusal(
            subject=subject, reason=f"its disk {disk} is gone from the repository", hint=_ANOTHER
        )
        for disk in gone(proving.subject)
    )


def killed_proofs(scene: Scene) -> tuple[Step, ...]:
    """Return what takes down proofs that nobody is at any more.

    It is for those who do not hold the lock of proofs: one may begin before this is done.
    """
    if scene.facts.backups.proving:
        return ()
    return tuple(
        _down(guest, tuple(unless_proving(one) for one in commands))
        for guest, commands in _killed(scene)
    )


def leftover_steps(scene: Scene, stray: Iterable[tuple[str, str]]) -> tuple[Step, ...]:
    """Return what takes down proofs that were killed, and removes their results."""
    removals = tuple(
        Step(
            noun=Noun.STORAGE,
            subject=f"guest {guest}",
            what=f"remove {results_dir(guest, run)}",
            why="a proof that was interrupted has left it",
            actions=(remove_tree(results_dir(guest, run), "they are of no use any more"),),
        )
        for guest, run in stray
    )
    return (*(_down(guest, commands) for guest, commands in _killed(scene)), *removals)


def _down(guest: str, commands: tuple[Command, ...]) -> Step:
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest}",
        what="take down what is left of the proof of its backup",
        why="a run that was interrupted has left it",
        actions=commands,
    )


def _killed(scene: Scene) -> Iterator[tuple[str, tuple[Command, ...]]]:
    """Return the guests of proofs that were killed, each with what takes it down.

    They are those of the LVs that are still there.
    """
    vg = scene.spec.storage.vg
    left: dict[str, list[str]] = {}
    for volume in scene.volumes.values():
        guest = tag_value(volume, TAG_PROOF)
        if guest:
            left.setdefault(guest, []).append(volume.name)
    for guest, names in sorted(left.items()):
        removed = remove(vg, guest, tuple(sorted(names)))
        yield guest, (*end(scene.spec.host.name, guest), *removed)


def _name(proving: Proving) -> str:
    return f"backup {proving.subject.entry.guest}@{proving.subject.entry.moment}"


def _climb(scene: Scene, proving: Proving) -> Climb:
    subject, spec = proving.subject, scene.spec
    guest = owner(spec, subject.entry)
    policy = guest.backup if guest is not None else None
    program = scene.facts.units.command
    return Climb(
        scene=scene,
        parts=Parts(
            host=spec.host.name,
            vg=spec.storage.vg,
            guest=subject.entry.guest,
            driver=driver(subject.repository, program),
            object=subject.entry.manifest,
            path=subject.entry.path,
            content=subject.manifest,
            group=scene.facts.qemu_group,
        ),
        entry=subject.entry,
        xml=subject.xml,
        asked=proving.asked,
        run=proving.run,
        program=program,
        patience=2 * (guest.run.start_timeout if guest is not None else _PATIENCE),
        check=policy.check if policy is not None else (),
        memory=_spare(scene),
        ladder=proving.ladder,
        proven_before=proving.known.last_proven if proving.known is not None else "",
    )


def _spare(scene: Scene) -> Size:
    """Return the memory that nobody is promised, without the host's reserve.

    A proof that still has some was killed, as only one holds the lock, and is taken down first.
    """
    promised = sum(size.bytes for size in guards.promised(scene.facts.domains).values())
    return scene.facts.memory.minus(scene.spec.host.memory_reserve).minus(Size(promised))


def _unfit(scene: Scene, climb: Climb) -> tuple[Refusal, ...]:
    """Return why the host can't do it now, or not with this backup."""
    found: list[Reason] = []
    least = min(_LITTLE, memory_of(climb.xml))
    if climb.memory < least:
        reason = (
            f"the host can spare {climb.memory} of memory, and the guest needs {least} at least"
        )
        found.append((reason, "shut a guest down that may rest, or prove it on another host"))
    if climb.check and not has_agent(climb.xml):
        reason = "it has no channel for an agent, so no check can be run in it"
        found.append((reason, "take `check` out of its `backup`, or give it an agent"))
    for lv in climb.overlays:
        try:
            check_lv_name(lv)
        except ValueError as error:
            found.append((str(error), "a shorter name of guest or disk leaves room"))
        volume = scene.volumes.get(lv)
        if volume is not None and tag_value(volume, TAG_PROOF) != climb.guest:
            found.append((f"the LV {volume.full_name} is not ours", "give it another name"))
    found += _room(scene, climb)
    return (
        *_groupless(climb),
        *refused(climb.subject, found),
    )


def _notes(climb: Climb) -> tuple[Note, ...]:
    text = f"it is started with {climb.little} of memory: the host has no more to spare"
    return (Note(subject=climb.subject, text=text),) if climb.little else ()


def _groupless(climb: Climb) -> tuple[Refusal, ...]:
    """Refuse where it is not known who may read the disks."""
    if climb.parts.group >= 0:
        return ()
    reason = "libvirt does not tell which group QEMU runs as"
    hint = "look at: virsh capabilities (baselabel of the model dac)"
    return (Refusal(subject=climb.subject, reason=reason, hint=hint, unready=True),)


def _room(scene: Scene, climb: Climb) -> list[Reason]:
    group = scene.group
    if group is None and scene.facts.unseen(GROUPS):
        return []
    if group is None:
        return [("there is no such volume group", f"{WHERE_IS_IT}; or correct storage.vg")]
    sizes = (overlay_size(one.size, group.extent).bytes for one in climb.parts.content.disks)
    needed, reserve = Size(sum(sizes)), scene.spec.host.storage_reserve
    left = (one.size.bytes for one in scene.volumes.values() if tag_value(one, TAG_PROOF))
    free = Size(group.free.bytes + sum(left)).minus(reserve)
    if needed <= free:
        return []
    reason = f"what it writes needs {needed} of {group.name}, of which {free} may be used"
    return [(reason, "delete old snapshots (`kvmkeep snapshot list`), or empty the trash")]
