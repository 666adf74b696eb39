"""`kvmkeep guest-run`: run a program in a guest by its agent. A part of `backup prove`."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import Unready

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door

_MOST = 65536
"""Characters of a program's output that are taken (as base64)."""


class Args(Struct, frozen=True, kw_only=True):
    """Which program in which domain, and for how many seconds."""

    domain: str
    limit: int
    command: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("domain", metavar="DOMAIN", help="the domain, as libvirt calls it")
    parser.add_argument("command", metavar="COMMAND", nargs="+", help="the program in the guest")
    parser.add_argument(
        "--limit", metavar="SECONDS", type=int, default=60,
        help="how long it may run (default 60); it is not ended then",
    )  # fmt: skip


def run(args: Args, ctx: Context) -> int:
    """Run it, print what it printed, and end as it ended."""
    door = ctx.door()
    path, *words = args.command
    begun = _ask(
        door, args.domain, "guest-exec", {"path": path, "arg": words, "capture-output": True}
    )
    number = begun.get("pid")
    if not isinstance(number, int):
        raise Unready("the guest's agent does not say which process it has started")
    until = door.clock() + args.limit
    while True:
        status = _ask(door, args.domain, "guest-exec-status", {"pid": number})
        if status.get("exited") is True:
            return _told(status, ctx)
        if door.clock() >= until:
            raise Unready(f"the program still runs in the guest after {args.limit} s")
        door.sleep(1.0)


def _told(status: dict[str, object], ctx: Context) -> int:
    from kvmkeep.model.text import lines_of

    for key in ("out-data", "err-data"):
        data = status.get(key)
        if isinstance(data, str):
            ctx.streams.result("\n".join(lines_of(_decoded(data))), foreign=True)
    code = status.get("exitcode")
    return code if isinstance(code, int) and 0 <= code < 256 else 1


def _decoded(data: str) -> str:
    try:
        # A group of four is whole, however much is cut off.
        return base64.b64decode(data[:_MOST]).decode("utf-8", "replace")
    except ValueError:
        return ""


def _ask(door: Door, domain: str, execute: str, arguments: dict[str, object]) -> dict[str, object]:
    """Return the agent's answer; raises Unready where there is none that is one."""
    from kvmkeep.model.agent import agent_argv
    from kvmkeep.model.command import Command

    argv = agent_argv(domain, execute, 10, arguments)
    result = door.run(Command(argv=argv, why=f"ask the guest's agent: {execute}", timeout=30.0))
    if not result.ok:
        raise Unready(f"the guest's agent does not do it: {result.tail}")
    try:
        answer = json.loads(result.stdout)
    except (ValueError, RecursionError) as error:
        raise Unready("the guest's agent answers nothing that can be read") from error
    found = answer.get("return") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        raise Unready("the guest's agent answers nothing that can be read")
    return found
