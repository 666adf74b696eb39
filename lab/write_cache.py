"""Disks with a write cache that is lost when the power goes, as a real disk's is.

Between QEMU and each disk stand two servers of the Network Block Device protocol: nbdkit with our
plugin (torn_disk.py) keeps what is written until the lab flushes, and qemu-nbd writes what comes
through into the disk's image. At a power cut the first one ends, and writes some of what nobody has
flushed; the second one ends well, for the image's own tables are not what is being tried.
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

PLUGIN = Path(__file__).with_name("torn_disk.py")


def drive_file(state: State, disk: str) -> str:
    """Return what QEMU opens instead of the image."""
    return f"nbd+unix:///?socket={_socket(state, disk, 'cache')}"


def start(state: State, disk: str, image: Path, *, seed: str = "") -> None:
    """Serve a disk's image through a cache that is empty.

    With the same seed, a cut loses the same of the same writes.
    """
    _word_file(state, disk).unlink(missing_ok=True)
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
            "python",
            str(PLUGIN),
            f"socket={below}",
            f"word={_word_file(state, disk)}",
            f"seed={seed}",
        ]
    )


def hold(state: State, disk: str) -> None:
    """Let nothing more through from now on: this is the moment at which the power goes."""
    _signal(state, disk, "cache", signal.SIGSTOP)


def drop(state: State, disk: str) -> str:
    """Lose what is only in the cache, or some of it; return a word about it. QEMU has ended."""
    for part in ("cache", "image"):
        _signal(state, disk, part, signal.SIGTERM)
        _signal(state, disk, part, signal.SIGCONT)
        wait_for(
            f"the server of {disk}'s {part} to end",
            functools.partial(_ended, state, disk, part),
            limit=120,
        )
        _socket(state, disk, part).unlink(missing_ok=True)
        _pid_file(state, disk, part).unlink(missing_ok=True)
    word = _word_file(state, disk)
    return word.read_text().strip() if word.exists() else ""


def _word_file(state: State, disk: str) -> Path:
    return state.place / f"{disk}.cut"


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
