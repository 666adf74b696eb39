"""Disks with a write cache that is lost when the power goes, as a real disk's is.

Between QEMU and each disk stand two servers of the Network Block Device protocol: nbdkit's cache
filter keeps what is written until the lab flushes (nbdkit-cache-filter(1), cache=writeback), and
qemu-nbd writes what comes through into the disk's image. At a power cut the first one is killed,
with all that nobody has flushed; the second one ends well, for the image's own tables are not what
is being tried.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from lab.tools import output_of, wait_for

if TYPE_CHECKING:
    from lab.state import State

BLOCK = "4096"
"""What is lost or kept as one, in bytes: at 64 KiB, nbdkit's default, neighbours go together."""


def drive_file(state: State, disk: str) -> str:
    """Return what QEMU opens instead of the image."""
    return f"nbd+unix:///?socket={_socket(state, disk, 'cache')}"


def start(state: State, disk: str, image: Path) -> None:
    """Serve a disk's image through a cache that is empty."""
    below, above = (_socket(state, disk, part) for part in ("image", "cache"))
    output_of(
        [
            "qemu-nbd",
            "--fork",
            "--persistent",
            "--format=qcow2",
            "--cache=unsafe",
            "--detect-zeroes=off",
            f"--socket={below}",
            f"--pid-file={_pid_file(state, disk, 'image')}",
            str(image),
        ]
    )
    output_of(
        [
            "nbdkit",
            f"--unix={above}",
            f"--pidfile={_pid_file(state, disk, 'cache')}",
            "--filter=cache",
            "nbd",
            f"socket={below}",
            "cache=writeback",
            f"cache-min-block-size={BLOCK}",
        ]
    )


def hold(state: State, disk: str) -> None:
    """Let nothing more through from now on: this is the moment at which the power goes."""
    _signal(state, disk, "cache", signal.SIGSTOP)


def drop(state: State, disk: str) -> None:
    """Lose what is only in the cache. QEMU has ended."""
    _signal(state, disk, "cache", signal.SIGKILL)
    _signal(state, disk, "image", signal.SIGTERM)
    for part in ("cache", "image"):
        wait_for(
            f"the server of {disk}'s {part} to end",
            functools.partial(_ended, state, disk, part),
            limit=120,
        )
        _socket(state, disk, part).unlink(missing_ok=True)
        _pid_file(state, disk, part).unlink(missing_ok=True)


def _socket(state: State, disk: str, part: str) -> Path:
    return state.place / f"{disk}.{part}.sock"


def _pid_file(state: State, disk: str, part: str) -> Path:
    return state.place / f"{disk}.{part}.pid"


def _process(state: State, disk: str, part: str) -> int:
    """Return the number of the server's process, 0 if there is none."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(_pid_file(state, disk, part).read_text())
        if str(_socket(state, disk, part)).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return 0


def _ended(state: State, disk: str, part: str) -> bool:
    return not _process(state, disk, part)


def _signal(state: State, disk: str, part: str, number: int) -> None:
    pid = _process(state, disk, part)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
