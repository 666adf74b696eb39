"""The plan of `reboot`: guests are asked to reboot, seen to go down, and waited for.

QEMU lives on through a guest's reboot, so nothing that libvirt keeps tells one boot from the next.
What tells is the guest itself: it must answer before, fall silent, and answer again. Once that was
seen, the running domain is given a mark with the time of the request, which the next look finds; a
run that was killed before leaves no mark, and the next run reboots the guest once more.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import REBOOT_KEY, REBOOT_URI, console_log
from kvmkeep.model.plan import Noun, Plan, Refusal, Risk, Step
from kvmkeep.model.run import ReadyAgent, ReadyConsole, ReadyTcp
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning import programs
from kvmkeep.planning.commands import is_guest
from kvmkeep.planning.running.order import in_order
from kvmkeep.planning.running.shutdown import ASKING, deaf, left_alone, shutdown_step
from kvmkeep.planning.running.start import plan_start, young
from kvmkeep.planning.running.waiting import agent_ping, ready, set_aside, tcp_try, up
from kvmkeep.planning.scene import Scene, aliases, is_on, make_scene

_PATIENCE = 20
"""Seconds that an agent has to answer before it counts as gone: a guest that shuts down is busy,
and a late answer of the old boot must not pass for the new one. An agent that ended is told at
once: libvirt sees its port closed."""

_ANSWERING = 60.0
"""Seconds to wait for the first answer: the guest may still boot after a run that was killed."""


def plan_reboot(
    spec: Spec, facts: Facts, before: Facts, names: Iterable[str], limit: int = 0
) -> Plan:
    """Plan to reboot guests, those first that others need.

    `before` are the facts of the first look: guests that rebooted since are done. `limit` is how
    many seconds each gets to go down; 0 leaves that to the spec.
    """
    order = in_order(spec, (GuestName(name) for name in names))
    scene = make_scene(spec, facts, order.guests)
    first = make_scene(spec, before, order.guests)
    left = [guest for guest in scene.guests if not _rebooted(scene, first, guest)]
    refusals = tuple(refusal for guest in left if (refusal := _unfit(scene, guest)) is not None)
    steps = tuple(_step(scene, guest, before.time, limit) for guest in left)
    return Plan(
        steps=steps,
        refusals=(*order.refusals, *programs.missing_tools(scene, steps), *refusals),
        notes=left_alone(scene, left),
    )


def plan_cold_reboot(
    spec: Spec, facts: Facts, before: Facts, names: Iterable[str], limit: int = 0
) -> Plan:
    """Plan to shut guests down and start them again: each then has a new QEMU process.

    A guest that is off is only started, so that a run that was killed in between is mended.
    """
    chosen = tuple(names)
    order = in_order(spec, (GuestName(name) for name in chosen))
    scene = make_scene(spec, facts, order.guests)
    first = make_scene(spec, before, order.guests)
    left = [guest for guest in scene.guests if _same_process(scene, first, guest)]
    refusals = tuple(
        refusal for guest in left if (refusal := _deaf_or_new(scene, guest)) is not None
    )
    going = [guest for guest in reversed(left) if is_on(scene, guest)]
    down = tuple(shutdown_step(scene, guest, limit) for guest in going)
    off = _once_off(facts, {guest.name for guest in going})
    up = plan_start(spec, off, chosen) if not refusals else Plan()
    return Plan(
        steps=(*down, *up.steps),
        refusals=(*(up.refusals or order.refusals), *refusals),
        notes=left_alone(scene, going),
    )


def _same_process(scene: Scene, first: Scene, guest: Guest) -> bool:
    now, then = scene.own_domain(guest), first.own_domain(guest)
    return now is None or now.run < 0 or (then is not None and now.run == then.run)


def _once_off(facts: Facts, names: set[str]) -> Facts:
    """Return the facts as they will be when these guests have shut down."""
    domains = tuple(
        replace(one, state=DomainState.SHUTOFF, run=-1) if one.name in names else one
        for one in facts.domains
    )
    used = {
        name
        for one in facts.domains
        if one.name in names
        for disk in one.disks
        for name in (disk.source, disk.device)
    }
    volumes = tuple(
        replace(one, opened=False) if used & {*aliases(one.vg, one.name, one.device)} else one
        for one in facts.volumes
    )
    return replace(facts, domains=domains, volumes=volumes)


def _deaf_or_new(scene: Scene, guest: Guest) -> Refusal | None:
    return deaf(scene, guest) or young(scene, guest)


def _rebooted(scene: Scene, first: Scene, guest: Guest) -> bool:
    """Whether a guest has rebooted since the first look, or was started since."""
    domain = scene.own_domain(guest)
    if domain is None or domain.run < 0:
        return False
    started = not _same_process(scene, first, guest)
    return started or domain.rebooted == first.facts.time


def _unfit(scene: Scene, guest: Guest) -> Refusal | None:
    subject = f"guest {guest.name}"
    refusal = _deaf_or_new(scene, guest)
    if refusal is not None:
        return refusal
    if not is_on(scene, guest):
        hint = f"start it: kvmkeep start {guest.name}"
        return Refusal(subject=subject, reason="it is off", hint=hint)
    if _witness(scene, guest) is None and not isinstance(guest.run.ready, ReadyConsole):
        hint = f"shut it down and start it instead: kvmkeep reboot --cold {guest.name}"
        reason = "nothing would tell that it has rebooted: it has no agent connected"
        return Refusal(subject=subject, reason=reason, hint=hint)
    return None


def _witness(scene: Scene, guest: Guest) -> Command | None:
    """Return the question that the guest answers while it is up, and not while it boots.

    Where there is none, a console that was emptied before tells of the new boot.
    """
    domain = scene.own_domain(guest)
    if isinstance(guest.run.ready, ReadyAgent) or (domain is not None and domain.agent):
        return agent_ping(guest, patience=_PATIENCE)
    if isinstance(guest.run.ready, ReadyTcp):
        return tcp_try(guest, guest.run.ready)
    return None


def _step(scene: Scene, guest: Guest, asked: str, limit: int) -> Step:
    witness = _witness(scene, guest)
    actions: list[Action] = [] if witness is None else [_answers(guest, witness)]
    if isinstance(guest.run.ready, ReadyConsole):
        actions += _new_log(guest)
    actions.append(
        Command(
            # Without --mode, libvirt asks the agent and, if that fails, presses the ACPI button.
            argv=("virsh", "reboot", "--", guest.name),
            why="ask the guest to reboot",
            timeout=ASKING,
        )
    )
    if witness is not None:
        actions += [_falls_silent(guest, witness, limit), up(guest, witness)]
    actions += [*ready(guest), _mark(guest, asked)]
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what="reboot it, see it go down, and wait until it is ready again",
        why="you asked for it",
        probe=is_guest(guest),
        actions=tuple(actions),
        risk=Risk.GUEST,
    )


def _answers(guest: Guest, witness: Command) -> Poll:
    cold = f"kvmkeep reboot --cold {guest.name}"
    return Poll(
        command=replace(witness, why="see that the guest answers: its silence will tell"),
        limit=_ANSWERING,
        message=f"guest {guest.name} to answer before it is asked",
        otherwise=f"it was not asked to reboot; to shut it down and start it instead: {cold}",
    )


def _falls_silent(guest: Guest, witness: Command, limit: int) -> Poll:
    return Poll(
        command=replace(witness, ok=(1,), why="see that it went down: it no longer answers"),
        limit=float(limit or guest.run.stop_timeout),
        message=f"guest {guest.name} to go down",
        otherwise=(
            f"the guest was asked, has not gone down and goes on running; see why: "
            f"kvmkeep console {guest.name}"
        ),
        every=0.5,
    )


def _new_log(guest: Guest) -> tuple[Command, ...]:
    """Empty the console's log, so that only the new boot counts; virtlogd appends to it."""
    log = console_log(guest.name)
    return (
        Command(argv=("cp", "--", log, f"{log}.before"), why="keep the console's old log apart"),
        Command(
            argv=("truncate", "--no-create", "--size=0", "--", log),
            why="what is said from now on is of the new boot",
        ),
        set_aside(f"{log}.0"),
    )


def _mark(guest: Guest, asked: str) -> Command:
    return Command(
        argv=(
            "virsh", "metadata", "--domain", guest.name, "--uri", REBOOT_URI, "--key", REBOOT_KEY,
            "--set", f"<rebooted asked='{asked}'/>", "--live",
        ),
        why="note with the running guest that its reboot is done",
    )  # fmt: skip
