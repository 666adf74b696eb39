"""Upkeep of repositories: one that can't be used keeps no other waiting, and is told in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from kvmkeep.cli.goal import Goal, reach, tell_notes
from kvmkeep.errors import NEEDS_ATTENTION, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan, Refusal
    from kvmkeep.model.spec import Spec

_ALL = 100


def keep_up(
    goal: Goal,
    ctx: Context,
    passed_over: Callable[[Spec, Facts], tuple[Refusal, ...]],
    *,
    dry_run: bool,
    yes: bool = True,
) -> int:
    """Reach the goal in the repositories that can be used; 9 where one can't."""
    left: list[Refusal] = []

    def planner(spec: Spec, facts: Facts) -> Plan:
        left[:] = passed_over(spec, facts)
        return goal.planner(spec, facts)

    reach(replace(goal, planner=planner), ctx, yes=yes, dry_run=dry_run, tells=not left)
    if dry_run or not left:
        return 0
    tell_notes([one.note for one in left], ctx)
    return NEEDS_ATTENTION


def demand_percent(option: str, percent: int) -> None:
    """Refuse what is no percentage; raises UsageError."""
    if not 0 <= percent <= _ALL:
        raise UsageError(f"{option} takes a number from 0 to {_ALL}")
