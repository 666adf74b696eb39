"""The plan of `watch`: guests that died are started again, and what can't be helped is told.

Who shut a guest down by other means than kvmkeep (in the guest, with virsh) knew what he did:
it is told, and not undone. A guest that dies again and again is started at growing intervals,
and then held until somebody says `kvmkeep start`. One that could not even be started did not die:
what is in the way is the host's, so that is tried for as long as it takes.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import IO_ERROR, PANICKED, Domain, DomainState
from kvmkeep.model.facts import LIBVIRT, VOLUMES, Facts
from kvmkeep.model.names import BACKUP_LOCK, PROOF_LOCK, second_stamp, stamped_time
from kvmkeep.model.plan import Note, Noun, Plan, Step
from kvmkeep.model.run import ReadyAgent, ReadyDelay
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import guards, programs
from kvmkeep.planning.backups.awaited import awaiting_steps
from kvmkeep.planning.backups.strays import stray_steps
from kvmkeep.planning.backups.take import leftovers
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.domains.run_mark import anew
from kvmkeep.planning.domains.wanted_state import marking
from kvmkeep.planning.proofs.prove import killed_proofs
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.paused import how_to_continue, paused_text
from kvmkeep.planning.running.recover import (
    awaited,
    beside_proofs,
    demanded,
    held_back,
    rising,
    wait_step,
)
from kvmkeep.planning.running.saved import resumed_notes
from kvmkeep.planning.running.waiting import was_ready
from kvmkeep.planning.scene import Scene, active, make_scene
from kvmkeep.planning.snapshots.mend import thaw_steps
from kvmkeep.planning.snapshots.watch import Watch, plan_watch

PAUSES = (0, 60, 300, 900)
"""Seconds after the last restart before the next one; as many are tried as there are here."""
WELL = 3600
"""Seconds after a restart from which on the guest counts as having run well."""
_MEANT = frozenset({"shutdown", "destroyed", "migrated", "saved", "from snapshot"})
"""Why a domain is off, where somebody meant it: virDomainShutoffReason, in virsh's words."""
_BY_ITSELF = frozenset({DomainState.CRASHED, DomainState.SUSPENDED, DomainState.SHUTDOWN})
"""How a guest stands still by itself; who typed `virsh suspend` knows it."""
_FAILED = "failed"
"""Why it is off, where its QEMU did not come up: for want of a bridge, of memory, of a device."""
_SOON = 30.0
"""Seconds that a look waits for one which others need: nobody can type meanwhile."""
_SNAPSHOTS = Watch(at=70, by=25, guests=())


class _Care(Struct):
    """A plan in the making: `before` is what is to be kept before a guest is started again."""

    scene: Scene
    now: datetime
    before: dict[GuestName, tuple[Command, ...]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def tell(self, guest: Guest, text: str) -> None:
        """Note something about a guest."""
        self.notes.append(Note(subject=f"guest {guest.name}", text=text))


def plan_look_after(spec: Spec, facts: Facts) -> Plan:
    """Plan to start guests again that are to run and died, and to have filling snapshots grow."""
    order = in_order(spec, awaited(spec, facts))
    scene = make_scene(spec, facts, order.guests)
    care = _Care(scene=scene, now=facts.now)
    for guest in scene.guests:
        domain = scene.own_domain(guest)
        if domain is not None and active(domain):
            _stands_still(care, guest, domain)
    seen = (*_held_no_more(scene), *_seen_ready(scene))
    again = _again(care, _dead(care))
    snapshots = plan_watch(spec, facts, _SNAPSHOTS)
    grown = () if snapshots.refusals else snapshots.steps
    # What may fail each time comes last. Nor is it left out where its guest's start or wait fails
    # each time: its snapshots would be lost, and a dead run's set would fill.
    tidying = (
        *_apart("standstill", _let_go(scene)),
        *_apart("snapshots", grown),
        *_apart("leftovers", _of_the_killed(scene)),
        *_apart("first backup", awaiting_steps(spec, facts)),
    )
    able = (step for step in (*seen, *tidying) if not programs.incapable(scene, (step,)))
    starting = (*care.steps, *rising(scene, again, care.before))
    return Plan(
        steps=(*starting, *able),
        refusals=(
            *order.refusals,
            *guards.blind(scene, LIBVIRT, VOLUMES),
            *programs.unstartable(scene, (*starting, *tidying)),
        ),
        notes=(
            *care.notes,
            *resumed_notes(scene, again),
            *beside_proofs(scene, again),
            *guards.half_blind(scene, LIBVIRT, VOLUMES),
            *(one.note for one in snapshots.refusals if not one.unseen),
            *snapshots.notes,
            *programs.incapable(scene, (*starting, *tidying)),
        ),
        once=True,
    )


def _apart(thing: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps under subjects of their own: what they change is not the guest.

    One that fails each time, as where LVM finds no room, leaves out only those about the same.
    """
    return tuple(
        replace(step, subject=f"{thing} of {step.subject}", isolated=True) for step in steps
    )


def _let_go(scene: Scene) -> tuple[Step, ...]:
    """Return what lets guests go that wear the tag of a run in whose window they stood still.

    That run is dead, or gave up: it would hold the host's lock, which the watch has. The guard's
    timer tries for some minutes only, and a freeze of much dirty memory may end after that.
    """
    return tuple(
        step
        for guest in scene.every_guest.values()
        if (domain := scene.own_domain(guest)) is not None and not _needs_a_person(domain)
        for step in thaw_steps(scene, guest)
    )


def _needs_a_person(domain: Domain) -> bool:
    """Whether a guest stands still for a reason that can't be helped by letting it go on."""
    stopped = domain.state is DomainState.PAUSED and domain.why == IO_ERROR
    return stopped or domain.state is DomainState.CRASHED


def _of_the_killed(scene: Scene) -> tuple[Step, ...]:
    """Return what takes away what killed runs about backups have left.

    Nothing where it can't be seen whether a run is at work.
    """
    spec, facts = scene.spec, scene.facts
    if guards.blind_for(scene) or facts.unseen(BACKUP_LOCK, PROOF_LOCK):
        return ()
    return (*leftovers(spec, facts), *killed_proofs(scene), *stray_steps(facts))


def _stands_still(care: _Care, guest: Guest, domain: Domain) -> None:
    """Tell of a guest that stands still by itself, was reset, or whose agent fell silent."""
    if domain.state is DomainState.PAUSED and domain.why == IO_ERROR:
        text = "it stands still since one of its disks gave an error: see kvmkeep check"
        care.tell(guest, text)
    if domain.state in _BY_ITSELF:
        care.tell(guest, f"{paused_text(domain)} ({how_to_continue(domain)})")
    if domain.state is DomainState.RUNNING and domain.why == PANICKED:
        care.tell(guest, "its kernel panicked, and libvirt has reset it: see kvmkeep check")
    answer = care.scene.facts.agent(guest.name)
    told = isinstance(guest.run.ready, ReadyAgent) and domain.was_ready
    if told and answer is not None and answer.problem:
        care.tell(guest, f"it was ready, but now its agent is silent: {answer.problem}")


def _held_no_more(scene: Scene) -> tuple[Step, ...]:
    """Return what forgets of guests that they were held: a person or a boot has started them.

    Else the next death of such a one would hold it at once, however long it has run by then.
    """
    why = "it runs again, so it is looked after as before"
    return tuple(
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {guest.name}",
            what="forget that it was held",
            why=why,
            probe=is_guest(guest),
            actions=marking(scene, guest, domain, anew(domain), why),
            isolated=True,
        )
        for guest in scene.guests
        if (domain := scene.own_domain(guest)) is not None
        and active(domain)
        and domain.run_mark.held
    )


def _seen_ready(scene: Scene) -> tuple[Step, ...]:
    """Return what keeps of guests that they are ready: nobody has waited for these.

    Others have started them, or libvirt has. Without it, one whose agent falls silent later, or
    whose line on the console was dropped with old logs, could not be told from one that was never
    ready.
    """
    return tuple(
        Step(
            noun=Noun.DOMAINS,
            subject=f"guest {guest.name}",
            what="remember that it is ready",
            why=why,
            probe=is_guest(guest),
            actions=(was_ready(guest),),
            isolated=True,
        )
        for guest in scene.guests
        if (why := _unkept(scene, guest))
    )


def _unkept(scene: Scene, guest: Guest) -> str:
    """Return what tells that a guest is ready where its QEMU process does not keep that."""
    domain = scene.own_domain(guest)
    if domain is None:
        return ""
    if guest.name in scene.facts.said:
        return "the line that tells so is on its console"
    answer = scene.facts.agent(guest.name)
    asked = isinstance(guest.run.ready, ReadyAgent) and not domain.was_ready
    return "its agent answers" if asked and answer is not None and not answer.problem else ""


def _dead(care: _Care) -> list[Guest]:
    """Return who is to run, is off, and can be started; tell of the others that are off."""
    scene = care.scene
    held = {refusal.subject: refusal for refusal in held_back(scene)}
    dead: list[Guest] = []
    for guest in scene.guests:
        domain = scene.own_domain(guest)
        refusal = held.get(f"guest {guest.name}")
        if domain is not None and active(domain):
            continue
        if domain is not None and domain.why in _MEANT:
            care.tell(
                guest,
                f"it is to run, and is off ({domain.why}), but not by kvmkeep: to start it, "
                f"kvmkeep start {guest.name}; to have it stay off, kvmkeep shutdown {guest.name}",
            )
        elif refusal is not None:
            care.tell(guest, f"held back: {refusal.text}")
        elif missing := _off_by_will(care, guest):
            care.tell(guest, f"held back: it needs {missing}, which is off (kvmkeep start)")
        else:
            dead.append(guest)
    return dead


def _off_by_will(care: _Care, guest: Guest) -> str:
    """Return a guest that this one needs, and that is off and is not started either."""
    looked_after = {one.name for one in care.scene.guests}
    for need in demanded(care.scene, guest):
        domain = care.scene.domain(need)
        off = domain is not None and not active(domain)
        if domain is not None and off and (need.name not in looked_after or domain.why in _MEANT):
            return need.name
    return ""


def _again(care: _Care, dead: list[Guest]) -> list[Guest]:
    """Return who is started again now, and whose needs are met by then; tell of the others."""
    again: list[Guest] = []
    for guest in dead:
        lacks = (_lacks(care, need, again) for need in demanded(care.scene, guest))
        lack = next((one for one in lacks if one), "")
        if lack:
            care.tell(guest, f"held back: it needs {lack}")
        elif _may_again(care, guest, care.scene.domains[guest.name]):
            again.append(guest)
    return again


def _lacks(care: _Care, need: Guest, again: list[Guest]) -> str:
    """Return what is not well with a guest that another one needs, if anything is.

    Where no agent tells, it is planned to wait for it a little; who needs it comes after that.
    """
    domain = care.scene.own_domain(need)
    if domain is None or not active(domain):
        return "" if need in again else f"{need.name}, which is off"
    if domain.was_ready or isinstance(need.run.ready, ReadyDelay):
        return ""
    if isinstance(need.run.ready, ReadyAgent):
        answer = care.scene.facts.agent(need.name)
        silent = answer is None or answer.problem
        return f"{need.name}, whose agent is silent" if silent else ""
    step = wait_step(care.scene, need, limit=_SOON)
    if step not in care.steps:
        care.steps.append(step)
    return ""


def _may_again(care: _Care, guest: Guest, domain: Domain) -> bool:
    """Whether a guest that died is started again now; if so, this is counted before."""
    kept = domain.run_mark
    since = _seconds_since(care.now, kept.last)
    lately = since is not None and since < WELL
    failed = domain.why == _FAILED
    count = (min(kept.tries, len(PAUSES) - 1) if failed else kept.restarts) if lately else 0
    if kept.held:
        care.tell(guest, _held_text(guest, kept.restarts))
        return False
    if count >= len(PAUSES):
        why = "it is not to die for ever"
        mark = replace(kept, held=True)
        care.steps.append(
            Step(
                noun=Noun.DOMAINS,
                subject=f"guest {guest.name}",
                what=f"hold it: it died again after {count} restarts",
                why=f"{why}; to let it go: kvmkeep start {guest.name}",
                probe=is_guest(guest),
                actions=marking(care.scene, guest, domain, mark, "have nobody start it again"),
                isolated=True,
            )
        )
        care.tell(guest, _held_text(guest, count))
        return False
    if since is not None and count and since < PAUSES[count]:
        left = PAUSES[count] - since
        what = "it could not be started" if failed else "it died again"
        care.tell(guest, f"{what} after {count} restarts; the next one is in {left} s")
        return False
    mark = replace(
        kept,
        restarts=kept.restarts if failed else count + 1,
        tries=count + 1 if failed else 1,
        last=second_stamp(care.scene.facts.time),
    )
    why = "count this restart, so that there is an end to them"
    care.before[guest.name] = marking(care.scene, guest, domain, mark, why)
    return True


def _held_text(guest: Guest, count: int) -> str:
    return (
        f"held: it died again after {count} restarts; see why: kvmkeep console {guest.name} --log, "
        f"/var/log/libvirt/qemu/{guest.name}.log; then: kvmkeep start {guest.name}"
    )


def _seconds_since(now: datetime, stamp: str) -> int | None:
    """Return how long ago that was; None where it was never, or lies in the future."""
    last = stamped_time(stamp)
    seconds = None if last is None else int((now - last).total_seconds())
    return seconds if seconds is not None and seconds >= 0 else None
