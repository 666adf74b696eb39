"""`kvmkeep shutdown`: ask guests to shut down and wait; their power is never cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import dry_run, reach
from kvmkeep.cli.guests import add_choice, chosen
from kvmkeep.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec

LIMIT = 300
"""Seconds that a guest gets to shut down as a part of another verb."""


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, and for how many seconds to wait for each."""

    guests: tuple[str, ...]
    label: tuple[str, ...]
    limit: int | None
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_choice(parser, "shut down")
    add_limit(parser)
    add_dry_run(parser)


def add_limit(parser: ArgumentParser) -> None:
    """Add how long a guest may take to go down."""
    parser.add_argument(
        "--limit", metavar="SECONDS", type=int,
        help="how long to wait for each to go down (default: its stop_timeout)",
    )  # fmt: skip


def checked_limit(seconds: int | None) -> int:
    """Return the limit, or refuse what is none; 0 stands for that of the spec."""
    if seconds is None:
        return 0
    if seconds < 1:
        raise UsageError("--limit takes a number of seconds, at least 1")
    return seconds


def run(args: Args, ctx: Context) -> int:
    """Shut them down, as typed; a guest that goes on running after the limit is a failed step."""
    limit = checked_limit(args.limit)
    names = chosen(args.guests, args.label, ctx)

    def planner(spec: Spec, facts: Facts) -> Plan:
        from kvmkeep.planning.shutdown import plan_shutdown  # noqa: PLC0415

        return plan_shutdown(spec, facts, names, limit)

    if args.dry_run:
        return dry_run(planner, names, ctx)
    return reach("shutdown", planner, names, ctx, yes=True)
