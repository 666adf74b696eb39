"""`kvmkeep list`: what one types fifty times a day, so it reads names and states only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from kvmkeep.cli.guests import add_guests, checked, completable
from kvmkeep.cli.table import table

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterable

    from kvmkeep.cli.context import Context
    from kvmkeep.model.spec import Guest


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Which guests, and how much of them."""

    guests: tuple[str, ...]
    long: bool
    label: tuple[str, ...]
    state: str
    names: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A guest of the spec, a domain of libvirt, or both. `memory` is in bytes."""

    name: str
    state: str
    autostart: bool
    in_spec: bool
    vcpus: int
    memory: int
    addresses: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


ABSENT = "absent"
"""The state of a guest that stands in the spec and is no domain yet."""


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only these guests")
    parser.add_argument(
        "-l", "--long", action="store_true", help="addresses and labels too: reads the whole spec"
    )
    parser.add_argument(
        "--label", action="append", default=[], help="only guests with this label of the spec"
    )
    parser.add_argument(
        "--state", default="", help="only guests in this state (running, 'shut off', absent ...)"
    )
    parser.add_argument(
        "--names", action="store_true", help="names only, one a line (for completion)"
    )


def run(args: Args, ctx: Context) -> int:
    """Print the guests of the spec and the domains of libvirt."""
    wanted = frozenset(checked(name) for name in args.guests)
    rows = [row for row in _rows(args, ctx) if _chosen(row, wanted, args)]
    if args.names:
        names = [row.name for row in rows if completable(row.name)]
        if names:
            ctx.streams.script("\n".join(names))
    elif ctx.json:
        ctx.print_json({"guests": [asdict(row) for row in rows]})
    elif rows:
        ctx.streams.result(text(rows, long=args.long, width=ctx.streams.width))
    else:
        ctx.streams.talk("No guests.")
    missing = sorted(wanted - {row.name for row in rows})
    if missing:
        ctx.streams.talk(f"kvmkeep: no such guest: {', '.join(missing)}")
    return 0


def _rows(args: Args, ctx: Context) -> list[Row]:
    known: dict[str, Guest | None] = dict.fromkeys(ctx.guest_names())
    if args.long or args.label:
        known = {guest.name: guest for guest in ctx.spec().guests}
    states = {state.name: state for state in ctx.states()}
    rows = []
    for name in sorted({*known, *states}):
        guest, state = known.get(name), states.get(name)
        rows.append(
            Row(
                name=name,
                state=state.state if state else ABSENT,
                autostart=state.autostart if state else False,
                in_spec=name in known,
                vcpus=state.vcpus if state else 0,
                memory=state.memory.bytes if state else 0,
                addresses=_addresses(guest),
                labels=guest.labels if guest else (),
            )
        )
    return rows


def _addresses(guest: Guest | None) -> tuple[str, ...]:
    if guest is None:
        return ()
    return tuple(
        text
        for nic in guest.nics
        for text in (["dhcp"] if nic.dhcp else [str(address.ip) for address in nic.addresses])
    )


def _chosen(row: Row, wanted: Iterable[str], args: Args) -> bool:
    return (
        (not wanted or row.name in wanted)
        and (not args.state or row.state == args.state)
        and set(args.label) <= set(row.labels)
    )


def text(rows: list[Row], *, long: bool, width: int) -> str:
    """Return the table for a terminal."""
    from kvmkeep.model.units import Size  # noqa: PLC0415

    head = ("NAME", "STATE", "AUTOSTART", "SPEC", "VCPUS", "MEMORY")
    cells = [
        (
            row.name,
            row.state,
            "yes" if row.autostart else "no",
            "yes" if row.in_spec else "-",
            str(row.vcpus or "-"),
            str(Size(row.memory)) if row.memory else "-",
        )
        for row in rows
    ]
    if long:
        head = (*head, "ADDRESSES", "LABELS")  # type: ignore[assignment]
        cells = [
            (*cell, " ".join(row.addresses), " ".join(row.labels))  # type: ignore[misc]
            for cell, row in zip(cells, rows, strict=True)
        ]
    return table(head, list(cells), width)
