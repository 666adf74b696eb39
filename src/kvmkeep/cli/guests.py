"""Names of guests on the command line: checked before anything else is done with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kvmkeep.errors import UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context

_LIBVIRT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,126}")
"""Domains that others made may have names that a guest of a spec can't have."""

_OWN_NAME = re.compile(rb"""^name:[ \t]*["']?([a-z0-9-]+)["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE)


def named_in(content: bytes, file: str) -> str:
    """Return a guest's name: its file's, unless a line of the file gives another one."""
    found = _OWN_NAME.search(content)
    return found[1].decode() if found else file.removesuffix(".yaml")


def add_guests(parser: ArgumentParser, *, some: bool, help_text: str) -> None:
    """Add the names of guests as the verb's words; `some` when at least one is needed."""
    parser.add_argument("guests", metavar="GUEST", nargs="+" if some else "*", help=help_text)


def add_choice(parser: ArgumentParser, what: str) -> None:
    """Add the two ways to choose guests to do something with: their names, or their labels."""
    parser.add_argument("guests", metavar="GUEST", nargs="*", help=f"the guests to {what}")
    parser.add_argument(
        "--label", action="append", default=[],
        help="instead of names: all guests of the spec with this label; given twice, with both",
    )  # fmt: skip


def chosen(guests: tuple[str, ...], labels: tuple[str, ...], ctx: Context) -> tuple[str, ...]:
    """Return the names of the guests that were chosen; raises UsageError where there are none."""
    if guests and labels:
        # "These and those" or "these, if they are those" is nothing to guess about.
        raise UsageError("names and --label are two ways to choose guests: use one of them")
    if not labels:
        if not guests:
            raise UsageError("no guest is named", hint="name guests, or choose them with --label")
        return guests
    names = tuple(one.name for one in ctx.spec().guests if set(labels) <= set(one.labels))
    if not names:
        shown = " and ".join(printable(label) for label in labels)
        raise UsageError(f"no guest of the spec has the label {shown}")
    return names


def checked(name: str) -> str:
    """Return a domain's name from the command line, or refuse what can't be one."""
    if _LIBVIRT_NAME.fullmatch(name) is None:
        raise UsageError(
            f"{printable(name)} can't be a guest's name", hint="`kvmkeep list` shows the names"
        )
    return name


def completable(name: str) -> bool:
    """Whether a shell may be handed this name as it is."""
    return _LIBVIRT_NAME.fullmatch(name) is not None
