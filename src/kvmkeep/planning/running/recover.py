"""The plan of `recover`: all that runs with the host comes up, in order; what can't is held back.

A guest counts as up once it was seen to be ready; its QEMU process keeps that as a mark. So a run
that was killed, or a second power cut, is only another beginning.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.facts import GROUPS, LIBVIRT, VOLUMES, ArrayState, Facts
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.run import OnFail
from kvmkeep.model.snapshot import snapshot_sets
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning import guards, programs
from kvmkeep.planning.commands import has_state, is_guest
from kvmkeep.planning.disks.storage import storage_refusals
from kvmkeep.planning.domains.kept_xml import kept_domain
from kvmkeep.planning.lvm import WHERE_IS_IT
from kvmkeep.planning.proofs.beside import HOW_TO_END, proofs_memory, proofs_text
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.saved import resumed_notes
from kvmkeep.planning.running.start import is_off, start_actions, unfit
from kvmkeep.planning.running.waiting import ready
from kvmkeep.planning.scene import Scene, active, is_on, make_scene
from kvmkeep.planning.unnamed import unnamed, ways_back

_PARTIAL = 8
"""Position in `lv_attr` of the letter that tells of lost physical volumes: lvs(8)."""


class Recovery(Struct, frozen=True, kw_only=True):
    """What is wanted on this host, in order, what of it is held back and why, and the plan.

    `strays` are guests of ours that are to run, and of which no spec tells what they need.
    """

    guests: tuple[Guest, ...]
    held_back: tuple[Refusal, ...]
    strays: tuple[Refusal, ...]
    plan: Plan


def recovery(spec: Spec, facts: Facts) -> Recovery:
    """Find out which guests are to run with the host, which of them can, and how they get up."""
    return recovery_of(spec, facts, willing(spec, facts))


def recovery_of(spec: Spec, facts: Facts, wanted: Iterable[GuestName]) -> Recovery:
    """Find out which of these guests can be up, and how they get there.

    What they need is started too, whether it starts with the host by itself or not, unless the
    last word about it was no. One guest that can't be started refuses nothing: it is held back,
    with those that need it.
    """
    asked = tuple(wanted)
    order = in_order(spec, asked, with_needs=True)
    known = make_scene(spec, facts, order.guests)
    scene = replace(known, guests=_called(known, asked, lambda one: not _to_stay_off(known, one)))
    held, strays = held_back(scene), _strays(scene)
    names = {refusal.subject for refusal in held}
    able = [guest for guest in scene.guests if _subject(guest) not in names]
    down = [guest for guest in able if not _up(scene, guest)]
    steps = () if order.refusals else rising(scene, down)
    plan = Plan(
        steps=steps,
        refusals=(
            *order.refusals,
            *guards.blind(scene, LIBVIRT, VOLUMES),
            *programs.unstartable(scene, steps),
        ),
        notes=(
            *(Note(subject=one.subject, text=f"held back: {one.text}") for one in (*held, *strays)),
            *guards.half_blind(scene, LIBVIRT, VOLUMES),
            *programs.incapable(scene, steps),
            *resumed_notes(scene, down),
            *beside_proofs(scene, down),
            *_storage_notes(scene),
        ),
        recorded=True,
    )
    return Recovery(guests=scene.guests, held_back=held, strays=strays, plan=plan)


def willing(spec: Spec, facts: Facts) -> tuple[GuestName, ...]:
    """Return the guests that are to run by the last word about them.

    Of one whose definition libvirt has lost (a file of it that a cut has torn), what is kept tells.
    """
    scene = make_scene(spec, facts, spec.guests)
    return tuple(guest.name for guest in spec.guests if _willing(scene, guest))


def awaited(spec: Spec, facts: Facts) -> tuple[GuestName, ...]:
    """Return the guests that are to run, and what they need that nobody has said no to."""
    wanted = {*willing(spec, facts)}
    order = in_order(spec, wanted, with_needs=True)
    scene = make_scene(spec, facts, order.guests)
    return tuple(one.name for one in _called(scene, wanted, lambda one: _unsaid(scene, one)))


def _called(
    scene: Scene, wanted: Collection[GuestName], comes: Callable[[Guest], bool]
) -> tuple[Guest, ...]:
    """Return the wanted guests and what they need, directly or not, where that comes for them.

    The scene has all of them, what is needed first.
    """
    called = {*wanted}
    for guest in reversed(scene.guests):
        if guest.name in called:
            called.update(need.name for need in _needs(scene, guest) if comes(need))
    return tuple(guest for guest in scene.guests if guest.name in called)


def indispensable(scene: Scene, wanted: Collection[GuestName]) -> tuple[Guest, ...]:
    """Return the wanted guests, and those that a boot starts and without which they stay off."""
    order = in_order(scene.spec, wanted, with_needs=True)
    return _called(
        replace(scene, guests=order.guests),
        wanted,
        lambda one: one.run.on_fail is OnFail.HOLD and not _said_no(scene, one),
    )


def _to_stay_off(scene: Scene, guest: Guest) -> bool:
    return _said_no(scene, guest) and not is_on(scene, guest)


def _said_no(scene: Scene, guest: Guest) -> bool:
    """Whether the last word about a guest of ours was that it is to stay off."""
    known = scene.domain(guest) or kept_domain(scene, guest)
    return known is not None and known.ours and known.run_mark.wanted is False


def _unsaid(scene: Scene, guest: Guest) -> bool:
    """Whether it is a guest of ours about which there is no word."""
    known = scene.domain(guest) or kept_domain(scene, guest)
    return known is not None and known.ours and known.run_mark.wanted is None


def _willing(scene: Scene, guest: Guest) -> bool:
    domain = scene.domain(guest)
    if domain is not None:
        return domain.wanted and domain.ours
    kept = kept_domain(scene, guest)
    # Libvirt's own flag was lost with the definition.
    return kept is not None and (
        kept.wanted or (kept.run_mark.wanted is None and guest.run.autostart)
    )


def _subject(guest: Guest) -> str:
    return f"guest {guest.name}"


def _up(scene: Scene, guest: Guest) -> bool:
    domain = scene.own_domain(guest)
    return domain is not None and domain.was_ready


def held_back(scene: Scene) -> tuple[Refusal, ...]:
    """Return why guests are held back, each once, in the order of the guests."""
    others = (*guards.shared_disks(scene), *storage_refusals(scene))
    known = {refusal.subject: refusal for refusal in others}
    going: list[Guest] = []
    found: dict[GuestName, Refusal] = {}
    for guest in scene.guests:
        refusal = unfit(scene, guest)
        if refusal is None and is_off(scene, guest):
            refusal = (
                _needs_held(scene, guest, found)
                or known.get(_subject(guest))
                or _torn(scene, guest)
                or _no_memory(scene, going, guest)
            )
            if refusal is None:
                going.append(guest)
        if refusal is not None:
            found[guest.name] = refusal
    return tuple(found.values())


def _needs_held(scene: Scene, guest: Guest, held: dict[GuestName, Refusal]) -> Refusal | None:
    for need in demanded(scene, guest):
        if need.name in held:
            hint = f"see what guest {need.name} lacks"
            reason = f"it needs {need.name}, which is held back"
            return Refusal(subject=_subject(guest), reason=reason, hint=hint)
        if need not in scene.guests and _to_stay_off(scene, need):
            hint = f"kvmkeep start {need.name}"
            reason = f"it needs {need.name}, which is off and is to stay so"
            return Refusal(subject=_subject(guest), reason=reason, hint=hint)
    return None


def demanded(scene: Scene, guest: Guest) -> tuple[Guest, ...]:
    """Return the guests without which this one is not started."""
    return tuple(need for need in _needs(scene, guest) if need.run.on_fail is OnFail.HOLD)


def needy(scene: Scene, guest: Guest) -> tuple[Guest, ...]:
    """Return the guests of a scene that are not started without this one."""
    return tuple(one for one in scene.guests if guest in demanded(scene, one))


def _needs(scene: Scene, guest: Guest) -> tuple[Guest, ...]:
    known = scene.every_guest
    return tuple(known[need] for need in guest.run.needs if need in known)


def _torn(scene: Scene, guest: Guest) -> Refusal | None:
    """Refuse a guest whose LV lies on a physical volume that is lost."""
    for disk in guest.volumes:
        volume = scene.volume(disk)
        if volume is not None and volume.attributes[_PARTIAL : _PARTIAL + 1] == "p":
            reason = f"a part of its LV {volume.full_name} is on a disk that is missing"
            hint = "bring that disk back: `pvs`, `lvs -o +devices`, `cat /proc/mdstat`"
            return Refusal(subject=_subject(guest), reason=reason, hint=hint)
    return None


def _no_memory(scene: Scene, going: list[Guest], guest: Guest) -> Refusal | None:
    """Refuse a guest for which the host has no memory left besides those that come before it."""
    promised = _given(scene, (*going, guest))
    limit = scene.facts.memory.minus(scene.spec.host.memory_reserve)
    if promised.bytes <= limit.bytes:
        return None
    reason = f"with it, {promised} of memory would be given to guests, and {limit} may be"
    hint = "shut another one down, or give guests less memory"
    return Refusal(subject=_subject(guest), reason=reason, hint=hint)


def _given(scene: Scene, going: Iterable[Guest]) -> Size:
    """Return the memory that guests have, with those that are started."""
    running = sum(one.memory.bytes for one in scene.facts.domains if active(one))
    return Size(running + sum(one.memory_max.bytes for one in going if is_off(scene, one)))


def beside_proofs(scene: Scene, going: Iterable[Guest]) -> tuple[Note, ...]:
    """Tell where guests are given memory that a proof has: it holds none of them back."""
    facts = scene.facts
    given = _given(scene, going)
    limit = facts.memory.minus(scene.spec.host.memory_reserve).minus(proofs_memory(facts))
    if not facts.proofs or given <= limit:
        return ()
    text = (
        f"{given} of it are given to guests, and {limit} may be: {proofs_text(facts)}; where it "
        f"runs out, the kernel ends the proof first ({HOW_TO_END})"
    )
    return (Note(subject="memory", text=text),)


def _strays(scene: Scene) -> tuple[Refusal, ...]:
    """Return the guests of ours that are to run, are off, and have left the spec.

    Nobody knows whether that was meant; but libvirt does not start them either.
    """
    reason = "it is to run, but the spec does not name it, so kvmkeep does not start it"
    return tuple(
        Refusal(
            subject=f"guest {one.name}",
            reason=reason,
            hint=f"virsh start {shlex.quote(one.name)}; {ways_back(one.name)}",
        )
        for one in unnamed(scene)
        if (one.run_mark.starts or one.run_mark.wanted) and one.wanted and not active(one)
    )


def _storage_notes(scene: Scene) -> tuple[Note, ...]:
    """Tell what is not well below the guests: nothing of it keeps a guest off by itself."""
    notes = [
        Note(subject=f"array {one.name}", text=f"it is {one.state} ({one.detail})")
        for one in scene.facts.arrays
        if one.state is not ArrayState.CLEAN
    ]
    subject = f"volume group {scene.spec.storage.vg}"
    if scene.group is None and not scene.facts.unseen(GROUPS):
        notes.append(Note(subject=subject, text=f"it is not there ({WHERE_IS_IT})"))
    if scene.group is not None and scene.group.missing_pvs:
        count = scene.group.missing_pvs
        text = f"{count} of its physical volumes {'is' if count == 1 else 'are'} missing"
        notes.append(Note(subject=subject, text=text))
    notes += [
        Note(subject=f"guest {one.guest}", text=f"its snapshot set {one.name} is lost: it was full")
        for one in snapshot_sets(scene.facts.volumes, scene.spec.storage.vg)
        if any(member.invalid for member in one.members)
    ]
    notes += [
        Note(
            subject=f"guest {seed.guest}",
            text="its seed lies on the host: a first boot is not finished (kvmkeep apply)",
        )
        for seed in scene.facts.seeds
    ]
    return tuple(notes)


def rising(
    scene: Scene,
    pending: list[Guest],
    before: Mapping[GuestName, tuple[Command, ...]] = MappingProxyType({}),
) -> tuple[Step, ...]:
    """Start what can be started, each after its `before`, and wait first for what others need.

    As many boot at once as the host has CPUs, and at least two. The needs make no circle.
    """
    steps: list[Step] = []
    todo, booting = list(pending), list[Guest]()
    while todo or booting:
        unsettled = {guest.name for guest in (*todo, *booting)}
        free = next((one for one in todo if not unsettled & {*one.run.needs}), None)
        if free is not None and len(booting) < scene.facts.boots_at_once:
            todo.remove(free)
            booting.append(free)
            if is_off(scene, free):
                steps.append(_start(scene, free, before.get(free.name, ())))
        else:
            needed = {need for one in todo for need in one.run.needs}
            first = next((one for one in booting if one.name in needed), booting[0])
            booting.remove(first)
            steps.append(wait_step(scene, first))
    return tuple(steps)


def _after(scene: Scene, guest: Guest) -> tuple[str, ...]:
    return tuple(_subject(one) for one in demanded(scene, guest))


def _start(scene: Scene, guest: Guest, before: tuple[Command, ...]) -> Step:
    needs = (*(need.name for need in demanded(scene, guest)), *guest.run.mounts)
    return Step(
        noun=Noun.DOMAINS,
        subject=_subject(guest),
        what="start it",
        why=f"what it needs is there: {', '.join(needs)}" if needs else "it runs with the host",
        probe=has_state(guest, scene.domains[guest.name].state),
        actions=(*before, *start_actions(scene, guest)),
        risk=Risk.GUEST,
        isolated=True,
        after=_after(scene, guest),
    )


def wait_step(scene: Scene, guest: Guest, *, limit: float = math.inf) -> Step:
    """Return what waits until a guest is ready, at most `limit` seconds, and marks it as such."""
    return Step(
        noun=Noun.DOMAINS,
        subject=_subject(guest),
        what="wait until it is ready",
        why="only then it counts as up",
        probe=is_guest(guest),
        actions=tuple(_within(limit, action) for action in ready(guest)),
        isolated=True,
        after=_after(scene, guest),
    )


def _within(limit: float, action: Action) -> Action:
    return replace(action, limit=min(action.limit, limit)) if isinstance(action, Poll) else action
