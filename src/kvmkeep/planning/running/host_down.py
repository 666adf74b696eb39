"""The plan of `shutdown --host`: all guests go down before the host does, none of them for good.

Each is asked as soon as no running guest needs it any more, and has its own time. One that does
not go down keeps nobody else from being asked: the host goes down in any case. Of a guest that no
spec names, only its mark and the number of its QEMU process are known: libvirt counts them up, so
what was started last goes first, as what it may need came up before it.
"""

from __future__ import annotations

from kvmkeep.model.command import Command, Poll
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import LIBVIRT, Facts
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.run import DEFAULT_STOP
from kvmkeep.model.spec import Guest, Host, Spec, Storage
from kvmkeep.model.units import Size
from kvmkeep.planning import guards, programs
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.paused import standing
from kvmkeep.planning.running.shutdown import asking, deaf, shutdown_actions
from kvmkeep.planning.scene import Known, Scene, active, is_on, make_scene
from kvmkeep.planning.units.files import others, share

_WHY = "the host goes down"
NO_SPEC = Spec(
    host=Host(name="", memory_reserve=Size(0), storage_reserve=Size(0)),
    storage=Storage(vg="", lv_prefix=""),
    uplink="",
    networks=(),
    images=(),
    guests=(),
    template="",
    xml_dir="/root/kvm",
)
"""Where there is no spec to go by: the guests are known by their marks."""


def plan_host_down(spec: Spec, facts: Facts) -> Plan:
    """Plan to shut all running guests down, in the reverse order of their needs.

    What stands still can't hear: it is told, and loses its power with the host. Nothing of this
    is remembered: after the host's start, they are to run as before.
    """
    order = in_order(spec, (guest.name for guest in spec.guests))
    scene = make_scene(spec, facts, order.guests)
    named = [guest for guest in reversed(scene.guests) if is_on(scene, guest)]
    active_ones = (one for one in others(facts.domains, scene.every_guest) if active(one))
    unnamed = sorted(active_ones, key=lambda one: one.run, reverse=True)
    still: dict[str, Refusal] = {
        guest.name: reason for guest in named if (reason := deaf(scene, guest)) is not None
    }
    still |= {
        one.name: reason for one in unnamed if (reason := standing(one, ours=False)) is not None
    }
    going = [guest for guest in named if guest.name not in still]
    stray = [one for one in unnamed if one.name not in still]
    limit = DEFAULT_STOP if spec.guests else share(facts, len(stray))
    steps = (*(step for one in stray for step in _stray(one, limit)), *_steps(scene, going))
    return Plan(
        steps=steps,
        refusals=(
            *order.refusals,
            *guards.blind(scene, LIBVIRT),
            *programs.missing_tools(scene, steps),
        ),
        notes=tuple(
            Note(
                subject=f"guest {name}",
                text=f"{refusal.reason}: its power goes with the host's ({refusal.hint})",
            )
            for name, refusal in still.items()
        ),
        once=True,
        recorded=True,
    )


def _steps(scene: Scene, going: list[Guest]) -> tuple[Step, ...]:
    """Ask who is not needed any more, and wait for those first that others wait for."""
    steps: list[Step] = []
    todo, asked = list(going), list[Guest]()
    while todo or asked:
        needed = {need for one in (*todo, *asked) for need in one.run.needs}
        free = next((one for one in todo if one.name not in needed), None)
        if free is not None:
            todo.remove(free)
            asked.append(free)
            ask, _ = shutdown_actions(scene, free, free.run.stop_timeout)
            steps.append(_step(free, "ask it to shut down", ask))
            continue
        waited = {one.name for one in todo}
        first = next((one for one in asked if waited & {*one.run.needs}), asked[0])
        asked.remove(first)
        _, off = shutdown_actions(scene, first, first.run.stop_timeout)
        steps.append(_step(first, "wait until it is off", off))
    return tuple(steps)


def _stray(domain: Domain, limit: int) -> tuple[Step, Step]:
    """Ask a guest of ours that no spec names, and wait before the next one is asked."""
    ask, off = asking(domain, limit, agent=domain.agent)
    what = "ask it to shut down: no spec tells what needs it"
    return _step(domain, what, ask), _step(domain, "wait until it is off", off)


def _step(guest: Known, what: str, action: Command | Poll) -> Step:
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=what,
        why=_WHY,
        probe=is_guest(guest),
        actions=(action,),
        risk=Risk.GUEST,
        isolated=True,
    )
