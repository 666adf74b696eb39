"""How restic is called (restic(1)): observing and planning use the same words."""

from __future__ import annotations

from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.names import RESTIC_CACHE


def restic_argv(repository: Repository, program: str, *words: str) -> tuple[str, ...]:
    """Return a command line of restic; `program` is the path of kvmkeep.

    The password never stands in it, nor do keys: restic reads one from its file, and kvmkeep
    gives the others to restic's environment. For a REST server, the place is one of them, since
    restic before 0.16.1 takes name and password from nowhere else.
    """
    keys, place = repository.environment_file, repository.url
    rest = bool(keys) and place.startswith("rest:")
    around: tuple[str, ...] = (program, "with-environment", f"--file={keys}") if keys else ()
    around += (f"--rest={place}",) if rest else ()
    return (
        *around,
        *(("--",) if keys else ()),
        "restic",
        *(() if rest else (f"--repo={place}",)),
        f"--password-file={repository.password_file}",
        f"--cache-dir={RESTIC_CACHE}",
        *words,
    )


def restic_get(repository: Repository, program: str, one: str, path: str) -> tuple[str, ...]:
    """Return what writes the data at `path` of a snapshot to its stdout.

    It waits for nobody's lock, and needs no right to write one: restic removes no file before all
    that replaces it is there, and checks what it reads by its name, so it gives the data or fails.
    """
    return restic_argv(repository, program, "dump", "--no-lock", "--", one, path)
