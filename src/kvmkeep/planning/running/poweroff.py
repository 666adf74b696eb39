"""The plan of `poweroff`: the power is cut, as when a plug is pulled. Nobody else plans that."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Note, Noun, Plan, Risk, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import programs
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.disks.stage import fresh
from kvmkeep.planning.domains.wanted_state import word, word_step
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.shutdown import left_alone
from kvmkeep.planning.running.start import not_a_guest
from kvmkeep.planning.scene import Scene, is_on, make_scene


def plan_poweroff(spec: Spec, facts: Facts, names: Iterable[str], *, kill: bool = False) -> Plan:
    """Plan to cut the power of guests, before those that they need.

    Without `kill`, QEMU is asked to end and may still write what lies in its own buffers.
    """
    order = in_order(spec, (GuestName(name) for name in names))
    scene = make_scene(spec, facts, order.guests)
    refusals = tuple(
        refusal for guest in scene.guests if (refusal := not_a_guest(scene, guest)) is not None
    )
    going = [guest for guest in reversed(scene.guests) if is_on(scene, guest)]
    made = (
        _step(scene, guest, kill=kill) if guest in going else word_step(scene, guest, on=False)
        for guest in reversed(scene.guests)
    )
    steps = tuple(step for step in made if step is not None)
    young = tuple(
        Note(
            subject=f"guest {guest.name}",
            text="its first boot is not done: what it has set up so far may be left incomplete",
        )
        for guest in going
        if fresh(scene, guest)
    )
    return Plan(
        steps=steps,
        refusals=(*order.refusals, *programs.missing_tools(scene, steps), *refusals),
        notes=(*young, *left_alone(scene, going)),
    )


def _step(scene: Scene, guest: Guest, *, kill: bool) -> Step:
    # virsh(1), "destroy": --graceful sends no SIGKILL when QEMU does not end within 15 s.
    gently = () if kill else ("--graceful",)
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=(
            "cut its power, as if its plug were pulled: what it has not written to its disks is "
            "lost, and its filesystems may need repair"
        ),
        why="you asked for it",
        probe=is_guest(guest),
        actions=(
            *word(scene, guest, on=False),
            Command(
                argv=("virsh", "destroy", *gently, "--", guest.name),
                why="end its QEMU" if kill else "end its QEMU (if it won't, add --kill)",
                timeout=120.0,
            ),
        ),
        risk=Risk.GUEST,
    )
