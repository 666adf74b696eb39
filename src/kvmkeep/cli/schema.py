"""`kvmkeep schema`: the spec's JSON Schema, for editors that complete and check while typing."""

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
    """Print one schema for both kinds of files."""
    from kvmkeep.spec.schema import schema_text

    ctx.streams.json(schema_text(), foreign=True)
    return 0
