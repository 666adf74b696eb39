"""How things stand: each network, image and guest of the spec against the plan; pure."""

from __future__ import annotations

from collections import defaultdict
from enum import IntEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.age import NONE, backup_age, told
from kvmkeep.model.facts import GROUPS, LIBVIRT, LINKS, NETWORK_MANAGER, VOLUMES, ArrayState
from kvmkeep.model.trash import is_trash
from kvmkeep.model.units import Size

if TYPE_CHECKING:
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.health import Finding
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Guest, Spec


class Level(IntEnum):
    """How bad it is; the worst comes first."""

    REFUSED = 0
    UNSEEN = 1
    DIFFERS = 2
    AS_SPEC = 3


WORDS = {
    Level.REFUSED: "REFUSED",
    Level.UNSEEN: "unseen",
    Level.DIFFERS: "differs",
    Level.AS_SPEC: "ok",
}


class Standing(Struct, frozen=True, kw_only=True):
    """How one thing stands: what it is like now, and what would have to be done.

    `pending` is what comes about by itself, at a guest's next start.
    """

    subject: str
    level: Level
    now: str
    todo: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


class Status(Struct, frozen=True, kw_only=True):
    """The whole screen. `memory` is a sentence.

    `trouble` is what is wrong whatever the spec says, the worst first.
    """

    host: str
    storage: tuple[Standing, ...]
    memory: str
    others: tuple[Standing, ...]
    networks: tuple[Standing, ...]
    images: tuple[Standing, ...]
    guests: tuple[Standing, ...]
    notes: tuple[str, ...]
    trouble: tuple[Finding, ...] = ()

    @property
    def all(self) -> tuple[Standing, ...]:
        """Every standing."""
        return (*self.storage, *self.others, *self.networks, *self.images, *self.guests)

    @property
    def as_spec(self) -> bool:
        """Whether nothing differs."""
        return all(standing.level is Level.AS_SPEC for standing in self.all)


def stand(spec: Spec, facts: Facts, plan: Plan) -> Status:
    """Return how everything stands."""
    todo: dict[str, list[str]] = defaultdict(list)
    refused: dict[str, list[str]] = defaultdict(list)
    for step in plan.steps:
        todo[step.subject].append(step.what)
    for refusal in plan.refusals:
        refused[refusal.subject].append(refusal.text)

    def one(subject: str, now: str, *needed: str) -> Standing:
        bad, steps = refused.pop(subject, []), todo.pop(subject, [])
        level = Level.UNSEEN if facts.unseen(*needed) else Level.AS_SPEC
        level = Level.REFUSED if bad else Level.DIFFERS if steps else level
        later = tuple(note.text for note in plan.notes if note.pending and note.subject == subject)
        return Standing(subject=subject, level=level, now=now, todo=(*bad, *steps), pending=later)

    networks = [
        one(f"network {n.name}", _bridge(facts, n.bridge), LINKS, NETWORK_MANAGER)
        for n in spec.networks
    ]
    images = [one(f"image {i.name}", _image(facts, i.name)) for i in spec.images]
    guests = [one(f"guest {g.name}", _guest(facts, g), LIBVIRT, VOLUMES) for g in spec.guests]
    others = [one(subject, "") for subject in sorted({*todo, *refused})]
    return Status(
        host=spec.host.name,
        storage=_storage(spec, facts),
        memory=_memory(spec, facts),
        others=_worst_first(others),
        networks=_worst_first(networks),
        images=_worst_first(images),
        guests=_worst_first(guests),
        notes=tuple(f"{note.subject}: {note.text}" for note in plan.notes),
    )


def _worst_first(standings: list[Standing]) -> tuple[Standing, ...]:
    return tuple(sorted(standings, key=lambda s: (s.level, s.subject)))


def _bridge(facts: Facts, bridge: str) -> str:
    link = facts.link(bridge)
    if link is None and facts.unseen(LINKS):
        return f"{bridge} is not seen"
    if link is None:
        return f"{bridge} is not there"
    return f"{bridge} is {'up' if link.up else 'down'}"


def _image(facts: Facts, name: str) -> str:
    image = facts.image(name)
    if image is None or image.original is None:
        return "not on this host yet"
    if image.header is not None and image.header.refused:
        return image.header.refused
    state = "checksum right" if image.verified else "checksum not checked"
    looked = "" if image.contents is None else f", {image.contents.os or 'unknown system'}"
    return state + looked


def _guest(facts: Facts, guest: Guest) -> str:
    domain = facts.domain(guest.name)
    absent = "not seen" if facts.unseen(LIBVIRT) else "absent"
    state = domain.state.value if domain is not None else absent
    backup = backup_age(guest, facts.backups, facts.now)
    if not backup:
        return state
    return f"{state}, no backup" if backup == NONE else f"{state}, last backup {told(backup)}"


def _storage(spec: Spec, facts: Facts) -> tuple[Standing, ...]:
    standings = []
    for array in facts.arrays:
        good = array.state is ArrayState.CLEAN
        now = array.state.value + (f": {array.detail}" if array.detail and not good else "")
        level = Level.AS_SPEC if good else Level.DIFFERS
        standings.append(Standing(subject=f"array {array.name}", level=level, now=now))
    group = facts.group(spec.storage.vg)
    if group is None and facts.unseen(GROUPS):
        now, level = "is not seen", Level.UNSEEN
    elif group is None:
        now, level = "is not there", Level.DIFFERS
    else:
        free = group.free.minus(spec.host.storage_reserve)
        trash = sum(one.size.bytes for one in facts.volumes if is_trash(one))
        also = f", {Size(trash)} in the trash" if trash else ""
        now = f"{free} for guests of {group.size} ({spec.host.storage_reserve} reserved{also})"
        level = Level.DIFFERS if group.missing_pvs else Level.AS_SPEC
    standings.append(Standing(subject=f"group {spec.storage.vg}", level=level, now=now))
    return tuple(standings)


def _memory(spec: Spec, facts: Facts) -> str:
    promised = sum(guest.memory_max.bytes for guest in spec.guests)
    ours = {guest.name for guest in spec.guests}
    foreign = sum(d.memory.bytes for d in facts.domains if d.name not in ours)
    also = f", {Size(foreign)} of other domains" if foreign else ""
    return (
        f"{Size(promised)} promised to guests{also}, {spec.host.memory_reserve} reserved, "
        f"{facts.memory} present"
    )
