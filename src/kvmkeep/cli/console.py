"""`kvmkeep console`: a guest's serial port, live or as it was logged."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.guests import checked
from kvmkeep.errors import Unready, UsageError
from kvmkeep.model.names import console_log

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context

_LARGEST = 16 << 20
"""Bytes of each file that are read; virtlogd begins a new one at 2 MiB by default, and gives the
old one the ending `.0` (virtlogd.conf)."""
_END = 4 << 20
"""Bytes of the end that are looked at for the last lines."""


class Args(Struct, frozen=True, kw_only=True):
    """Which guest; `log` prints what was logged, `lines` of it (0: all)."""

    guest: str
    log: bool
    lines: int


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest's name")
    parser.add_argument("--log", action="store_true", help="print the saved log instead")
    parser.add_argument(
        "--lines", metavar="N", type=int, default=0, help="with --log: only the last N lines"
    )


def run(args: Args, ctx: Context) -> int:
    """Attach, or print the log."""
    guest = checked(args.guest)
    if args.lines < 0:
        raise UsageError("--lines takes a number that is not negative")
    if args.log:
        return _print_log(guest, args.lines, ctx)
    if not at_terminal():
        raise UsageError(
            "the console needs a terminal", hint=f"type: kvmkeep console --log {guest}"
        )
    from kvmkeep.host.console import become, console_command

    demand_running(guest, ctx)
    ctx.streams.talk(f"Attaching to {guest}. Ctrl-] leaves; Enter may be needed to see a prompt.")
    return become(console_command(ctx.connect, guest))


def at_terminal() -> bool:
    """Whether both stdin and stdout are terminals."""
    return all(s is not None and not s.closed and s.isatty() for s in (sys.stdin, sys.stdout))


def demand_running(guest: str, ctx: Context) -> None:
    """Refuse a guest without a QEMU: it has no serial port. One that starts has its own at once."""
    from kvmkeep.model.domain_facts import DomainState

    state = next((one.state for one in ctx.states() if one.name == guest), None)
    if state is None and guest in ctx.guest_names():
        raise Unready(f"{guest} is not made yet", hint=f"kvmkeep apply {guest}")
    if state is None:
        raise UsageError(f"there is no guest {guest}", hint="`kvmkeep list` shows the names")
    if state is DomainState.SHUTOFF:
        raise Unready(
            f"{guest} is off: nobody is at its console",
            hint=f"kvmkeep start {guest}; what it said last: kvmkeep console --log {guest}",
        )
    if state in {DomainState.PAUSED, DomainState.SUSPENDED}:
        ctx.streams.talk(f"{guest} stands still. It says nothing until: kvmkeep resume {guest}")


def _print_log(guest: str, lines: int, ctx: Context) -> int:
    path = console_log(guest)
    content = _read(f"{path}.0", ctx) or b""
    newest = _read(path, ctx)
    if newest is None and not content:
        raise Unready(f"{path} is not there", hint="the log begins with the guest's first start")
    content += newest or b""
    said = clean(content[-_END:] if lines else content)
    if lines:
        said = "\n".join(said.splitlines()[-lines:])
    if said:
        ctx.streams.result(said, foreign=True)
    return 0


def _read(path: str, ctx: Context) -> bytes | None:
    try:
        return ctx.door().read(path, _LARGEST)
    except OSError as error:
        raise Unready(f"{path} can't be read: {error.strerror}", hint="run it as root") from error


def clean(content: bytes) -> str:
    """Return a log without what a terminal would act upon: the guest chose every byte of it."""
    import re

    text = re.sub("(?<!\r)\r+\n", "\n", content.decode("utf-8", "replace")).replace("\r", "\n")
    # ECMA-48: control sequences, operating system commands, and two-character escapes.
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]", "", text)
    return re.sub(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]", "", text)
