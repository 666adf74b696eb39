"""The journal: a run that can't begin one is refused, but where nobody is there to mend that."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.names import JOURNAL_DIR
from kvmkeep.model.vitals import Space


def journal_findings(patient: Patient) -> Iterator[Finding]:
    """Return why no run could be written down, before one is refused for that."""
    if patient.vitals.journal:
        yield _finding(
            patient.vitals.journal,
            f"ls -ld {JOURNAL_DIR}; lsattr -d {JOURNAL_DIR}; findmnt --target {JOURNAL_DIR}; "
            "then make it a directory that root can write into",
        )
    space = _below(patient.vitals.spaces)
    if space is not None and _full(space):
        yield _finding(
            f"its filesystem {space.mount} is full",
            f"du --one-file-system --human-readable --max-depth=2 {space.mount}; "
            f"df --inodes {space.mount}; then delete what may go",
        )


def _finding(what: str, todo: str) -> Finding:
    return Finding(
        name="journal-unwritable",
        severity=Severity.CRITICAL,
        subject="journal",
        what=what,
        why="what you type changes nothing without its journal, and no backup is made; watch, "
        "recover and shutdown --host go on, and nobody can read later what they did",
        todo=todo,
    )


def _below(spaces: tuple[Space, ...]) -> Space | None:
    """Return the filesystem that the journal lies on, as far as it was looked at."""
    held = [one for one in spaces if posixpath.commonpath((one.mount, JOURNAL_DIR)) == one.mount]
    return max(held, key=lambda one: len(one.mount), default=None)


def _full(space: Space) -> bool:
    """Whether nothing is left for a further file, but what is kept for root."""
    return not space.free.bytes or (space.inodes > 0 and not space.inodes_free)
