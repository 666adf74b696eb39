"""The plan of `autostart`: whether a guest starts with the host, whatever the spec says."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note, Plan
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards
from kvmkeep.planning.domains import autostart_step
from kvmkeep.planning.order import in_order
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.start import not_a_guest


def plan_autostart(spec: Spec, facts: Facts, names: Iterable[str], *, on: bool) -> Plan:
    """Plan to have guests start with the host, or not.

    The spec is not edited. Where it says something else, a note tells that `apply` would undo
    this, and what to change to make it last.
    """
    order = in_order(spec, (GuestName(name) for name in names))
    scene = make_scene(spec, facts, order.guests)
    refusals = tuple(
        refusal for guest in scene.guests if (refusal := not_a_guest(scene, guest)) is not None
    )
    steps = tuple(
        autostart_step(guest, on=on, why="you asked for it")
        for guest in scene.guests
        if (domain := scene.own_domain(guest)) is not None and domain.autostart != on
    )
    return Plan(
        steps=steps,
        refusals=(*order.refusals, *guards.missing_tools(scene, steps), *refusals),
        notes=tuple(_against(guest, on=on) for guest in scene.guests if guest.run.autostart != on),
    )


def _against(guest: Guest, *, on: bool) -> Note:
    wanted, is_now = _word(on=on), _word(on=guest.run.autostart)
    return Note(
        subject=f"guest {guest.name}",
        text=(
            f"the spec says autostart: {is_now}, so `kvmkeep apply` would undo this; to make it "
            f"last, write `autostart: {wanted}` at {guest.autostart_place or guest.place} (run)"
        ),
    )


def _word(*, on: bool) -> str:
    return "true" if on else "false"
