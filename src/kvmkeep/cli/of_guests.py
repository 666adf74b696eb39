"""The verbs that do one harmless thing to guests chosen by name or label: one shape for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.cli.guests import add_choice, chosen

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


class Args(Struct, frozen=True, kw_only=True):
    """Which guests."""

    guests: tuple[str, ...]
    label: tuple[str, ...]
    dry_run: bool


class OfGuests(Struct, frozen=True, kw_only=True):
    """A verb that nobody is asked about: typing the guests' names is consent enough.

    `what` ends the sentence "the guests to ...". `plan` imports what it needs when it is called.
    """

    verb: str
    what: str
    plan: Callable[[Spec, Facts, tuple[str, ...]], Plan]

    def add(self, parser: ArgumentParser) -> None:
        """Add the arguments."""
        add_choice(parser, self.what)
        add_dry_run(parser)

    def run(self, args: Args, ctx: Context) -> int:
        """Do it to the chosen guests."""
        names = chosen(args.guests, args.label, ctx)
        goal = Goal(
            verb=self.verb, planner=lambda spec, facts: self.plan(spec, facts, names), guests=names
        )
        return reach(goal, ctx, yes=True, dry_run=args.dry_run)
