"""How it went with each of several, of which one that fails keeps no other waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.explain import error_json, explain
from kvmkeep.cli.gathering import one_document
from kvmkeep.errors import NEEDS_ATTENTION, Declined, Interrupted, KvmkeepError, StepFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kvmkeep.cli.context import Context


class Ended(Struct, frozen=True, kw_only=True):
    """How it went with one guest, and how long it took; `error` is None where all went well."""

    guest: str
    seconds: float
    error: KvmkeepError | None = None


def tell(ended: list[Ended], ctx: Context, what: str) -> int:
    """Print how it went with each, below the heading `what`, and return the exit code."""
    from kvmkeep.cli.progress import duration
    from kvmkeep.cli.table import table

    if ctx.json:
        ctx.print_json({"guests": [_value(one) for one in ended]})
    else:
        head = ("GUEST", what, "TOOK")
        rows = [
            (one.guest, "done" if one.error is None else "FAILED", duration(one.seconds))
            for one in ended
        ]
        ctx.streams.result(table(head, rows, ctx.streams.width))
    return together([0 if one.error is None else one.error.exit_code for one in ended])


def together(codes: Sequence[int]) -> int:
    """Return the exit code of several runs; 2 to 6 would promise that none has touched anything."""
    if all(code in {0, NEEDS_ATTENTION} for code in codes):
        return max(codes, default=0)
    return codes[0] if len(set(codes)) == 1 else StepFailed.exit_code


def one_by_one(runs: Iterable[tuple[str, Callable[[Context], int]]], ctx: Context) -> int:
    """Run each, and return the exit code of all; the words tell of one that it has failed."""
    codes: list[int] = []
    with one_document(ctx) as each:
        for words, run in runs:
            each.streams.printed = False
            try:
                codes.append(run(each))
            except Declined as stopped:
                if not codes:
                    raise
                # Nothing was touched by this one, but by others before.
                raise Interrupted(stopped.message, hint=stopped.hint) from stopped
            except Interrupted:
                raise
            except KvmkeepError as error:
                if each.json and not each.streams.printed:
                    each.streams.json(error_json(error))
                explain(error, each.streams, begin=f"kvmkeep: {words}: ")
                codes.append(error.exit_code)
    return together(codes)


def _value(one: Ended) -> dict[str, object]:
    error = None if one.error is None else one.error.message
    return {"guest": one.guest, "seconds": round(one.seconds, 1), "error": error}
