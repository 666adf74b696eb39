"""`kvmkeep list`: what one types fifty times a day, so it reads names and states only.

With `-l` it also asks the agents, for two seconds in all, and LVM for snapshots.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from kvmkeep.cli.guests import add_guests, checked, completable
from kvmkeep.cli.table import table
from kvmkeep.errors import Unready, UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Collection

    from kvmkeep.cli.context import Context
    from kvmkeep.host.libvirt import State
    from kvmkeep.model.spec import Guest, Spec


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, and how much of them."""

    guests: tuple[str, ...]
    long: bool
    label: tuple[str, ...]
    state: str
    names: bool


class Row(Struct, frozen=True, kw_only=True):
    """A guest of the spec, a domain of libvirt, or both. `memory` is in bytes."""

    name: str
    state: str
    autostart: bool
    in_spec: bool
    vcpus: int
    memory: int
    addresses: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    inside: Details | None = None


class Details(Struct, frozen=True, kw_only=True):
    """What `-l` tells besides. `fullest` is a mountpoint, `percent` how full it is.

    `ready` is empty where the guest does not run, `silent` why its agent gave no answer;
    `snapshots` counts the sets, -1 where LVM can't be asked. `backup` and `proof` tell how old the
    last ones are, as this host remembers them; see `age`.
    """

    ready: str
    silent: str
    fullest: str
    percent: float | None
    snapshots: int
    backup: str = ""
    proof: str = ""


ABSENT = "absent"
"""The state of a guest that stands in the spec and is no domain yet."""


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only these guests")
    parser.add_argument(
        "-l",
        "--long",
        action="store_true",
        help="readiness, addresses, the fullest filesystem, snapshots, the age of the last backup "
        "and its proof, and labels: asks the guests' agents, for two seconds in all",
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
    _demand_state(args.state)
    known = _rows(args, ctx)
    rows = [row for row in known if _chosen(row, wanted, args)]
    if args.names:
        names = [row.name for row in rows if completable(row.name)]
        if names:
            ctx.streams.script("\n".join(names))
    elif ctx.json:
        ctx.print_json({"guests": to_builtins(rows)})
    elif rows:
        ctx.streams.result(text(rows, long=args.long, width=ctx.streams.width))
        for line in silent(rows):
            ctx.streams.talk(line)
    else:
        ctx.streams.talk("No guests.")
    missing = sorted(wanted - {row.name for row in known})
    if missing:
        ctx.streams.talk(f"kvmkeep: no such guest: {', '.join(missing)}")
    return 0


def _demand_state(state: str) -> None:
    """Refuse a state that there is not: a slip of the finger would list nobody."""
    from kvmkeep.model.domain_facts import DomainState

    states = [*map(str, DomainState), ABSENT]
    if state and state not in states:
        raise UsageError(
            f"{printable(state)} is no state of a guest",
            hint=f"the states are: {', '.join(states)}",
        )


def _rows(args: Args, ctx: Context) -> list[Row]:
    known: dict[str, Guest | None] = dict.fromkeys(ctx.guest_names())
    spec = ctx.spec() if args.long or args.label else None
    if spec is not None:
        known = {guest.name: guest for guest in spec.guests}
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
    if not args.long or spec is None:
        return rows
    shown = [row for row in rows if _chosen(row, args.guests, args)]
    looked = {row.name: row for row in _looked_into(shown, spec, states, ctx)}
    return [looked.get(row.name, row) for row in rows]


def _addresses(guest: Guest | None) -> tuple[str, ...]:
    if guest is None:
        return ()
    from kvmkeep.cli.signs import addresses

    return addresses(guest, None)


def _looked_into(rows: list[Row], spec: Spec, states: dict[str, State], ctx: Context) -> list[Row]:
    from kvmkeep.cli.age import backup_age, proof_age
    from kvmkeep.cli.signs import addresses, fullest, look_inside, readiness
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.domain_facts import DomainState
    from kvmkeep.observe.backup_care import observe_memos

    running = {row.name: states[row.name].uuid for row in rows if row.state == DomainState.RUNNING}
    guests: dict[str, Guest] = {guest.name: guest for guest in spec.guests}
    now = utc_now()
    signs = look_inside(ctx.door(), ctx.connect, running, guests, now)
    known = observe_memos(ctx.door(), now)
    counts = _snapshots(spec, ctx)
    found: list[Row] = []
    for row in rows:
        guest, sign = guests.get(row.name), signs.get(row.name)
        agent = None if sign is None else sign.agent
        full = fullest(agent)
        inside = Details(
            ready=readiness(guest, sign) if sign is not None else "",
            silent="" if agent is None else agent.problem,
            fullest="" if full is None else full.mountpoint,
            percent=None if full is None or full.percent is None else round(full.percent, 1),
            snapshots=-1 if counts is None else counts[row.name],
            backup=backup_age(guest, known, now),
            proof=proof_age(guest, known, now),
        )
        found.append(replace(row, addresses=addresses(guest, agent), inside=inside))
    return found


def _snapshots(spec: Spec, ctx: Context) -> Counter[str] | None:
    """Count the sets of each guest; None where LVM can't be asked, which is said."""
    from kvmkeep.model.snapshot import snapshot_sets

    try:
        volumes = ctx.volumes()
    except Unready as error:
        ctx.streams.talk(f"not seen: {error.message}")
        return None
    return Counter(one.guest for one in snapshot_sets(volumes, spec.storage.vg))


def _chosen(row: Row, wanted: Collection[str], args: Args) -> bool:
    return (
        (not wanted or row.name in wanted)
        and (not args.state or row.state == args.state)
        and set(args.label) <= set(row.labels)
    )


def text(rows: list[Row], *, long: bool, width: int) -> str:
    """Return the table for a terminal."""
    from kvmkeep.model.units import Size

    if long:
        return _long_text(rows, width)
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
    return table(head, cells, width)


def _long_text(rows: list[Row], width: int) -> str:
    looked = [(row, row.inside) for row in rows if row.inside is not None]
    backups = any(inside.backup or inside.proof for _, inside in looked)
    head = ["NAME", "STATE", "READY", "ADDRESSES", "FULLEST", "SNAPSHOTS", "LABELS"]
    if backups:
        head[-1:-1] = ["BACKUP", "PROOF"]
    cells = []
    for row, inside in looked:
        full = "-" if inside.percent is None else f"{inside.percent:.0f} % {inside.fullest}"
        line = [
            row.name,
            row.state,
            inside.ready or "-",
            " ".join(row.addresses) or "-",
            full,
            str(inside.snapshots) if inside.snapshots > 0 else "-",
            " ".join(row.labels),
        ]
        if backups:
            line[-1:-1] = [inside.backup or "-", inside.proof or "-"]
        cells.append(tuple(line))
    return table(tuple(head), cells, width)


def silent(rows: list[Row]) -> list[str]:
    """Return a line for each guest whose agent gave no answer, by its name."""
    return [
        f"agent of {row.name} {row.inside.silent}"
        for row in rows
        if row.inside is not None and row.inside.silent
    ]
