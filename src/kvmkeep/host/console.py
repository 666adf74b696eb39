"""Programs that get the terminal: virsh for a guest's serial console, and a rescue shell."""

from __future__ import annotations

import os
import signal
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


def attend(argv: tuple[str, ...]) -> int:
    """Give a program the terminal and wait until it ends; return its exit code.

    What is typed to interrupt it is for it alone. A signal that ends it gives minus its number.
    """
    variables = {"LIBGUESTFS_BACKEND": "direct", **os.environ}
    before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGQUIT)}
    try:
        child = os.posix_spawnp(argv[0], argv, variables, setsigdef=tuple(before))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except OSError as error:
        raise Unready(
            f"{argv[0]} can't be run: {error.strerror}",
            hint="install guestfs-tools; on EL libguestfs-rescue",
        ) from error
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
