"""What the journal tells of a run: for reading only, nothing depends on it to be correct."""

from __future__ import annotations

from msgspec import Struct

JOURNAL_VERSION = 1


class Entry(Struct, frozen=True, kw_only=True):
    """One line of a run's journal: `time` is UTC in ISO 8601; `fields` are in written order."""

    time: str
    kind: str
    fields: tuple[tuple[str, str], ...]

    def field(self, name: str) -> str:
        """Return a field's text, or nothing where the line has none."""
        return next((text for key, text in self.fields if key == name), "")


class Run(Struct, frozen=True, kw_only=True):
    """A run as its journal tells it; empty texts where the file does not say.

    `outcome` is empty where the run was killed or goes on. `damaged` counts the lines that could
    not be read; `newer` when a later version of kvmkeep wrote the file.
    """

    name: str
    verb: str
    started: str
    user: str
    pid: int
    command_line: str
    outcome: str
    entries: tuple[Entry, ...]
    damaged: int
    newer: bool
