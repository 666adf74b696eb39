"""What goes on inside running guests: agents and readiness, looked at once, for two seconds."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct

from kvmkeep.model.run import ReadyAgent, ReadyConsole, ReadyDelay, ReadyTcp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from kvmkeep.host.door import Door
    from kvmkeep.model.agent import AgentFacts, AgentFilesystem
    from kvmkeep.model.command import Command
    from kvmkeep.model.spec import Guest

_PID_FILE = "/run/libvirt/qemu/{}.pid"
"""Written by libvirt when it starts a guest, and only then."""


class Readiness(StrEnum):
    """Whether a guest does what it is there for, as its spec defines that."""

    YES = "ready"
    NO = "not ready"
    UNKNOWN = "unknown"


class Signs(Struct, frozen=True, kw_only=True):
    """What was seen of a running guest.

    `tried` is how the question of its spec ended, None where it has none or got no answer.
    `up` is for how many seconds it has been running, None where that is not known.
    """

    agent: AgentFacts | None = None
    tried: bool | None = None
    up: float | None = None


def look_inside(
    door: Door,
    uri: str,
    running: Mapping[str, str],
    guests: Mapping[str, Guest],
    now: datetime,
    *,
    said: Collection[str] = (),
) -> dict[str, Signs]:
    """Return the signs of running guests, given by name with their UUIDs; two seconds in all.

    `said` are those of whom it is known that they said their line (`model.console.has_said`).
    """
    from kvmkeep.observe.agents import observe_agents

    wanted = {name: guests[name] for name in running if name in guests}
    questions = {
        name: q
        for name, guest in wanted.items()
        if name not in said and (q := question(guest)) is not None
    }
    told = observe_agents(door, running, others=questions.values(), uri=uri)
    tried = dict.fromkeys(said, True) | dict(zip(questions, told.others, strict=True))
    agents = {agent.guest: agent for agent in told.agents}
    return {
        name: Signs(agent=agents[name], tried=tried.get(name), up=_up(door, wanted.get(name), now))
        for name in running
    }


def question(guest: Guest) -> Command | None:
    """Return what tells by its end whether a guest is ready, if its spec asks for such a thing."""
    from kvmkeep.planning.running.waiting import console_try, tcp_try

    match guest.run.ready:
        case ReadyTcp() as wanted:
            return tcp_try(guest, wanted)
        case ReadyConsole() as wanted:
            return console_try(guest, wanted)
        case _:
            return None


def _up(door: Door, guest: Guest | None, now: datetime) -> float | None:
    if guest is None or not isinstance(guest.run.ready, ReadyDelay):
        return None
    return up_for(door, guest.name, now)


def up_for(door: Door, guest: str, now: datetime) -> float | None:
    """Return for how many seconds a guest has been running, None where that is not known."""
    file = door.look(_PID_FILE.format(guest))
    return None if file is None else now.timestamp() - file.fingerprint.mtime_ns / 10**9


def readiness(guest: Guest | None, signs: Signs | None) -> Readiness:
    """Return whether a running guest is ready; without a spec, whether its agent answers."""
    if signs is None:
        return Readiness.UNKNOWN
    wanted = ReadyAgent() if guest is None else guest.run.ready
    good: bool | None
    match wanted:
        case ReadyAgent():
            good = None if signs.agent is None else signs.agent.answers
        case ReadyTcp() | ReadyConsole():
            good = signs.tried
        case ReadyDelay():
            good = None if signs.up is None else signs.up >= wanted.seconds
        case _:  # pragma: no cover - the type checker proves it
            assert_never(wanted)
    return Readiness.UNKNOWN if good is None else Readiness.YES if good else Readiness.NO


def addresses(guest: Guest | None, agent: AgentFacts | None) -> tuple[str, ...]:
    """Return a guest's addresses: of the spec, and where the guest says otherwise, its own."""
    if guest is None:
        return () if agent is None else tuple(a for nic in agent.nics for a in _own(nic.addresses))
    found: list[str] = []
    for nic in guest.nics:
        wanted = [str(address.ip) for address in nic.addresses]
        known = agent is not None and any(one.mac == nic.mac for one in agent.nics)
        said = _own(agent.addresses(nic.mac)) if agent is not None else []
        if nic.dhcp:
            found += [f"{text} (dhcp)" for text in said] or ["dhcp"]
        elif not wanted:
            found += said
        found += wanted
        if wanted and known and not set(wanted) <= set(said):
            found.append(f"(the guest has {', '.join(said) or 'none'})")
    return tuple(found)


def _own(claims: tuple[str, ...]) -> list[str]:
    """Return addresses without their prefix, and without those that each interface has."""
    texts = [claim.partition("/")[0] for claim in claims]
    return [text for text in texts if not text.startswith(("fe80:", "169.254."))]


def fullest(agent: AgentFacts | None) -> AgentFilesystem | None:
    """Return the filesystem that is nearest to being full; read-only images always are."""
    if agent is None:
        return None
    known = [
        one for one in agent.filesystems
        if one.percent is not None and one.type not in {"squashfs", "iso9660", "erofs"}
    ]  # fmt: skip
    return max(known, key=lambda one: one.percent or 0.0, default=None)
