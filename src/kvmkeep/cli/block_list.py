"""How a block list is given to the parts of `kvmkeep blocks` that check data against one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser


def add_list(parser: ArgumentParser) -> None:
    """Add the arguments that name a block list and what is known of it."""
    parser.add_argument("--blocks", metavar="FILE", required=True, help="its block list")
    parser.add_argument(
        "--sum", metavar="SUM", default="", help="what the block list's own SHA-256 has to be"
    )
    parser.add_argument(
        "--size", metavar="BYTES", type=int, default=0, help="how large the disk has to be"
    )
