"""The spec's own files: who may write them has root do what he likes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity

_OTHERS_WRITE = 0o002


def spec_file_findings(patient: Patient) -> Iterator[Finding]:
    """Return which files and directories of the spec others than root may change.

    A group that may write is taken for meant.
    """
    for one in patient.vitals.spec_files:
        path = shlex.quote(one.path)
        whose = todo = ""
        if one.mode & _OTHERS_WRITE:
            whose = "everybody on this host"
            todo = f"chmod o-w {path}"
        elif one.owner != 0:
            whose = f"the user {one.owner}, who is not root,"
            todo = f"chown root:root {path}"
        if whose:
            yield Finding(
                name="spec-writable",
                severity=Severity.CRITICAL,
                subject=f"file {one.path}",
                what=f"{whose} may change it",
                why="root does what it says: that includes commands in guests, and their disks",
                todo=f"look at what it says, then: {todo}",
            )
