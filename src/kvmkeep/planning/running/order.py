"""In which order guests come: what a guest needs comes before it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from kvmkeep.model.plan import Note, Refusal
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName


class Order(Struct, frozen=True, kw_only=True):
    """Guests in the order of their needs, and why some could not be put in order."""

    guests: tuple[Guest, ...]
    refusals: tuple[Refusal, ...]


def in_order(spec: Spec, names: Iterable[GuestName], *, with_needs: bool = False) -> Order:
    """Put the named guests in order; equals keep the spec's order.

    `with_needs` adds all that they need, directly or not. The walk keeps its own stack: a chain
    of needs may be longer than Python's.
    """
    guests = {guest.name: guest for guest in spec.guests}
    wanted = set(names)
    refusals = [_unknown(name) for name in sorted(wanted - guests.keys())]
    placed: list[Guest] = []
    seen: set[GuestName] = set()
    path: list[GuestName] = []
    on_path: set[GuestName] = set()
    for first in guests:
        stack = [(first, False)] if first in wanted else []
        while stack:
            name, finished = stack.pop()
            if finished:
                placed.append(guests[name])
                on_path.discard(path.pop())
                continue
            if name in seen:
                if name in on_path:
                    refusals.append(_cycle(path, name))
                continue
            seen.add(name)
            path.append(name)
            on_path.add(name)
            stack.append((name, True))
            known, missing = _needs(guests, name)
            refusals.extend(missing)
            stack.extend((need, False) for need in reversed(known))
    chosen = placed if with_needs else [guest for guest in placed if guest.name in wanted]
    return Order(guests=tuple(chosen), refusals=tuple(refusals))


def unwilling_needs(spec: Spec, guests: Iterable[Guest]) -> tuple[Note, ...]:
    """Tell which guests start with the host and need one that does not do so by itself."""
    willing = {guest.name for guest in spec.guests if guest.run.autostart}
    return tuple(
        Note(
            subject=f"guest {guest.name}",
            text=f"it starts with the host and needs {need}, which has autostart: false "
            f"(write autostart: true for {need}, or take it out of run.needs)",
        )
        for guest in guests
        if guest.run.autostart
        for need in guest.run.needs
        if need not in willing
    )


def _needs(
    guests: dict[GuestName, Guest], name: GuestName
) -> tuple[tuple[GuestName, ...], tuple[Refusal, ...]]:
    needs = guests[name].run.needs
    missing = tuple(
        Refusal(
            subject=f"guest {name}",
            reason=f"it needs {need}, which is no guest of the spec",
            hint="correct run.needs, or write a file for that guest",
        )
        for need in needs
        if need not in guests
    )
    return tuple(need for need in needs if need in guests), missing


def _unknown(name: GuestName) -> Refusal:
    return Refusal(
        subject=f"guest {name}",
        reason="there is no such guest in the spec",
        hint="check the name: `kvmkeep list` shows all guests",
    )


def _cycle(path: list[GuestName], name: GuestName) -> Refusal:
    circle = " -> ".join([*path[path.index(name) :], name])
    return Refusal(
        subject=f"guest {name}",
        reason=f"the guests need each other in a circle: {circle}",
        hint="take one of them out of run.needs",
    )
