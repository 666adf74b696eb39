"""The plans of `suspend` and `resume`: a guest's processors stand still, its memory stays."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.domain_facts import IO_ERROR, Domain, DomainState
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import programs
from kvmkeep.planning.commands import has_state
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.paused import how_to_continue
from kvmkeep.planning.running.shutdown import left_alone
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, make_scene

_ON = frozenset({DomainState.RUNNING, DomainState.BLOCKED})
_WAKING = 60.0


def plan_suspend(spec: Spec, facts: Facts, names: Iterable[str]) -> Plan:
    """Plan to suspend guests, before those that they need; paused ones are left alone."""
    order = in_order(spec, (GuestName(name) for name in names))
    scene = make_scene(spec, facts, order.guests)
    refusals = tuple(
        refusal for guest in scene.guests if (refusal := _not_to_pause(scene, guest)) is not None
    )
    going = [guest for guest in reversed(scene.guests) if _state(scene, guest) in _ON]
    steps = tuple(_suspend_step(scene, guest) for guest in going)
    return Plan(
        steps=steps,
        refusals=(*order.refusals, *programs.missing_tools(scene, steps), *refusals),
        notes=left_alone(scene, going),
    )


def plan_resume(spec: Spec, facts: Facts, names: Iterable[str]) -> Plan:
    """Plan to let paused guests go on, after those that they need; running ones are left alone."""
    order = in_order(spec, (GuestName(name) for name in names))
    scene = make_scene(spec, facts, order.guests)
    refusals = tuple(
        refusal for guest in scene.guests if (refusal := _not_to_resume(scene, guest)) is not None
    )
    going = [guest for guest in scene.guests if _state(scene, guest) not in _ON]
    steps = tuple(
        _resume_step(guest, domain)
        for guest in going
        if (domain := scene.own_domain(guest)) is not None
    )
    return Plan(
        steps=steps if not refusals else (),
        refusals=(*order.refusals, *programs.missing_tools(scene, steps), *refusals),
        notes=tuple(_stopped_by_disk(guest) for guest in going if _is_stuck(scene, guest)),
    )


def _state(scene: Scene, guest: Guest) -> DomainState:
    domain = scene.own_domain(guest)
    return DomainState.NOSTATE if domain is None else domain.state


def _is_stuck(scene: Scene, guest: Guest) -> bool:
    domain = scene.own_domain(guest)
    return domain is not None and domain.why == IO_ERROR


def _not_to_pause(scene: Scene, guest: Guest) -> Refusal | None:
    refusal = not_a_guest(scene, guest)
    state = _state(scene, guest)
    if refusal is not None or state in {*_ON, DomainState.PAUSED}:
        return refusal
    hint = "only a guest that runs can be suspended: kvmkeep list"
    return Refusal(subject=f"guest {guest.name}", reason=f"it is {state}", hint=hint)


def _not_to_resume(scene: Scene, guest: Guest) -> Refusal | None:
    refusal = not_a_guest(scene, guest)
    state = _state(scene, guest)
    if refusal is not None or state in {*_ON, DomainState.PAUSED, DomainState.SUSPENDED}:
        return refusal
    domain = scene.domains[guest.name]
    crashed = domain.state is DomainState.CRASHED
    hint = how_to_continue(domain) if crashed else f"start it: kvmkeep start {guest.name}"
    return Refusal(subject=f"guest {guest.name}", reason=f"it is {state}", hint=hint)


def _suspend_step(scene: Scene, guest: Guest) -> Step:
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="suspend it: it stands still until it is resumed, and keeps its memory",
        why="you asked for it",
        probe=has_state(guest, _state(scene, guest)),
        actions=(Command(argv=("virsh", "suspend", "--", guest.name), why="stop its processors"),),
        risk=Risk.GUEST,
    )


def _resume_step(guest: Guest, domain: Domain) -> Step:
    what = "let it go on"
    actions: tuple[Action, ...] = (
        Command(argv=("virsh", "resume", "--", guest.name), why="let its processors run"),
    )
    if domain.state is DomainState.SUSPENDED:
        # The guest put itself to sleep (ACPI S3): it wakes up by itself, in its own time.
        what = "wake it up: it had put itself to sleep"
        actions = (
            Command(argv=("virsh", "dompmwakeup", "--", guest.name), why="wake it up"),
            Poll(
                command=has_state(guest, DomainState.RUNNING),
                limit=_WAKING,
                message=f"guest {guest.name} to wake up",
            ),
        )
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=what,
        why="you asked for it",
        probe=has_state(guest, domain.state),
        actions=actions,
        risk=Risk.GUEST,
    )


def _stopped_by_disk(guest: Guest) -> Note:
    return Note(
        subject=f"guest {guest.name}",
        text=(
            "it stood still because a disk of it could not be written (I/O error); where the cause "
            f"is not mended it stops again at once: virsh domblkerror {guest.name}, dmesg"
        ),
    )
