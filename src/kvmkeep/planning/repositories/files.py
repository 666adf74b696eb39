"""A repository whose objects are seen as files for a while: nothing of it is copied."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.backup_policy import Engine
from kvmkeep.model.command import UNIT_NOT_LOADED, Action, Command, Poll
from kvmkeep.model.plan import Refusal
from kvmkeep.planning.aside import SERVICE
from kvmkeep.planning.commands import HOUR
from kvmkeep.planning.repositories.engine import Driver
from kvmkeep.planning.scene import Scene

_MOUNTING = 300.0
LONGEST = 24 * HOUR
"""Seconds that it is seen at the most, so that one that nobody hides goes by itself."""


class Shown(Struct, frozen=True, kw_only=True):
    """Where it is seen, and by whom: `unit` shows it below the directory `above`.

    That directory is root's; `group` is the number of the group that may look into it as well.
    """

    unit: str
    above: str
    group: int

    @property
    def tree(self) -> str:
        """The directory of the files."""
        return f"{self.above}/repository"


def show(shown: Shown, words: Driver, limit: float = LONGEST) -> tuple[Action, ...]:
    """Return what has a repository seen as files, by root and the group alone."""
    return (
        Command(
            argv=(
                "install", "--directory", "--mode=0710", "--owner=0", f"--group={shown.group}",
                "--", shown.above,
            ),
            why="make a directory that not everybody can look into",
        ),
        Command(
            argv=("install", "--directory", "--mode=0755", "--", shown.tree),
            why="make the directory for the repository's files",
        ),
        Command(
            argv=(
                "systemd-run", "--quiet", "--collect", f"--unit={shown.unit}",
                "--service-type=exec", *SERVICE,
                # Asked in this way, engines take their files away by themselves.
                f"--property=KillSignal=SIG{words.ends_by}", "--property=TimeoutStopSec=20s",
                f"--property=RuntimeMaxSec={int(limit)}s", "--setenv=HOME=/root",
                "--", *words.mount(shown.tree),
            ),
            why="show the repository as files; nothing of it is copied",
        ),
        Poll(
            command=Command(
                argv=("mountpoint", "--quiet", "--", shown.tree), why="see whether it is there"
            ),
            limit=_MOUNTING,
            every=0.5,
            message="the repository to be seen as files",
            otherwise=f"see why: journalctl --unit={shown.unit}",
        ),
    )  # fmt: skip


def plain(path: str) -> tuple[Command, ...]:
    """Return what ends a step where a file that is seen is no plain one, or leads away.

    Who stored it may have made it, or a directory above it, a link to something of this host. One
    that is not there at all leads nowhere: who needs it will tell.
    """
    return (
        Command(
            argv=("readlink", "--canonicalize-missing", "--", path),
            why="see that no link leads away from the repository",
            expect=path,
        ),
        Command(
            argv=("test", "!", "-e", path, "-o", "-f", path), why="see that it is a plain file"
        ),
    )


def hide(shown: Shown) -> tuple[Command, ...]:
    """Return the commands that stop the mount and remove its place; safe where nothing is there."""
    return (
        Command(
            argv=("systemctl", "stop", "--", shown.unit),
            why="stop showing the repository as files",
            ok=(0, UNIT_NOT_LOADED),
            timeout=120.0,
        ),
        Command(
            # 32: nothing is mounted there, umount(8). It stays where the engine was killed.
            argv=("umount", "--quiet", "--lazy", "--", shown.tree),
            why="see that nothing of it is left",
            ok=(0, 1, 32),
        ),
        Command(
            argv=("rm", "--recursive", "--force", "--one-file-system", "--", shown.above),
            why="leave nothing of it behind",
        ),
    )


def engine_refusals(scene: Scene, engine: Engine) -> tuple[Refusal, ...]:
    """Refuse where a program is missing that the unit runs, or the engine."""
    return tuple(
        Refusal(
            subject=f"program {tool.name}",
            reason="it is not installed, and needed to see the repository as files",
            hint=f"install the package {tool.package}",
            unready=True,
        )
        for name in (engine, "fusermount3", "guestfish", "qemu-img", "virsh")
        if (tool := scene.tools.get(name)) is not None and not tool.path
    )
