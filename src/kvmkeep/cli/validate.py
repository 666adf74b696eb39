"""`kvmkeep validate`: reads the spec, every mistake at once."""

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
    """Say what the spec holds, or raise SpecError with all its mistakes."""
    spec = ctx.spec()
    counts = {
        "networks": len(spec.networks),
        "images": len(spec.images),
        "guests": len(spec.guests),
    }
    if ctx.json:
        ctx.print_json({"ok": True, "host": spec.host.name, **counts})
    else:
        text = ", ".join(f"{number} {noun}" for noun, number in counts.items())
        ctx.streams.result(f"{ctx.spec_dir}: no mistakes ({text}).")
    return 0
