"""`kvmkeep schema`: the spec's JSON Schema, for editors that complete and check while typing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Which file's schema."""

    file: str


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "file", choices=("host", "guest"), help="host: of host.yaml; guest: of guests/*.yaml"
    )


def run(args: Args, ctx: Context) -> int:
    """Print the schema."""
    from kvmkeep.spec import schema  # noqa: PLC0415 - msgspec is slow to import

    ctx.streams.json(schema.host_schema() if args.file == "host" else schema.guest_schema())
    return 0
