"""A door behind which an engine of backups gives one answer, and its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmkeep.model.secret_file import SecretFile

if TYPE_CHECKING:
    from kvmkeep.host.door import Result
    from kvmkeep.model.command import Command


class Says:
    """Answers `result` to all that is `asked` but the version; `there` are the directories.

    `most` is how much of an answer was asked to be kept.
    """

    def __init__(self, result: Result, version: Result) -> None:
        self.result = result
        self.version = version
        self.asked: list[tuple[str, ...]] = []
        self.most = 0
        self.there: dict[str, tuple[str, ...]] = {}

    def run(self, command: Command) -> Result:
        self.asked.append(command.argv)
        self.most = max(self.most, command.most)
        return self.version if command.argv[-1] in {"version", "--version"} else self.result

    def names(self, directory: str) -> tuple[str, ...]:
        if directory == "/srv/forbidden":
            raise PermissionError(13, "Permission denied")
        return self.there.get(directory, ())

    def which(self, program: str) -> str:
        return f"/usr/bin/{program}"

    def secret(self, path: str) -> SecretFile:
        return SecretFile(path=path, kind="file", mode=0o600)
