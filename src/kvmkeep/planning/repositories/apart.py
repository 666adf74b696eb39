"""`restic unlock`, which asks the process of a lock whether it lives by sending it SIGHUP.

It asks whoever has that number now (restic's lock_unix.go): after a boot that may be a guest's
QEMU, which SIGHUP ends, or somebody's shell. So it runs where no number is that of anybody else
(pid_namespaces(7)), and takes the young locks of this host for dead ones. They are: who locks a
repository for kvmkeep holds its lock of backups. Where another restic runs that may hold one, such
as one by hand, that is not known, and only locks go that nobody has renewed for half an hour: those
are all that restic removes for hosts of another name, such as it is called then
(uts_namespaces(7)).
"""

from __future__ import annotations

_JUDGED = (
    "for one in $(grep -sl ^restic /proc/[0-9]*/comm); do "
    "words=$(tr '\\0' '\\n' < ${one%comm}cmdline); "  # none of one that is gone, or a zombie
    'test -z "$words" || printf \'%s\\n\' "$words" | grep -qx -e --no-lock -e version || '
    "echo restic-runs > /proc/sys/kernel/hostname || exit; "
    'done; exec "$@"'
)
APART = (
    # unshare(1) blocks SIGTERM while it waits, so that of a run that dies would not end it, and an
    # unlock which judges later would not see who has begun meanwhile.
    "setpriv", "--pdeathsig=KILL", "unshare", "--uts", "--pid", "--fork", "--kill-child", "--",
    "sh", "-c", _JUDGED, "unlock",
)  # fmt: skip


def apart(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command line whose signals reach nobody, and that judges no lock of a living one."""
    return (*APART, *argv)
