"""How borg is called, and what its archives are called (borg(1)): they have no tags, but names.

A name holds all that a listing has to tell: `kvmkeep+guest=web+set=...+host=...`.
"""

from __future__ import annotations

import re
import shlex

from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.backup_tags import TAG
from kvmkeep.model.names import CACHE_DIR, STATE_DIR

BORG_MARKS = f"{TAG}+*"
"""What the names of our archives are like, for `--glob-archives`; others are never touched."""
BORG_HINT = (
    "Debian 12: take borgbackup from bookworm-backports; or `apt remove borgbackup`, and put "
    "borg's own binary from its releases into /usr/local/bin, which comes last in the PATH"
)
_OLDEST, _NEXT = (1, 2, 5), (2,)
_HOST = "host="
_VERSION = re.compile(r"borg ([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})(?:[^0-9].*)?")
_MARK = r"[A-Za-z0-9._-]{1,255}"
_NAME = re.compile(rf"{TAG}(\+{_MARK}(={_MARK})?){{1,20}}")
_UNFINISHED = re.compile(r"(.+?)\.checkpoint(\.[0-9]{1,9})?")


def borg_argv(repository: Repository, program: str, *words: str) -> tuple[str, ...]:
    """Return a command line of borg; `program` is the path of kvmkeep.

    The password never stands in it: borg has `cat` read it. What borg would ask is answered with
    no: a repository that is another one than before, or is not encrypted, is not used.
    """
    keys = repository.environment_file
    around = (program, "with-environment", f"--file={keys}", "--") if keys else ()
    return (
        *around,
        "env",
        "TZ=UTC",
        f"BORG_PASSCOMMAND=cat -- {shlex.quote(repository.password_file)}",
        f"BORG_BASE_DIR={STATE_DIR}/borg",
        f"BORG_CACHE_DIR={CACHE_DIR}/borg",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK=no",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=no",
        "borg",
        *words,
    )


def borg_get(repository: Repository, program: str, one: str, path: str) -> tuple[str, ...]:
    """Return what writes the data at `path` of an archive to its stdout."""
    words = ("extract", borg_waits(), "--stdout", "--", f"{repository.url}::{one}")
    return borg_argv(repository, program, *words, f"pf:{inside(path)}")


def borg_waits(seconds: int = 1800) -> str:
    """Return how long is waited for others: who writes has the repository for itself."""
    return f"--lock-wait={seconds}"


def inside(path: str) -> str:
    """Return how a path is called in an archive."""
    return path.removeprefix("/")


def archive_name(host: str, tags: tuple[str, ...]) -> str:
    """Return what the object of those tags is called."""
    return "+".join((*tags, _HOST + host))


def archive_tags(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the host and the tags of an archive of ours; None for others."""
    if _NAME.fullmatch(name) is None:
        return None
    *tags, host = name.split("+")
    return (host.removeprefix(_HOST), tuple(tags)) if host.startswith(_HOST) else None


def finished_name(name: str) -> str:
    """Return what an archive would be called if it were whole; the same if it is."""
    found = _UNFINISHED.fullmatch(name)
    return name if found is None else found[1]


def version_trouble(said: str) -> str:
    """Return why a borg that calls itself so is not used; empty if it is."""
    found = _VERSION.fullmatch(said)
    if found is None:
        return f"{said!a:.60} is no version of borg that is known"
    version = tuple(int(part) for part in found.groups())
    if version < _OLDEST:
        return (
            f"{said} is too old: archives can be forged in its repositories (CVE-2023-36811); "
            "1.2.5 or newer is wanted"
        )
    if version >= _NEXT:
        return f"{said} is not known yet: a borg from 1.2.5 on and before 2 is wanted"
    return ""
