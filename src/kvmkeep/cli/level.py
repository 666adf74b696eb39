"""How consistent a set of snapshots is to be, and what happens where a guest can't be frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmkeep.errors import StepFailed, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Planner
    from kvmkeep.model.snapshot import Level
    from kvmkeep.model.units import Size

CHOICES = ("auto", "frozen", "crash")


def add_consistency(parser: ArgumentParser) -> None:
    """Add `--consistency`."""
    parser.add_argument(
        "--consistency", choices=CHOICES, default="auto",
        help="frozen: only with the filesystems frozen by the agent; crash: all disks of one "
        "moment, as after a power cut; auto (default): frozen if that can be done",
    )  # fmt: skip


def chosen_level(word: str) -> Level | None:
    """Return the level that one of the choices asks for; None where the agent decides."""
    from kvmkeep.model.snapshot import Level

    return None if word == "auto" else Level(word)


def chosen_size(text: str, option: str) -> Size | None:
    """Return the size of each snapshot; None for full size."""
    from kvmkeep.model.units import parse_size

    try:
        return parse_size(text) if text else None
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def at_level(
    planner: Callable[[Level | None], Planner],
    level: Level | None,
    run: Callable[[Planner], int],
    ctx: Context,
) -> int:
    """Run a goal at this level; where the agent decides and does not freeze, say so, and go on."""
    from kvmkeep.model.snapshot import Level

    try:
        return run(planner(level))
    except StepFailed as error:
        if level is not None or not any("fsfreeze" in word for word in error.argv):
            raise
        ctx.streams.talk(f"kvmkeep: {error.message}")
        ctx.streams.talk(
            "The guest can't be frozen. The snapshots are taken without: all disks of one moment, "
            "as after a power cut (crash-consistent)."
        )
    return run(planner(Level.CRASH))
