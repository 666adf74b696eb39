"""The plan of `shutdown`: guests are asked to shut down, before those that they need."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import programs
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.domains.wanted_state import word, word_step
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.paused import standing
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.running.waiting import off
from kvmkeep.planning.scene import Known, Scene, is_on, make_scene

ASKING = 150.0
"""Seconds for the question itself: libvirt waits 60 s for an agent that is connected and silent
(QEMU_AGENT_SHUTDOWN in its qemu_agent.c), then presses the ACPI button instead."""


def plan_shutdown(spec: Spec, facts: Facts, names: Iterable[str], limit: int = 0) -> Plan:
    """Plan to shut guests down, and wait up to `limit` seconds for each. None is forced.

    Without a limit, each has the time that the spec gives it.
    """
    order = in_order(spec, (GuestName(name) for name in names))
    scene = make_scene(spec, facts, order.guests)
    refusals = tuple(
        refusal for guest in scene.guests if (refusal := deaf(scene, guest)) is not None
    )
    running = [guest for guest in reversed(scene.guests) if is_on(scene, guest)]
    made = (_step(scene, guest, limit) for guest in reversed(scene.guests))
    steps = tuple(step for step in made if step is not None)
    return Plan(
        steps=steps,
        refusals=(*order.refusals, *programs.missing_tools(scene, steps), *refusals),
        notes=left_alone(scene, running),
    )


def _step(scene: Scene, guest: Guest, limit: int) -> Step | None:
    if not is_on(scene, guest):
        return word_step(scene, guest, on=False)
    return shutdown_step(scene, guest, limit, before=word(scene, guest, on=False))


def deaf(scene: Scene, guest: Guest) -> Refusal | None:
    """Return why a guest can't be asked for anything: it is not ours, or stands still."""
    refusal = not_a_guest(scene, guest)
    domain = scene.own_domain(guest)
    if refusal is not None or domain is None:
        return refusal
    return standing(domain)


def shutdown_step(
    scene: Scene, guest: Guest, limit: int, *, before: tuple[Command, ...] = ()
) -> Step:
    """Return the step that runs `before`, asks a guest to shut down and waits `limit` seconds.

    A limit of 0 is the one of the spec.
    """
    asked = shutdown_actions(scene, guest, limit or guest.run.stop_timeout)
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="shut it down, and wait until it is off",
        why="you asked for it",
        probe=is_guest(guest),
        actions=(*before, *asked),
        risk=Risk.GUEST,
    )


def shutdown_actions(scene: Scene, guest: Guest, limit: int) -> tuple[Command, Poll]:
    """Ask a guest to shut down, through its agent or else by ACPI, and wait until it is off."""
    domain = scene.own_domain(guest)
    return asking(guest, limit, agent=domain is not None and domain.agent)


def asking(guest: Known, limit: int, *, agent: bool) -> tuple[Command, Poll]:
    """Ask what is a guest or only a domain; `agent` tells whether its agent is connected."""
    ask = Command(
        argv=("virsh", "shutdown", "--", guest.name),
        why="ask the guest to shut down",
        timeout=ASKING,
    )
    return ask, off(guest, limit, agent=agent)


def left_alone(scene: Scene, going: list[Guest]) -> tuple[Note, ...]:
    """Say which running guests need one that goes away."""
    names = {guest.name for guest in going}
    return tuple(
        Note(subject=f"guest {guest.name}", text=f"it goes on running, and needs {need}")
        for guest in scene.spec.guests
        if guest.name not in names and is_on(scene, guest)
        for need in guest.run.needs
        if need in names
    )
