"""`kvmkeep plan`: what apply would do; touches nothing."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.guests import add_guests
from kvmkeep.cli.hints import SPEC_DIR
from kvmkeep.errors import NEEDS_ATTENTION, KvmkeepError, Refused, Unready, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.facts import Facts
    from kvmkeep.model.plan import Plan
    from kvmkeep.model.spec import Spec


class Args(Struct, frozen=True, kw_only=True):
    """Which guests, from which facts, in which form."""

    guests: tuple[str, ...]
    script: bool
    explain: bool
    exit_code: bool
    facts: str


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_guests(parser, some=False, help_text="only these guests and what they need")
    parser.add_argument("--explain", action="store_true", help="show each command (the same as -v)")
    parser.add_argument(
        "--script", action="store_true", help="print a bash script of just these commands"
    )
    parser.add_argument(
        "--exit-code", action="store_true", help="exit with 9 when there is something to do"
    )
    parser.add_argument(
        "--facts", metavar="FILE", default="",
        help="plan from the output of `observe --json`; look at no host",
    )  # fmt: skip


def run(args: Args, ctx: Context) -> int:
    """Print the plan. Refusals are part of it, but end with their exit code."""
    if args.script and ctx.json:
        raise UsageError("--script and --json are two forms of the same: choose one")
    spec = ctx.spec()
    facts = read_facts(args.facts, ctx) if args.facts else ctx.observe(spec)
    plan = plan_for(spec, facts, args.guests)
    where = () if ctx.spec_dir == SPEC_DIR else ("--spec", ctx.spec_dir)
    then = shlex.join(("kvmkeep", "apply", *where, *args.guests))
    # Facts from a file may be of another host, or of long ago.
    show_plan(plan, ctx, then="" if args.facts else then, explain=args.explain, script=args.script)
    if plan.refusals:
        raise refusal(plan)
    return NEEDS_ATTENTION if args.exit_code and plan.steps else 0


def refusal(plan: Plan) -> KvmkeepError:
    """Return the error that a refused plan ends with, after it has been shown."""
    count = len(plan.refusals)
    text = f"the plan is refused for {count} reason{'s' * (count > 1)}"
    return Unready(text) if plan.unready else Refused(text)


def plan_for(spec: Spec, facts: Facts, guests: tuple[str, ...]) -> Plan:
    """Return the plan for some guests, or for all; a name that the spec lacks is a mistake."""
    from kvmkeep.planning.plan import make_plan

    demand_guests(spec, guests)
    return make_plan(spec, facts, guests)


def demand_guests(spec: Spec, guests: tuple[str, ...]) -> None:
    """Refuse names of guests that the spec does not have."""
    from kvmkeep.model.text import printable

    known = {guest.name for guest in spec.guests}
    missing = [name for name in guests if name not in known]
    if missing:
        import difflib

        close = difflib.get_close_matches(missing[0][:100], known, n=1)
        raise UsageError(
            f"the spec has no guest {', '.join(map(printable, missing))}"
            + (f"; did you mean {close[0]}?" if close else ""),
            hint="`kvmkeep list` shows the names",
        )


def read_facts(path: str, ctx: Context) -> Facts:
    """Return the facts that `observe --json` printed into a file."""
    from kvmkeep.report.json import decode_facts

    try:
        content = ctx.door().read(path, 1 << 28)
    except OSError as error:
        raise Unready(f"{path} can't be read: {error.strerror}") from error
    if content is None:
        raise UsageError(f"{path} is not there, or no regular file")
    try:
        return decode_facts(content)
    except ValueError as error:
        raise UsageError(
            f"{path} holds no facts: {error}", hint="make it with: kvmkeep observe --json"
        ) from error


def show_plan(
    plan: Plan, ctx: Context, *, then: str = "", explain: bool = False, script: bool = False
) -> None:
    """Print a plan in the form that was asked for; `then` is the line that runs it."""
    if script:
        from kvmkeep.report.script import holds_secrets, plan_script

        ctx.streams.script(plan_script(plan))
        if holds_secrets(plan):
            ctx.streams.talk("This script holds secrets: keep it from others (mode 0600).")
        return
    if ctx.json:
        from kvmkeep.report.json import plan_json

        ctx.streams.json(plan_json(plan))
        return
    from kvmkeep.report.text import plan_text

    ctx.streams.result(
        plan_text(
            plan,
            typed=shlex.join(("kvmkeep", *ctx.argv)),
            then=then,
            explain=explain or ctx.verbose,
            width=ctx.streams.width,
        )
    )
