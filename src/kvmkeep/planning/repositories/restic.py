"""restic's words, those of 0.14 on (restic(1), restic-backup(1), restic-forget(1) ...)."""

from __future__ import annotations

from kvmkeep.model.backup import Part, flat_path
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.command import Command, Meaning
from kvmkeep.model.restic import restic_argv, restic_get
from kvmkeep.planning.commands import HOUR
from kvmkeep.planning.repositories.apart import apart
from kvmkeep.planning.repositories.full import FULL

DAY = 24 * HOUR
# What a REST server says that only takes new data (rest-server --append-only, and rclone's): to
# restic it is one error of many. The second words are those of 0.17 on.
_APPEND_ONLY = tuple(
    Meaning(
        words=words,
        sentence="The server lets nothing be deleted. If it is to be so, write append_only: true "
        "to the repository in host.yaml; else have it allow that for a while, and run this again",
    )
    for words in ("not removed, server response: 403", "unexpected HTTP response (403)")
)
_HAS_KEYS = Meaning(
    words="already contains keys",
    sentence="An init that was stopped has left a key there. If the repository has no data yet, "
    "remove its directory `keys`, and run this again",
)


class Restic:
    """The engine restic, for one repository."""

    ends_by = "INT"
    """On SIGINT it takes its locks away."""
    waits = 0.0
    by_parts = True

    def __init__(self, repository: Repository, program: str) -> None:
        self._repository = repository
        self._program = program

    def _argv(self, *words: str) -> tuple[str, ...]:
        return restic_argv(self._repository, self._program, *words)

    @property
    def _name(self) -> str:
        return f"repository {self._repository.name}"

    def init(self) -> Command:
        """See `Driver`."""
        why = f"make {self._name}"
        return Command(argv=self._argv("init"), why=why, timeout=HOUR, meanings=(_HAS_KEYS,))

    def place(self, guest: str, disk: str) -> str:
        """See `Driver`."""
        return flat_path(guest, disk)

    def put(self, path: str, host: str, tags: tuple[str, ...]) -> tuple[str, ...]:
        """See `Driver`; its last line on stdout tells of the object (`--json`)."""
        marks = f"--tag={','.join(tags)}"
        return self._argv(
            "backup", "--json", f"--host={host}", marks, "--stdin", f"--stdin-filename={path}"
        )

    def put_files(self, directory: str, host: str, tags: tuple[str, ...], why: str) -> Command:
        """See `Driver`."""
        # All files are read (--force): one of the same size and time may be of a run before.
        words = ("backup", "--force", f"--host={host}", f"--tag={','.join(tags)}", "--", directory)
        return Command(argv=self._argv(*words), why=why, timeout=HOUR, meanings=FULL)

    def get(self, one: str, path: str) -> tuple[str, ...]:
        """See `Driver`."""
        return restic_get(self._repository, self._program, one, path)

    def fetch(self, one: str, path: str, to: str, most: int, why: str) -> Command:
        """See `Driver`."""
        return Command(argv=self.get(one, path), why=why, stdout_to=to, most=most, timeout=HOUR)

    def mount(self, directory: str) -> tuple[str, ...]:
        """See `Driver`."""
        # By id alone: the other ways to a snapshot go by names that another host may have given.
        # QEMU's user may read it as well; who else may is up to the directory above.
        words = ("--no-lock", "--allow-other", "--path-template=ids/%I")
        return self._argv("mount", *words, "--", directory)

    def mounted(self, directory: str, one: str, path: str) -> str:
        """See `Driver`."""
        return f"{directory}/ids/{one}{path}"

    def forget(self, objects: tuple[str, ...], why: str) -> Command:
        """See `Driver`."""
        argv = self._argv("forget", "--", *objects)
        return Command(argv=argv, why=why, timeout=HOUR, meanings=_APPEND_ONLY)

    def prune(self) -> Command:
        """See `Driver`."""
        why = f"delete what no backup in {self._name} has any more"
        argv = self._argv("prune")
        return Command(argv=argv, why=why, timeout=DAY, meanings=_APPEND_ONLY)

    def check(self, part: Part | None = None) -> Command:
        """See `Driver`."""
        # Percent would be of packs at random, some of which never had their turn; in which part a
        # pack is goes by its name (restic-check(1)).
        data = () if part is None else (f"--read-data-subset={part}",)
        # It only reads, and must neither fail because of a backup that is on its way nor stop one.
        words = ("check", "--no-lock", *data)
        return Command(argv=self._argv(*words), why=f"prove {self._name}", timeout=DAY)

    def unlock(self) -> tuple[Command, ...]:
        """See `Driver`."""
        why = f"remove locks of dead runs from {self._name}"
        return (Command(argv=apart(self._argv("unlock")), why=why, timeout=HOUR),)
