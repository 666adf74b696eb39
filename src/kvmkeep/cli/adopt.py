"""`kvmkeep adopt`: take over what others made, or take changes of others into the spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import reach_by, readable
from kvmkeep.cli.guests import add_guests, checked
from kvmkeep.cli.plan import refusal, show_plan

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.plan import Plan


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, and of which networks the settings."""

    guests: tuple[str, ...]
    network: tuple[str, ...]
    show: bool
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only these domains, and the networks they use")
    parser.add_argument(
        "--network", action="append", default=[],
        help="this network of the spec, and its settings as they are now",
    )  # fmt: skip
    parser.add_argument(
        "--show", action="store_true", help="print the files of the spec, write nothing"
    )
    add_consent(parser)


def _show(plan: Plan, ctx: Context) -> int:
    """Print the files that would be new; those that are there may hold secrets."""
    from kvmkeep.model.command import WriteFile

    actions = (action for step in plan.steps for action in step.all_actions)
    files = [one for one in actions if isinstance(one, WriteFile) and not one.secret]
    texts = {file.path: file.content.decode() for file in files}
    if not ctx.json:
        ctx.streams.script("\n".join(f"# --- {path}\n{text}" for path, text in texts.items()))
    elif not plan.refusals:
        ctx.print_json({"written": False, "files": texts})
    if plan.refusals:
        show_plan(plan, ctx)
        raise refusal(plan)
    return 0


def run(args: Args, ctx: Context) -> int:
    """Show what was found and what the spec will say, ask, and mark it."""
    from kvmkeep.cli.takeover import looker
    from kvmkeep.planning.adoption.choice import AdoptRequest

    names = tuple(checked(name) for name in args.guests)
    look = readable(looker(AdoptRequest(guests=names, networks=args.network), ctx))
    if args.show:
        return _show(look(ctx.door()).plan, ctx)
    return reach_by("adopt", look, ctx, yes=args.yes, dry_run=args.dry_run)
