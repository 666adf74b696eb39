"""A moment that a blow waits for: before, in the middle of, or after a command of the deed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from stand_in import plant

if TYPE_CHECKING:
    from collections.abc import Callable

    from labhost import Host

PAUSE = 0.3
PROGRAMS = (
    "blkdiscard",
    "busctl",
    "guestfish",
    "lvchange",
    "lvconvert",
    "lvcreate",
    "lvextend",
    "lvremove",
    "lvrename",
    "nmcli",
    "qemu-img",
    "restic",
    "virsh",
    "xorriso",
    "mv",  # the last: the others are moved with it
)
WATCHING = """\
#!/bin/bash
# Stands in the place of a program. At the command that is aimed at, once, it says so; before and
# after it, the command stands still there. What is aimed at is forgotten when the power goes.
real() { (exec -a "$0" "$0.real" "$@"); }
if [[ -e /run/aim ]]; then
    read -r when words < /run/aim
    if [[ "${0##*/} $*" == *$words* ]] && mkdir /run/aimed 2>/dev/null; then
        [[ $when == after ]] && real "$@"
        touch /run/aimed/now
        [[ $when == during ]] || exec sleep infinity
    fi
fi
exec -a "$0" "$0.real" "$@"
"""


class When(Enum):
    """The moment at a command."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Aim:
    """A command by its words, which are a pattern of bash(1), and the moment at it."""

    when: When
    words: str

    def __str__(self) -> str:
        return f"{self.when.value} {self.words.replace('*', ' ... ')}"

    def take(self, host: Host) -> None:
        """Say what is waited for; the deed is to be begun afterwards."""
        host.must("rm -rf /run/aimed; cat > /run/aim", text=f"{self.when.value} {self.words}\n")

    def comes_by(self, host: Host, ended: Callable[[], bool]) -> bool:
        """Wait until the deed is there, or has ended; return whether it is there."""
        while host.run("test -e /run/aimed/now").returncode:
            if ended():
                return False
            time.sleep(PAUSE)
        return True


def watch(host: Host) -> None:
    """Put the stand-ins in the place of the programs, where they outlast a power cut."""
    plant(host, WATCHING, PROGRAMS)
    host.must("sync")


def before(words: str) -> Aim:
    """Aim at the moment before a command."""
    return Aim(When.BEFORE, words)


def during(words: str) -> Aim:
    """Aim at a command that has just begun."""
    return Aim(When.DURING, words)


def after(words: str) -> Aim:
    """Aim at the moment after a command, when nothing has been made of its answer yet."""
    return Aim(When.AFTER, words)
