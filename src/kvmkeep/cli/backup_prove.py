"""`kvmkeep backup prove`: start a guest from its backup, where nobody can notice it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, to_builtins

from kvmkeep.cli.backup_choice import add_repositories, due
from kvmkeep.cli.backup_subject import subject_of
from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.ended import one_by_one
from kvmkeep.cli.goal import Goal, demand_own_libvirt, reach_without_asking, show, tell_notes
from kvmkeep.cli.guests import chosen
from kvmkeep.cli.verdict import text
from kvmkeep.errors import NEEDS_ATTENTION, Unready, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door

VERB = "backup prove"


class Args(Struct, frozen=True, kw_only=True):
    """Which backups, in which repositories; `due`: of each guest whose time has come."""

    backups: tuple[str, ...]
    label: tuple[str, ...]
    all: bool
    due: bool
    repository: tuple[str, ...]
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "backups", metavar="GUEST[@TIME]", nargs="*",
        help="the backups, as `list` names them; without a time, the last one of a guest",
    )  # fmt: skip
    parser.add_argument(
        "--label", action="append", default=[],
        help="instead of names: the last backup of each guest of the spec with this label; given "
        "twice, with both",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true",
        help="instead of names: the last backup of each guest that the spec backs up",
    )  # fmt: skip
    parser.add_argument(
        "--due", action="store_true",
        help="instead of names: the last backup of each guest whose time has come",
    )  # fmt: skip
    add_repositories(parser)
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Prove them, one by one, and print the verdicts; one that can't be keeps no other from it."""
    names = _wanted(args, ctx)
    if len(args.backups) == 1:
        return _prove(args.backups[0], args, ctx)
    if not names:
        ctx.streams.talk("No proof is due.")
    words = "the backup of {} was not proven"
    return one_by_one([(words.format(name), partial(_prove, name, args)) for name in names], ctx)


def _wanted(args: Args, ctx: Context) -> tuple[str, ...]:
    """Return the backups that are meant; raises UsageError where none was chosen."""
    if sum((bool(args.backups), bool(args.label), args.all, args.due)) != 1:
        raise UsageError("name backups, or use one of --label, --all and --due")
    if args.due:
        from kvmkeep.planning.backups.due import due_proofs

        return due(ctx, due_proofs)
    if not args.all:
        return tuple(dict.fromkeys(args.backups)) or chosen((), args.label, ctx)
    names = tuple(one.name for one in ctx.spec().guests if one.backup is not None)
    if not names:
        raise UsageError("the spec backs no guest up", hint="write `backup` into host.yaml")
    return names


def _prove(backup: str, args: Args, ctx: Context) -> int:
    from kvmkeep.cli.beside import Beside
    from kvmkeep.host.clock import utc_now
    from kvmkeep.host.repositories import look
    from kvmkeep.model.host_units import PROGRAM
    from kvmkeep.model.names import PROOF_LOCK, second_stamp
    from kvmkeep.observe.proof import kept_proof, look_at_run
    from kvmkeep.planning.proofs.prove import Proving, plan_prove

    subject = subject_of(backup, args.repository, ctx, ctx.spec())
    tell_notes(subject.notes, ctx)
    asked = utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
    name, stamp = subject.entry.guest, second_stamp(asked)
    identity = subject.entry.identity

    def proving(door: Door) -> Proving:
        seen = look_at_run(door, name, stamp)
        # It was chosen before others were waited for, which may have forgotten it.
        known = kept_proof(door, identity, subject.entry.moment)
        first = not seen.ladder.rungs and (known is None or known.time != asked)
        program = door.which(PROGRAM)
        return Proving(
            subject=subject,
            asked=asked,
            run=stamp,
            ladder=seen.ladder,
            known=known,
            stray=seen.stray,
            listed=look(door, subject.repository, program) if first else None,
        )

    beside = Beside(proving)
    goal = Goal(
        verb=VERB,
        planner=lambda spec, facts: plan_prove(spec, facts, beside.seen),
        beside=beside,
        lock=ctx.stages.lock(PROOF_LOCK),
        reading=ctx.reading(),
    )
    if args.dry_run:
        return show(goal, ctx)
    demand_own_libvirt(VERB, ctx)
    reach_without_asking(goal, ctx)
    proof = kept_proof(ctx.door(), identity, subject.entry.moment)
    if proof is None:
        raise Unready("the verdict can't be read", hint="run it again")
    if ctx.json:
        ctx.print_json({"proof": to_builtins(proof)})
    else:
        ctx.streams.result(text(proof))
    return 0 if proof.proven else NEEDS_ATTENTION
