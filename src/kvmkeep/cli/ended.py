"""How it went with each of several guests, of which one that fails keeps no other waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import KvmkeepError, StepFailed

if TYPE_CHECKING:
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

    failed = [one.error for one in ended if one.error is not None]
    if ctx.json:
        ctx.print_json({"guests": [_value(one) for one in ended]})
    else:
        head = ("GUEST", what, "TOOK")
        rows = [
            (one.guest, "done" if one.error is None else "FAILED", duration(one.seconds))
            for one in ended
        ]
        ctx.streams.result(table(head, rows, ctx.streams.width))
    codes = {one.exit_code for one in failed}
    if not codes:
        return 0
    return codes.pop() if len(codes) == 1 and len(failed) == len(ended) else StepFailed.exit_code


def _value(one: Ended) -> dict[str, object]:
    error = None if one.error is None else one.error.message
    return {"guest": one.guest, "seconds": round(one.seconds, 1), "error": error}
