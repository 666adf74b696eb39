"""What the verbs that change a disk offline share: whose disk it is, and what was seen in it."""

from __future__ import annotations

import posixpath
import secrets
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.cli.copy_out import there
from kvmkeep.cli.guests import checked
from kvmkeep.errors import Refused, UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door
    from kvmkeep.model.fittings import Fittings
    from kvmkeep.model.spec import Guest
    from kvmkeep.planning.offline.rewriting import OfflineChange

LIMIT = 16 << 20
"""Bytes of an answer that are read; what is asked for stays below."""


def add_disk(parser: ArgumentParser) -> None:
    """Add whose disk is changed."""
    parser.add_argument(
        "name", metavar="GUEST|IMAGE", help="a guest that is off, or an image of the spec"
    )


def add_output(parser: ArgumentParser) -> None:
    """Add where the changed copy of an image goes."""
    parser.add_argument(
        "--output", metavar="PATH", default="",
        help="of an image: the raw file to write its changed copy to",
    )  # fmt: skip


def guest_of(name: str, ctx: Context) -> Guest | None:
    """Return the guest of a name; None of an image. Refuse what is neither."""
    spec = ctx.spec()
    guest = spec.guest(checked(name))
    if guest is None and name not in {image.name for image in spec.images}:
        raise UsageError(
            f"the spec has no guest or image {name}", hint="`kvmkeep list` shows the guests"
        )
    return guest


def change_of(guest: Guest | None, name: str, output: str, ctx: Context) -> OfflineChange:
    """Return which disk is changed in this run; an image is copied to `output` first."""
    from kvmkeep.host.clock import utc_now
    from kvmkeep.model.names import second_stamp
    from kvmkeep.planning.offline.rewriting import OfflineChange

    if guest is not None and output:
        raise UsageError("a guest's own disk is changed: leave --output out")
    if guest is None and not output:
        raise UsageError(
            "an image stays as it is; a copy of it is changed", hint="add --output PATH"
        )
    path = posixpath.abspath(output) if output else ""
    if not path.isprintable():
        raise UsageError(f"{printable(path)} can't be a file's name")
    # Another run of the same second is another run.
    run = f"{second_stamp(utc_now().isoformat())}-{secrets.token_hex(2)}"
    change = OfflineChange(name=name, asked=run, output=path)
    if output and posixpath.basename(path) in _now(change, ctx.door()).there:
        raise Refused(f"{path} is there already", hint="move it away, or name another file")
    return change


class Looked(Struct, frozen=True, kw_only=True):
    """The change, with the directory of its output as it is by now, and what is in the disk."""

    change: OfflineChange
    fittings: Fittings | None


def looked(change: OfflineChange, door: Door) -> Looked:
    """Return what a change goes by; it is looked at anew before each plan."""
    return Looked(change=_now(change, door), fittings=_fittings(change, door))


def _now(change: OfflineChange, door: Door) -> OfflineChange:
    if not change.output:
        return change
    folder = posixpath.dirname(change.output)
    return replace(change, way=door.way(folder), there=there(folder, door))


def _fittings(change: OfflineChange, door: Door) -> Fittings | None:
    """Return what was seen in the disk, if a whole answer lies there."""
    from kvmkeep.model.fittings import parse_fittings

    try:
        content = door.read(change.answer, LIMIT)
        return None if content is None else parse_fittings(content.decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None
