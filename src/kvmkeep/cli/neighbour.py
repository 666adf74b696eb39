"""`kvmkeep neighbour`: ask by IPv6 whether somebody has an address. A part of network changes."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import NEEDS_ATTENTION, Unready, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context

WAIT = 2
"""Seconds."""


class Args(Struct, frozen=True, kw_only=True):
    """On which interface, for which address, and for how many seconds."""

    interface: str
    address: str
    wait: int


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("interface", metavar="INTERFACE", help="a bridge; it needs no address")
    parser.add_argument("address", metavar="ADDRESS", help="the IPv6 address that is asked for")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=int, default=WAIT,
        help=f"how long an answer is waited for (default {WAIT})",
    )  # fmt: skip


def run(args: Args, ctx: Context) -> int:
    """Ask; 0 where somebody has it, 9 where nobody does."""
    from kvmkeep.host.ndisc import PacketWire, neighbour_answers

    try:
        target = IPv6Address(args.address)
    except AddressValueError as error:
        raise UsageError(f"{args.address!r} is no IPv6 address") from error
    try:
        wire = PacketWire(args.interface)
    except OSError as error:
        reason = f"{args.interface} can't be asked on: {error.strerror or error}"
        raise Unready(reason, hint="see ip link; run this as root") from error
    try:
        there = neighbour_answers(wire, target, args.wait)
    except OSError as error:
        raise Unready(f"{args.interface}: {error.strerror or error}", hint="see ip link") from error
    finally:
        wire.close()
    ctx.streams.result(f"{target} {'answers' if there else 'does not answer'} on {args.interface}")
    return 0 if there else NEEDS_ATTENTION
