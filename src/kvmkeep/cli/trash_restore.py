"""`kvmkeep trash restore`: take back what one removal brought into the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.errors import UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.spec import Guest, Spec
    from kvmkeep.model.trash import TrashEntry


class Args(Struct, frozen=True, kw_only=True):
    """Which entry."""

    name: str
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="the entry, as `list` names it")
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Take it back; nothing that has one of its names now is touched."""
    import posixpath

    from kvmkeep.planning.trash.restore import TrashRestoreRequest, plan_restore

    spec = ctx.spec()
    (entry,) = demand_entries(ctx.trash(spec), (args.name,))
    restoring = TrashRestoreRequest(
        name=args.name,
        folder=posixpath.abspath(f"{ctx.spec_dir}/guests"),
        guest=_guest(entry, spec, ctx),
    )
    goal = Goal(
        verb="trash restore", planner=lambda spec, facts: plan_restore(spec, facts, restoring)
    )
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)


def demand_entries(
    entries: tuple[TrashEntry, ...], names: tuple[str, ...]
) -> tuple[TrashEntry, ...]:
    """Return the entries of these names; to a planner, one that is not there would be done."""
    missing = sorted({*names} - {one.name for one in entries})
    if missing:
        shown = ", ".join(printable(name) for name in missing)
        raise UsageError(f"the trash holds no {shown}", hint="type: kvmkeep trash list")
    return tuple(one for one in entries if one.name in names)


def _guest(entry: TrashEntry, spec: Spec, ctx: Context) -> Guest | None:
    """Return what the spec will say of the guest; raises SpecError if it would have mistakes."""
    from kvmkeep.model.names import TRASH_DIR

    file = entry.spec_file
    taken = any(
        one.name == entry.guest or one.place.file.endswith(f"/{file}") for one in spec.guests
    )
    content = ctx.door().read(f"{TRASH_DIR}/{entry.name}/{file}") if file and not taken else None
    if content is None:
        return None
    hint = f"correct them, or its file: {TRASH_DIR}/{entry.name}/{file}"
    return ctx.spec_with(f"guests/{file}", content, hint).guest(entry.guest)
