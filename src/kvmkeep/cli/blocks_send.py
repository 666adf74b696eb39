"""`kvmkeep blocks send`: read a disk, and feed it to a program that stores it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which disk, where its block list is written to, and the program; sizes in bytes."""

    device: str
    blocks: str
    size: int
    rate: int
    ends_by: str
    program: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("device", metavar="DEVICE", help="the disk to read")
    parser.add_argument(
        "--blocks", metavar="FILE", required=True,
        help="where the checksum of each block is written; the name ends in .blocks",
    )  # fmt: skip
    parser.add_argument(
        "--size", metavar="BYTES", type=int, required=True, help="how large the disk has to be"
    )
    parser.add_argument(
        "--rate", metavar="BYTES", type=int, default=0,
        help="read no more than this in a second (default: as fast as it goes)",
    )  # fmt: skip
    parser.add_argument(
        "--ends-by", choices=("INT", "TERM"), default="INT",
        help="the signal on which the program stores nothing (default: INT)",
    )  # fmt: skip
    parser.add_argument(
        "program", metavar="PROGRAM", nargs="+",
        help="what stores its stdin, with its arguments, after --",
    )  # fmt: skip


def run(args: Args, ctx: Context) -> int:
    """Send it, and tell how far it is."""
    del ctx
    from kvmkeep.host.blocks_send import Sending, send, tell_line
    from kvmkeep.model.units import Size

    if args.size <= 0 or args.rate < 0:
        raise UsageError("--size and --rate take a number of bytes")
    if not args.blocks.startswith("/") or not args.blocks.endswith(".blocks"):
        raise UsageError("--blocks takes an absolute path that ends in .blocks")
    sending = Sending(
        device=args.device,
        blocks=args.blocks,
        size=Size(args.size),
        rate=args.rate,
        ends_by=args.ends_by,
        engine=args.program,
    )
    send(sending, lambda done: tell_line(done, args.size))
    return 0
