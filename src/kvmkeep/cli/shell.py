"""`kvmkeep shell`: a rescue shell with a guest's tree, in libguestfs's small virtual machine."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.console import at_terminal
from kvmkeep.cli.goal import Goal, reach_quietly
from kvmkeep.cli.guests import checked
from kvmkeep.cli.plan import demand_guests
from kvmkeep.errors import StepFailed, UsageError
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Whose disk; `read_only` for one that runs."""

    guest: str
    read_only: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("guest", metavar="GUEST", help="the guest; it must be off")
    parser.add_argument(
        "--read-only", action="store_true",
        help="change nothing; a guest that runs is looked at through a snapshot",
    )  # fmt: skip


def run(args: Args, ctx: Context) -> int:
    """Have the disk stand ready, give the terminal to the shell, and put the disk away again."""
    from kvmkeep.host.console import attend
    from kvmkeep.model.names import second_stamp
    from kvmkeep.planning.offline.shell import (
        open_disk,
        plan_close,
        plan_open,
        shell_argv,
    )

    guest = checked(args.guest)
    if not at_terminal():
        raise UsageError("a shell needs a terminal", hint="use copy-out, copy-in or tweak")
    spec = ctx.spec()
    demand_guests(spec, (guest,))
    named = f"{second_stamp(utc_now().isoformat())}-{secrets.token_hex(2)}"
    read_only = args.read_only
    opened = Goal(
        verb="shell",
        dry_run=False,
        planner=lambda spec, facts: plan_open(spec, facts, guest, named, read_only=read_only),
    )
    closed = Goal(
        verb="shell",
        dry_run=False,
        planner=lambda spec, facts: plan_close(spec, facts, guest, named),
    )
    try:
        reach_quietly(opened, ctx)
        path = open_disk(spec, ctx.observe(spec), guest, named)
        ctx.streams.talk(
            f"A small virtual machine starts, without a network. The tree of {guest} is in "
            "/sysroot; type `exit` to leave."
        )
        code = attend(shell_argv(path, read_only=read_only))
        if code:
            raise StepFailed(f"virt-rescue ended with {code}")
    finally:
        reach_quietly(closed, ctx)
    return 0
