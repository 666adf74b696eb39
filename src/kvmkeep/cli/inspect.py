"""`kvmkeep inspect`: what is in a guest's disk or in an image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_dry_run
from kvmkeep.cli.goal import Goal, reach_quietly, show
from kvmkeep.cli.guests import checked
from kvmkeep.errors import Unready, UsageError
from kvmkeep.host.clock import utc_now

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.inside import Inside, User


class Args(Struct, frozen=True, kw_only=True):
    """Which guest or image."""

    name: str
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="GUEST|IMAGE", help="a guest or an image of the spec")
    add_dry_run(parser)


def run(args: Args, ctx: Context) -> int:
    """Look, and print what was found; a running guest is looked at through a snapshot."""
    from kvmkeep.cli.beside import Beside
    from kvmkeep.model.names import second_stamp
    from kvmkeep.planning.offline.inspect import Question, plan_inspect

    name = checked(args.name)
    spec = ctx.spec()
    if name not in {*(guest.name for guest in spec.guests), *(image.name for image in spec.images)}:
        raise UsageError(
            f"the spec has no guest or image {name}", hint="`kvmkeep list` shows the guests"
        )
    question = Question(name=name, asked=second_stamp(utc_now().isoformat()))
    beside = Beside(partial(answer, question.path))
    goal = Goal(
        verb="inspect",
        planner=lambda spec, facts: plan_inspect(spec, facts, question, beside.seen),
        beside=beside,
    )
    if args.dry_run:
        return show(goal, ctx)
    reach_quietly(goal, ctx)
    found = answer(question.path, ctx.door())
    if found is None:
        raise Unready(f"the answer in {question.path} can't be read", hint="run it again")
    if ctx.json:
        ctx.print_json({"name": name, **as_json(found)})
    else:
        ctx.streams.result(text(name, found))
    return 0


def answer(path: str, door: Door) -> Inside | None:
    """Return the answer that lies there, if it is a whole one."""
    from kvmkeep.model.inside import parse_inside
    from kvmkeep.model.look import LOOK_LIMIT

    try:
        content = door.read(path, LOOK_LIMIT)
        return None if content is None else parse_inside(content.decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None


def as_json(found: Inside) -> dict[str, object]:
    """Return what was found for a program."""
    return {
        "os": found.contents.os,
        "hostname": found.hostname,
        "bios": found.bios,
        "uefi": found.uefi,
        "table": found.table,
        "partitions": [
            {"number": one.number, "bytes": one.size.bytes, "type": one.type}
            for one in found.partitions
        ],
        "filesystems": [{"device": name, "type": kind} for name, kind in found.filesystems],
        "users": [
            {"name": one.name, "uid": one.uid, "shell": one.shell, "password": one.password}
            for one in found.users
        ],
        "cloud_init": found.contents.cloud_init,
        "datasources": list(found.contents.datasources),
        "agent": found.contents.agent,
        "selinux": found.selinux,
        "network": found.network.value if found.network is not None else "",
        "detail": found.contents.detail,
    }


def text(name: str, found: Inside) -> str:
    """Return what was found for a person."""
    firmware = [word for word, boots in (("BIOS", found.bios), ("UEFI", found.uefi)) if boots]
    rows = [
        ("system", found.contents.os or "not known"),
        ("hostname", found.hostname or "-"),
        ("boots with", " and ".join(firmware) or "neither BIOS nor UEFI, as far as can be seen"),
        ("cloud-init", found.contents.detail),
        ("agent", "installed" if found.contents.agent else "not installed"),
        ("SELinux", found.selinux or "-"),
        ("network by", found.network.value if found.network is not None else "not known"),
        ("partitions", found.table or "none"),
    ]
    rows += [("", f"{one.number}  {one.size}  {one.type}") for one in found.partitions]
    rows += [
        ("filesystems" if not number else "", f"{device}  {kind}")
        for number, (device, kind) in enumerate(found.filesystems)
    ]
    rows += [
        ("users" if not number else "", f"{user.name} ({user.uid}, {user.shell}, {_login(user)})")
        for number, user in enumerate(found.users)
    ]
    return "\n".join([name, *(f"  {key.ljust(11)}  {value}".rstrip() for key, value in rows)])


def _login(user: User) -> str:
    return "has a password" if user.password else "no password"
