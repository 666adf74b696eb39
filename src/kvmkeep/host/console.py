"""A guest's serial console, through virsh, which knows how to handle a terminal."""

from __future__ import annotations

import os
from typing import NoReturn

from kvmkeep.errors import Unready


def console_command(uri: str, guest: str) -> tuple[str, ...]:
    """Return the command that attaches to the first serial port; Ctrl-] leaves it (virsh(1)).

    `--safe` asks the hypervisor for exclusive use, so that two users don't share the keyboard.
    """
    return ("virsh", "--connect", uri, "console", "--devname", "serial0", "--safe", "--", guest)


def become(argv: tuple[str, ...]) -> NoReturn:
    """Replace this process with a program that is to have the terminal."""
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise Unready(
            f"{argv[0]} can't be run: {error.strerror}", hint="install libvirt's client programs"
        ) from error
