"""Names of guests on the command line: checked before anything else is done with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kvmkeep.errors import UsageError
from kvmkeep.model.units import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

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
