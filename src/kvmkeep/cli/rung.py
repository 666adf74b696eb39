"""`kvmkeep rung`: try one rung of a proof, and keep how that went. A part of `backup prove`."""

from __future__ import annotations

import posixpath
import re
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import StepFailed, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.cli.streams import Streams
    from kvmkeep.host.door import Door, Result
    from kvmkeep.model.command import Command
    from kvmkeep.model.proof import Rung

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")
_MOST_KEPT = 256 << 10
"""Bytes that are kept of what the command prints."""
_MOST_SAID = 600
_MOST_GIVEN = 1 << 20


class Args(Struct, frozen=True, kw_only=True):
    """Which rung; times in seconds, and the bytes that its command tells of one by one."""

    name: str
    into: str
    needs: tuple[str, ...]
    limit: int
    patience: int
    size: int
    stdin: bool
    command: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="what the rung is called")
    parser.add_argument("command", metavar="COMMAND", nargs="+", help="holds if it ends well")
    parser.add_argument(
        "--into", metavar="DIR", required=True, help="where NAME.json and NAME.out are written"
    )
    parser.add_argument(
        "--needs", metavar="RUNG", action="append", default=[],
        help="don't try it unless this rung held",
    )  # fmt: skip
    parser.add_argument(
        "--limit", metavar="SECONDS", type=int, default=60, help="for one try (default 60)"
    )
    parser.add_argument(
        "--patience", metavar="SECONDS", type=int, default=0,
        help="try again and again for so long (default: once)",
    )  # fmt: skip
    parser.add_argument(
        "--size", metavar="BYTES", type=int, default=0,
        help="pass on how far it is, which it prints as `blocks verify` does, of so many bytes",
    )  # fmt: skip
    parser.add_argument("--stdin", action="store_true", help="give the command what comes on stdin")


def run(args: Args, ctx: Context) -> int:
    """Try it. Whether it holds or not, this ends well: the verdict is made of all rungs."""
    from msgspec import json

    from kvmkeep.model.command import Command, Progress, WriteFile

    for name in (args.name, *args.needs):
        if _NAME.fullmatch(name) is None:
            raise UsageError("a rung is called by small letters, digits and hyphens")
    door = ctx.door()
    missing = next((name for name in args.needs if not _held(door, f"{args.into}/{name}")), "")
    if missing:
        rung, said = _not_tried(args.name, missing), b""
    else:
        given = sys.stdin.buffer.read(_MOST_GIVEN) if args.stdin else b""
        command = Command(
            argv=args.command,
            why=args.name,
            timeout=float(args.limit),
            stdin=given,
            progress=Progress.BLOCKS if args.size else Progress.NONE,
            total_bytes=args.size,
        )
        rung, said = _tried(args, door, command, ctx.streams)
    place = posixpath.abspath(f"{args.into}/{args.name}")
    for path, content in ((f"{place}.out", said), (f"{place}.json", json.encode(rung))):
        file = WriteFile(path=path, content=content, why="keep how it went", dir_mode=0o700)
        try:
            door.write(file)
        except OSError as error:
            raise StepFailed(f"{path} can't be written: {error.strerror or error}") from error
    ctx.streams.result(f"{args.name}: {'held' if rung.passed else f'did not hold: {rung.detail}'}")
    return 0


def _held(door: Door, place: str) -> bool:
    from kvmkeep.model.proof import parse_rung

    rung = parse_rung(door.read(f"{place}.json") or b"")
    return rung is not None and rung.passed


def _not_tried(name: str, missing: str) -> Rung:
    from kvmkeep.model.proof import NOT_TRIED, Rung

    detail = f"{NOT_TRIED}{missing} did not hold"
    return Rung(name=name, passed=False, seconds=0.0, detail=detail)


def _tried(args: Args, door: Door, command: Command, streams: Streams) -> tuple[Rung, bytes]:
    from kvmkeep.model.proof import Rung

    def tell(done: int, total: int) -> None:
        streams.result(f"{done} of {total} bytes")

    began = door.clock()
    while True:
        result = door.run(command, tell if args.size else None)
        passed = door.clock() - began
        if result.ok or passed >= args.patience:
            break
        door.sleep(1.0)
    detail = "" if result.ok else _why_not(result)
    return (
        Rung(name=args.name, passed=result.ok, seconds=round(passed, 1), detail=detail),
        result.stdout[:_MOST_KEPT],
    )


def _why_not(result: Result) -> str:
    from kvmkeep.model.proof import LATE
    from kvmkeep.model.text import lines_of

    if result.timed_out:
        return LATE
    said = "; ".join(lines_of(result.tail)[-5:])[-_MOST_SAID:]
    return said or f"it ended with {result.code}"
