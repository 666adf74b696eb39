"""The verbs, in the order of an administrator's day, and how one of them is loaded."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from msgspec import Struct

    from kvmkeep.cli.context import Context

VERBS: dict[str, str] = {
    "init": "write a starter spec from what is found on this host",
    "validate": "check the spec; the host is not looked at",
    "plan": "show what apply would do, and touch nothing",
    "apply": "make the host as the spec says",
    "status": "tell whether the host is as the spec says",
    "check": "tell what is wrong with this host, as a monitoring plugin",
    "report": "write a page about this host, with a picture of it",
    "list": "list the guests",
    "show": "show one guest",
    "console": "attach to a guest's serial console, or print its log",
    "start": "start guests and wait until they are ready",
    "shutdown": "shut guests down gracefully; never cut their power",
    "reboot": "reboot guests gracefully and wait until they are ready again",
    "recover": "after a power cut: have all guests up, in the order of their needs",
    "watch": "look once after all guests, and start again what died",
    "install-units": "have systemd start and stop the guests with the host, in order",
    "uninstall-units": "have libvirt start the guests with the host again",
    "suspend": "let guests stand still, with their memory",
    "resume": "let guests that stand still go on",
    "poweroff": "cut the power of guests, as if their plug were pulled",
    "autostart": "have guests start with the host, or not",
    "snapshot": "take, list, watch, revert to and delete snapshots of guests",
    "adopt": "take over what others made, or their changes into the spec",
    "release": "let guests go: take kvmkeep's marks away",
    "rename": "give a guest that is off another name",
    "clone": "make a new guest from copies of another one's disks",
    "remove": "bring a guest into the trash; nothing of it is destroyed",
    "trash": "list, restore and destroy what was removed",
    "inspect": "tell what is in a guest's disk or in an image",
    "copy-out": "copy files out of a guest's disk, also of a running guest",
    "copy-in": "copy files into the disk of a guest that is off",
    "tweak": "change passwords, keys, addresses and more in a disk, offline",
    "shell": "open a rescue shell with the tree of a guest",
    "backup": "make backups of guests, list and prove them",
    "observe": "print what is found on this host",
    "journal": "tell what earlier runs did",
    "schema": "print the spec's JSON Schema, for editors",
    "completion": "print the shell's completion script",
    "blocks": "move a disk into or out of a backup, block by block",
    "rung": "try one rung of a proof, and keep how that went",
    "guest-run": "run a program in a guest by its agent",
    "with-environment": "run a program with the variables that a file holds",
    "neighbour": "ask whether somebody has an IPv6 address",
}

INNER = frozenset({"blocks", "guest-run", "neighbour", "rung", "with-environment"})
"""Verbs that the steps of others are made of: they can be typed, but `--help` leaves them out."""

SUBVERBS: dict[str, dict[str, str]] = {
    "snapshot": {
        "create": "take a snapshot of all disks of a guest, of one moment",
        "list": "list the snapshots of guests",
        "revert": "take a guest's disks back to a set of snapshots",
        "delete": "delete sets of snapshots",
        "watch": "have snapshots grow before they are full",
    },
    "backup": {
        "run": "back guests up, one after the other",
        "list": "list the backups of guests",
        "show": "show one backup",
        "prove": "start a guest from its backup, where nobody can notice it",
        "restore": "bring a guest's disks back; what is there is kept",
        "rebuild": "bring back all guests of a host that was lost, and its spec",
        "copy-out": "copy files out of a backup, without bringing a disk back",
        "init": "make a repository for backups",
        "verify": "have the engine check what its repositories hold",
        "forget": "drop backups that are not kept any longer",
        "prune": "free the room of backups that were forgotten",
    },
    "blocks": {
        "send": "read a disk, and feed it to a program that stores it",
        "receive": "write a disk as a program gives it, each block checked before",
        "verify": "compare a disk with its block list",
    },
    "trash": {
        "list": "list what lies in the trash, and what it takes",
        "restore": "take a removed guest or disk back",
        "empty": "destroy what lies in the trash, for good",
    },
}
"""Verbs that are made of others: the module of `snapshot list` is `snapshot_list`."""


class Verb(Protocol):
    """What the module of a verb holds."""

    Args: type[Struct]
    add: Callable[[ArgumentParser], None]
    run: Callable[[object, Context], int]


def load(name: str) -> Verb:
    """Import the module of a verb: only the chosen one costs time."""
    return cast(
        "Verb", importlib.import_module(f"kvmkeep.cli.{name.replace(' ', '_').replace('-', '_')}")
    )
