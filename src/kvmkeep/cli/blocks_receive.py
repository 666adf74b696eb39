"""`kvmkeep blocks receive`: write a disk as a program gives it, each block checked before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.block_list import add_list

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Where to, by which list, and the program; sizes in bytes, 0 where it is not known."""

    device: str
    blocks: str
    sum: str
    size: int
    program: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "device", metavar="DEVICE", help="the disk to write, or a file that does not exist yet"
    )
    add_list(parser)
    parser.add_argument(
        "program", metavar="PROGRAM", nargs="+",
        help="what gives the data on its stdout, with its arguments, after --",
    )  # fmt: skip


def run(args: Args, ctx: Context) -> int:
    """Write it, and tell how far it is."""
    from kvmkeep.host.blocks_receive import Receiving, receive
    from kvmkeep.host.blocks_verify import read_list

    blocks = read_list(args.blocks, args.sum, args.size)
    total = blocks.size.bytes
    receiving = Receiving(target=args.device, blocks=blocks, engine=args.program)
    receive(receiving, lambda done: ctx.streams.result(f"{done} of {total} bytes"))
    return 0
