"""`kvmkeep blocks verify`: compare a disk with the block list of its backup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.block_list import add_list
from kvmkeep.errors import NEEDS_ATTENTION

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which disk or file, and which list; sizes in bytes, 0 where it is not known."""

    device: str
    blocks: str
    sum: str
    size: int


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("device", metavar="DEVICE", help="the disk, or a file with its data")
    add_list(parser)


def run(args: Args, ctx: Context) -> int:
    """Compare them, and tell how far it is; each difference is counted, the first are named."""
    from kvmkeep.host.blocks_verify import compare, read_list

    blocks = read_list(args.blocks, args.sum, args.size)
    total = blocks.size.bytes
    found = compare(
        args.device, blocks, lambda done: ctx.streams.result(f"{done} of {total} bytes")
    )
    if not found.count:
        return 0
    ctx.streams.talk(f"kvmkeep: {args.device}: {found}")
    return NEEDS_ATTENTION
