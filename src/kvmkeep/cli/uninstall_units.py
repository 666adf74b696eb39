"""`kvmkeep uninstall-units`: have libvirt start the guests with the host again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import reach_by, readable
from kvmkeep.errors import SpecError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.flow import Look
    from kvmkeep.host.door import Door
    from kvmkeep.model.plan import Note
    from kvmkeep.model.spec import Spec


class Args(Struct, frozen=True, kw_only=True):
    """Whether to ask."""

    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Show the plan, ask, and take them away; after `release --all` there is no spec any more."""

    def look(door: Door) -> Look:
        from kvmkeep.flow import Look
        from kvmkeep.planning.units.install import plan_uninstall
        from kvmkeep.report.json import encoded

        spec, notes = _spec(ctx, door)
        facts = ctx.observe(spec, door=door)
        plan = plan_uninstall(spec, facts)
        plan = replace(plan, notes=(*notes, *plan.notes))
        return Look(spec=encoded(spec), facts=encoded(facts), plan=plan)

    return reach_by("uninstall-units", readable(look), ctx, yes=args.yes, dry_run=args.dry_run)


def _spec(ctx: Context, door: Door) -> tuple[Spec | None, tuple[Note, ...]]:
    """Return the spec, as far as there is one without mistakes, and what is to be known of that."""
    from kvmkeep.model.plan import Note
    from kvmkeep.spec.load import load_if_any

    try:
        return load_if_any(ctx.spec_dir, door), ()
    except SpecError as error:
        first = error.message.splitlines()[0]
        text = f"it has mistakes, so this goes by the guests' own marks; the first is: {first}"
        return None, (Note(subject="spec", text=text),)
