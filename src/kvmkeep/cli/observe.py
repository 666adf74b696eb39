"""`kvmkeep observe`: what is found on this host; changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """No arguments of its own."""


def add(_parser: ArgumentParser) -> None:
    """Add the arguments: none."""


def run(_args: Args, ctx: Context) -> int:
    """Print the facts: as JSON for `plan --facts`, or as a summary."""
    facts = ctx.observe(ctx.spec_or_none())
    ctx.tell_problems(facts)
    if ctx.json:
        from kvmkeep.report.json import facts_json

        ctx.streams.json(facts_json(facts), foreign=True)
    else:
        from kvmkeep.cli.summary import facts_text

        ctx.streams.result(facts_text(facts, ctx.streams.width))
    return 0
