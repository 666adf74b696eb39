"""The plan of `autostart`: whether a guest starts with the host, whatever the spec says."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note, Plan, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import programs
from kvmkeep.planning.domains.kept_xml import with_kept
from kvmkeep.planning.domains.run_mark import autostart_step, starting_with_host
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, make_scene


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
    steps = tuple(step for guest in scene.guests for step in _steps(scene, guest, on=on))
    return Plan(
        steps=steps,
        refusals=(*order.refusals, *programs.missing_tools(scene, steps), *refusals),
        notes=tuple(_against(guest, on=on) for guest in scene.guests if guest.run.autostart != on),
    )


def _steps(scene: Scene, guest: Guest, *, on: bool) -> tuple[Step, ...]:
    domain = scene.own_domain(guest)
    if domain is None:
        return ()
    by_units = scene.facts.units.take_over
    actions = starting_with_host(guest, domain, on=on, by_units=by_units)
    step = autostart_step(guest, actions, on=on, why="you asked for it") if actions else None
    return with_kept(scene, guest, step)


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
