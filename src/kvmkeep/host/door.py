"""The door to the machine, as its users see it: what may pass, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.way import Way

ProgressWatcher = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, a few times a second."""


class Result(Struct, frozen=True, kw_only=True):
    """How a command ended.

    `code` is its exit code, or minus the signal's number, 127 where the program is missing.
    `ok` is judged by the command's `ok` and `expect`. `seconds` is how long it ran. `timed_out`
    when its time limit ended it. `cut` are the bytes that were left out of the middle of stdout.
    """

    code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    timed_out: bool
    ok: bool
    cut: int = 0

    @property
    def text(self) -> str:
        """Stdout as text, whatever its bytes."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def tail(self) -> str:
        """The last lines of what the tool said, for an error message."""
        said = (self.stderr or self.stdout).decode("utf-8", "replace")
        return "\n".join(said.splitlines()[-25:])


class Door(Protocol):
    """Everything that touches the machine, except libvirt's bulk reads."""

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        """Run a command to its end; never raises because of how it ended."""

    def run_all(
        self, commands: Sequence[Command], *, limit: float, at_once: int
    ) -> tuple[Result, ...]:
        """Run harmless commands side by side; never raises because of how they ended.

        After `limit` seconds, what still runs is ended, and what waits is not begun any more
        (`timed_out`). At most `at_once` run at the same time.
        """

    def write(self, file: WriteFile) -> None:
        """Write a file whole and durably; raises OSError."""

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """Return the first `limit` bytes of a regular file, or None where there is none."""

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory; none where it does not exist."""

    def look(self, path: str) -> ImageFile | None:
        """Return what kind of file this is and its fingerprint (lstat), or None."""

    def secret(self, path: str) -> SecretFile:
        """Return how what must be root's, such as a file of secrets, is seen; never raises."""

    def way(self, directory: str) -> Way:
        """Return the way to a directory, which need not be there; never raises."""

    def device(self, path: str) -> str:
        """Return the `major:minor` of a block device, through links; empty if it is none."""

    def locked(self, path: str) -> bool:
        """Whether a run holds the lock of that file."""

    def which(self, program: str) -> str:
        """Return the absolute path of a program, or nothing."""

    def sleep(self, seconds: float) -> None:
        """Wait; the fake's clock only counts."""

    def clock(self) -> float:
        """Return seconds of a monotonic clock."""
