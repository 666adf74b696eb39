"""borg's words, those of 1.2.5 on (borg(1), borg-create(1), borg-delete(1) ...).

An object is called by its name: borg 1 takes no ids. Locks of dead runs of this host borg removes
by itself (borg(1), BORG_HOSTNAME_IS_UNIQUE); about others only a human can know.
"""

from __future__ import annotations

from kvmkeep.model.backup import Part, nested_path
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.borg import (
    BORG_MARKS,
    archive_name,
    borg_argv,
    borg_get,
    borg_waits,
    inside,
)
from kvmkeep.model.command import Command
from kvmkeep.planning.commands import HOUR
from kvmkeep.planning.repositories.full import FULL

DAY = 24 * HOUR
# The pieces of a disk have one size, as those of a filesystem on it begin at its multiples; they
# are as large as borg's usual ones (borg-create(1), --chunker-params). No archives of what is half
# stored are wanted (--checkpoint-interval).
_CREATE = ("--checkpoint-interval=0", "--files-cache=disabled", "--compression=auto,zstd")
_PIECES = "--chunker-params=fixed,2097152"


class Borg:
    """The engine borg, for one repository."""

    ends_by = "TERM"
    """On SIGINT, `borg create` keeps an archive of what it has, and waits for more."""
    waits = HOUR
    by_parts = False

    def __init__(self, repository: Repository, program: str) -> None:
        self._repository = repository
        self._program = program

    def _argv(self, verb: str, *words: str) -> tuple[str, ...]:
        return borg_argv(self._repository, self._program, verb, borg_waits(), *words)

    def _archive(self, host: str, tags: tuple[str, ...]) -> str:
        return f"{self._repository.url}::{archive_name(host, tags)}"

    @property
    def _name(self) -> str:
        return f"repository {self._repository.name}"

    def init(self) -> Command:
        """See `Driver`."""
        words = ("--encryption=repokey-blake2", "--", self._repository.url)
        return Command(argv=self._argv("init", *words), why=f"make {self._name}", timeout=2 * HOUR)

    def place(self, guest: str, disk: str) -> str:
        """See `Driver`."""
        return nested_path(guest, disk)

    def put(self, path: str, host: str, tags: tuple[str, ...]) -> tuple[str, ...]:
        """See `Driver`; what it says on stdout tells of the object (`--json`)."""
        words = ("--json", *_CREATE, _PIECES, f"--stdin-name={inside(path)}")
        return self._argv("create", *words, "--", self._archive(host, tags), "-")

    def put_files(self, directory: str, host: str, tags: tuple[str, ...], why: str) -> Command:
        """See `Driver`."""
        words = (*_CREATE, "--", self._archive(host, tags), directory)
        argv = self._argv("create", *words)
        return Command(argv=argv, why=why, timeout=2 * HOUR, meanings=FULL)

    def get(self, one: str, path: str) -> tuple[str, ...]:
        """See `Driver`."""
        return borg_get(self._repository, self._program, one, path)

    def fetch(self, one: str, path: str, to: str, most: int, why: str) -> Command:
        """See `Driver`."""
        return Command(argv=self.get(one, path), why=why, stdout_to=to, most=most, timeout=2 * HOUR)

    def mount(self, directory: str) -> tuple[str, ...]:
        """See `Driver`."""
        # QEMU's user may read it as well; who else may is up to the directory above.
        options = ("-o", "allow_other,ignore_permissions")
        words = ("--foreground", f"--glob-archives={BORG_MARKS}", *options)
        return self._argv("mount", *words, "--", self._repository.url, directory)

    def mounted(self, directory: str, one: str, path: str) -> str:
        """See `Driver`."""
        return f"{directory}/{one}{path}"

    def forget(self, objects: tuple[str, ...], why: str) -> Command:
        """See `Driver`."""
        if not objects:  # borg-delete(1): without the name of an archive, all of the repository
            raise AssertionError("no object to forget")
        words = ("--", self._repository.url, *objects)
        return Command(argv=self._argv("delete", *words), why=why, timeout=2 * HOUR)

    def prune(self) -> Command:
        """See `Driver`."""
        why = f"delete what no backup in {self._name} has any more"
        argv = self._argv("compact", "--", self._repository.url)
        return Command(argv=argv, why=why, timeout=DAY)

    def check(self, part: Part | None = None) -> Command:
        """See `Driver`; it reads all of the data or nothing, and decrypts it where all is meant."""
        some = ("--verify-data",) if part == Part(number=1, of=1) else ()
        depth = ("--archives-only",) if part is None else some
        argv = self._argv("check", *depth, "--", self._repository.url)
        return Command(argv=argv, why=f"prove {self._name}", timeout=DAY)

    def unlock(self) -> tuple[Command, ...]:
        """See `Driver`."""
        return ()
