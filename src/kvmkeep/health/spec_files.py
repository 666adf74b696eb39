"""The spec's own files: who may write or read them, and which are not read.

Who may write them has root do what he likes.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.vitals import SpecFileStat

_OTHERS_WRITE = 0o002
_OTHERS_READ = 0o004
_OTHERS_THROUGH = 0o001
_STICKY = 0o1000
"""In such a directory, what is root's is renamed and removed by nobody else (inode(7))."""
_GUESTS = "guests"
_MEANT = (".yaml", ".yaml.released", ".yaml.sample")
"""Guests, those that `release` let go, and what `init` writes."""


def spec_file_findings(patient: Patient) -> Iterator[Finding]:
    """Return which files of the spec others may change or should not see, and which are not read.

    A group that may write is taken for meant.
    """
    yield from _readable(patient)
    for one in patient.vitals.spec_files:
        if _is_stray(one):
            yield _stray(one)
        yield from _writable(one)
    for one in patient.vitals.spec_ways:
        yield from _writable(one)


def _writable(one: SpecFileStat) -> Iterator[Finding]:
    path = shlex.quote(one.path)
    if _by_everybody(one):
        whose, todo = "everybody on this host", f"chmod o-w {path}"
    elif one.owner != 0:
        whose = f"the user {one.owner}, who is not root,"
        how = "--no-dereference " if one.kind == "symlink" else ""
        todo = f"chown {how}root:root {path}"
    else:
        return
    what = "lies there" if one.above else "it says"
    why = "root does what it says: that includes commands in guests, and their disks"
    if one.above:
        why = "the spec, or what it leads to, lies below it: another one put there is root's, too"
    yield Finding(
        name="spec-writable",
        severity=Severity.CRITICAL,
        subject=f"file {one.path}",
        what=f"{whose} may change it",
        why=why,
        todo=f"look at what {what}, then: {todo}",
    )


def _by_everybody(one: SpecFileStat) -> bool:
    if one.kind == "symlink" or (one.above and one.mode & _STICKY):
        return False
    return bool(one.mode & _OTHERS_WRITE)


def _readable(patient: Patient) -> Iterator[Finding]:
    """Tell of files with a secret that everybody may read, where he gets to them."""
    secret = {guest.place.file for guest in patient.spec.guests if guest.secret}
    files = patient.vitals.spec_files
    closed = [one.path for one in files if one.kind == "directory" and not _let_through(one)]
    for one in files:
        hidden = any(one.path.startswith(f"{folder}/") for folder in closed)
        if one.path in secret and one.mode & _OTHERS_READ and not hidden:
            yield Finding(
                name="spec-readable",
                severity=Severity.WARNING,
                subject=f"file {one.path}",
                what="everybody on this host may read it, and it has a password_hash or user_data",
                why="a password can be guessed by its hash, and user_data may hold any secret",
                todo=f"chmod o-r {shlex.quote(one.path)}",
            )


def _let_through(folder: SpecFileStat) -> bool:
    return bool(folder.mode & _OTHERS_THROUGH)


def _is_stray(one: SpecFileStat) -> bool:
    """Whether something lies where the guests' files are, and is none; what is hidden is meant."""
    folder, name = posixpath.split(one.path)
    if posixpath.basename(folder) != _GUESTS or name.startswith("."):
        return False
    return one.kind == "directory" or not name.endswith(_MEANT)


def _stray(one: SpecFileStat) -> Finding:
    path, folder = shlex.quote(one.path), posixpath.dirname(one.path)
    return Finding(
        name="spec-file-not-read",
        severity=Severity.OK,
        subject=f"file {one.path}",
        what="it lies with the guests' files, and is not read: only NAME.yaml is",
        why="a guest that only it tells of is in nobody's care",
        todo=f"if it is a guest's: mv {path} {shlex.quote(f'{folder}/NAME.yaml')}; else: "
        f"mv {path} /root/",
    )
