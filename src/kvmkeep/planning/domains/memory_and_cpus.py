"""Memory and CPUs of a guest in service: changed while it runs where that can be.

What can't be changed while it runs stands in its definition, and counts from its next start on.
CPUs are never taken from a running guest: one that it was started with can't be unplugged, and
what a guest does when one is pulled is its own. Memory is taken and given by the balloon, within
the most that the running QEMU may have.
"""

from __future__ import annotations

from kvmkeep.model.agent import agent_argv
from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.domain_facts import Domain, DomainState, Shape
from kvmkeep.model.plan import Note, Noun, Risk, Step
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import Size
from kvmkeep.planning.commands import is_guest

_SLACK = 1024
"""In KiB: QEMU's memory is whole MiB (qemuDomainGetMemorySizeAlignment() in libvirt)."""


def shape_steps(guest: Guest, domain: Domain) -> tuple[Step, ...]:
    """Return what gives a guest the memory and CPUs of the spec."""
    steps = (_memory_step(guest, domain), _vcpus_step(guest, domain))
    return tuple(step for step in steps if step is not None)


def shape_notes(guest: Guest, domain: Domain) -> tuple[Note, ...]:
    """Return what of a guest's shape waits for its next start."""
    live = domain.live
    if live is None:
        return ()
    memory = guest.memory if _memory_can_change(guest, domain) else live.memory
    vcpus = guest.vcpus if _vcpus_can_change(guest, domain) else live.vcpus
    pairs = (
        (_memory_text(memory, live.memory_max), _memory_text(guest.memory, guest.memory_max)),
        (_vcpus_text(vcpus, live.vcpus_max), _vcpus_text(guest.vcpus, guest.vcpus_max)),
    )
    return tuple(
        Note(
            subject=f"guest {guest.name}",
            text=f"when it is shut down and started again, it has {then} (now {now})",
            pending=True,
        )
        for now, then in pairs
        if now != then
    )


def runs(domain: Domain) -> bool:
    """Whether a guest runs and can follow what is done to its hardware."""
    return domain.state in {DomainState.RUNNING, DomainState.BLOCKED}


def _memory_step(guest: Guest, domain: Domain) -> Step | None:
    defined, live = domain.defined, domain.live
    if defined is None:
        return None
    change_live = _memory_can_change(guest, domain)
    config = not _same(defined.memory, guest.memory)
    flags = (*(("--config",) if config else ()), *(("--live",) if change_live else ()))
    now = [_set(guest, "setmem", "--size", guest.memory.kib, flags)] if flags else []
    most: list[Command] = []
    if not _same(defined.memory_max, guest.memory_max):
        most = [_set(guest, "setmaxmem", "--size", guest.memory_max.kib, ("--config",))]
    # What it has must never exceed the most: that is raised first, and lowered last.
    first_most = guest.memory.kib > defined.memory_max.kib
    actions: list[Action] = [*most, *now] if first_most else [*now, *most]
    if change_live:
        actions.append(_until_memory(guest))
    before = live if change_live and live is not None else defined
    return _step(
        guest,
        domain,
        actions,
        what=f"give it {_memory_text(guest.memory, guest.memory_max)}",
        before=_memory_text(before.memory, before.memory_max),
        live=change_live,
    )


def _vcpus_step(guest: Guest, domain: Domain) -> Step | None:
    defined, live = domain.defined, domain.live
    if defined is None:
        return None
    change_live = _vcpus_can_change(guest, domain)
    config = defined.vcpus != guest.vcpus
    flags = (*(("--config",) if config else ()), *(("--live",) if change_live else ()))
    now = [_set(guest, "setvcpus", "--count", guest.vcpus, flags)] if flags else []
    most: list[Command] = []
    if defined.vcpus_max != guest.vcpus_max:
        most = [_set(guest, "setvcpus", "--count", guest.vcpus_max, ("--config", "--maximum"))]
    first_most = guest.vcpus > defined.vcpus_max
    actions: list[Action] = [*most, *now] if first_most else [*now, *most]
    if change_live and domain.agent and live is not None:
        actions.append(_use_cpus(guest, live))
    before = live if change_live and live is not None else defined
    return _step(
        guest,
        domain,
        actions,
        what=f"give it {_vcpus_text(guest.vcpus, guest.vcpus_max)}",
        before=_vcpus_text(before.vcpus, before.vcpus_max),
        live=change_live,
    )


def _memory_can_change(guest: Guest, domain: Domain) -> bool:
    """Whether the running guest's memory is another one, and can be made that of the spec."""
    live = domain.live
    return (
        live is not None
        and runs(domain)
        and live.balloon
        and guest.memory.kib <= live.memory_max.kib
        and not _same(live.memory, guest.memory)
    )


def _vcpus_can_change(guest: Guest, domain: Domain) -> bool:
    live = domain.live
    return live is not None and runs(domain) and live.vcpus < guest.vcpus <= live.vcpus_max


def _step(
    guest: Guest, domain: Domain, actions: list[Action], *, what: str, before: str, live: bool
) -> Step | None:
    if not actions:
        return None
    later = domain.live is not None and not live
    return Step(
        noun=Noun.DOMAINS,
        subject=f"guest {guest.name}",
        what=f"{what}, from its next start on" if later else what,
        why=f"the spec says so, and {'it has' if live else 'its definition says'} {before}",
        probe=is_guest(guest),
        actions=tuple(actions),
        risk=Risk.GUEST if live else Risk.NONE,
    )


def _set(guest: Guest, verb: str, option: str, number: int, flags: tuple[str, ...]) -> Command:
    places = [
        *(("definition",) if "--config" in flags else ()),
        *(("running guest",) if "--live" in flags else ()),
    ]
    return Command(
        argv=("virsh", verb, "--domain", guest.name, option, str(number), *flags),
        why=f"change the {' and the '.join(places)}",
    )


def _until_memory(guest: Guest) -> Poll:
    kib = guest.memory.kib
    near = f"currentMemory > {kib - _SLACK} and currentMemory < {kib + _SLACK}"
    return Poll(
        command=Command(
            argv=(
                "virsh", "dumpxml", "--domain", guest.name, "--xpath", f"/domain[{near}]/name",
            ),
            why="see how much memory the guest has taken or let go",
            expect=f"<name>{guest.name}</name>",
        ),
        limit=120.0,
        message=f"the guest to have {guest.memory} of memory",
        otherwise=(
            "it may lack a balloon driver (virtio_balloon), or need the memory itself: then "
            "the spec has to say more"
        ),
    )  # fmt: skip


def _use_cpus(guest: Guest, live: Shape) -> Command:
    """Have the agent switch new CPUs on, where the guest does not do that by itself."""
    new = range(live.vcpus, guest.vcpus)
    arguments = {"vcpus": [{"logical-id": one, "online": True} for one in new]}
    return Command(
        argv=agent_argv(guest.name, "guest-set-vcpus", 5, arguments),
        why="have the guest use its new CPUs, if its agent can",
        ok=(0, 1),
    )


def _same(one: Size, other: Size) -> bool:
    return abs(one.kib - other.kib) < _SLACK


def _memory_text(memory: Size, most: Size) -> str:
    return f"{memory} of memory" + ("" if _same(memory, most) else f" (up to {most})")


def _vcpus_text(vcpus: int, most: int) -> str:
    text = "1 CPU" if vcpus == 1 else f"{vcpus} CPUs"
    return text if vcpus == most else f"{text} (up to {most})"
