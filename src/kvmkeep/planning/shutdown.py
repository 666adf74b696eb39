"""The plan of `shutdown`: guests are asked to shut down, before those that they need."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note, Noun, Plan, Risk, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards
from kvmkeep.planning.domains import is_guest
from kvmkeep.planning.order import in_order
from kvmkeep.planning.scene import Scene, active, make_scene
from kvmkeep.planning.start import not_a_guest
from kvmkeep.planning.waiting import off


def plan_shutdown(spec: Spec, facts: Facts, names: Iterable[str], limit: int) -> Plan:
    """Plan to shut guests down, and wait up to `limit` seconds for each. None is forced."""
    order = in_order(spec, (GuestName(name) for name in names))
    scene = make_scene(spec, facts, order.guests)
    refusals = tuple(
        refusal for guest in scene.guests if (refusal := not_a_guest(scene, guest)) is not None
    )
    running = [guest for guest in reversed(scene.guests) if _is_on(scene, guest)]
    steps = tuple(_shutdown_step(guest, limit) for guest in running)
    return Plan(
        steps=steps,
        refusals=(*order.refusals, *guards.missing_tools(scene, steps), *refusals),
        notes=_left_alone(scene, running),
    )


def _is_on(scene: Scene, guest: Guest) -> bool:
    domain = scene.own_domain(guest)
    return domain is not None and active(domain)


def _shutdown_step(guest: Guest, limit: int) -> Step:
    ask = Command(argv=("virsh", "shutdown", "--", guest.name), why="ask the guest to shut down")
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="shut it down, and wait until it is off",
        why="you asked for it",
        probe=is_guest(guest),
        actions=(ask, off(guest, limit)),
        risk=Risk.GUEST,
    )


def _left_alone(scene: Scene, going: list[Guest]) -> tuple[Note, ...]:
    """Say which running guests need one that goes away."""
    names = {guest.name for guest in going}
    return tuple(
        Note(subject=f"guest {guest.name}", text=f"it goes on running, and needs {need}")
        for guest in scene.spec.guests
        if guest.name not in names and _is_on(scene, guest)
        for need in guest.run.needs
        if need in names
    )
