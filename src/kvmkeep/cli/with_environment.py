"""`kvmkeep with-environment`: run a program with the variables that a file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which file, and the program with its arguments."""

    file: str
    rest: str
    program: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    # As a word of its own before `--`, argparse would take the program's own `--` away.
    parser.add_argument(
        "--file", metavar="FILE", required=True,
        help="lines NAME=VALUE; readable for root alone, since it is secret",
    )  # fmt: skip
    parser.add_argument(
        "--rest", metavar="URL", default="",
        help="give it this REST server as RESTIC_REPOSITORY, with RESTIC_REST_USERNAME and "
        "RESTIC_REST_PASSWORD of the file in it",
    )  # fmt: skip
    parser.add_argument(
        "program", metavar="PROGRAM", nargs="+", help="the program, with its arguments, after --"
    )


def run(args: Args, ctx: Context) -> int:
    """Become the program: no process of ours stays, and no value stands in a command line."""
    del ctx
    from kvmkeep.host.secret_environment import become

    become(args.file, args.program, args.rest)
