"""`kvmkeep snapshot create`: all disks of a guest at one moment; the guest goes on running."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvmkeep.cli.goal import dry_run, reach
from kvmkeep.cli.guests import add_guests
from kvmkeep.cli.moment import span, utc_now
from kvmkeep.errors import StepFailed, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Planner
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.snapshot import Level
    from kvmkeep.model.spec import Spec
    from kvmkeep.model.units import Size

VERB = "snapshot create"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Which guests, and how."""

    guests: tuple[str, ...]
    consistency: str
    size: str
    expires: str
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=True, help_text="the guests to take a set of")
    parser.add_argument(
        "--consistency", choices=("auto", "frozen", "crash"), default="auto",
        help="frozen: only with the filesystems frozen by the agent; crash: all disks of one "
        "moment, as after a power cut; auto (default): frozen if that can be done",
    )  # fmt: skip
    parser.add_argument(
        "--size", default="",
        help="size of each snapshot, such as 2GiB, where there is no room for full size; "
        "one that gets full is lost",
    )  # fmt: skip
    parser.add_argument(
        "--expires", metavar="SPAN", default="",
        help="how long it is wanted, such as 12h, 7d or 4w; nothing is deleted by itself",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="show the steps, run none of them"
    )


def run(args: Args, ctx: Context) -> int:
    """Take the sets; where an agent does not freeze, say so and take them without."""
    from kvmkeep.model.snapshot import Level  # noqa: PLC0415

    now = utc_now()
    moment = now.isoformat()
    expires = (now + span(args.expires, "--expires")).isoformat() if args.expires else ""
    size = _size(args.size)
    level = None if args.consistency == "auto" else Level(args.consistency)

    def planner(level: Level | None) -> Planner:
        def plan(spec: Spec, facts: Facts) -> Plan:
            from kvmkeep.planning.snapshot_create import Wish, plan_create  # noqa: PLC0415

            wish = Wish(guests=args.guests, moment=moment, level=level, size=size, expires=expires)
            return plan_create(spec, facts, wish)

        return plan

    if args.dry_run:
        return dry_run(planner(level), args.guests, ctx)
    try:
        return reach(VERB, planner(level), args.guests, ctx, yes=True)
    except StepFailed as error:
        if level is not None or not any("fsfreeze" in word for word in error.argv):
            raise
        ctx.streams.talk(f"kvmkeep: {error.message}")
        ctx.streams.talk(
            "The guest can't be frozen. Its set is taken without: all disks of one moment, "
            "as after a power cut (crash-consistent)."
        )
    return reach(VERB, planner(Level.CRASH), args.guests, ctx, yes=True)


def _size(text: str) -> Size | None:
    from kvmkeep.model.units import parse_size  # noqa: PLC0415

    try:
        return parse_size(text) if text else None
    except ValueError as error:
        raise UsageError(f"--size: {error}") from error
