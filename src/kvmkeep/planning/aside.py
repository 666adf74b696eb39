"""Work that takes long and that no guest may feel, such as the reading and storing of a disk.

libvirt starts guests in machine.slice, and everything else is beside that slice: there, nice(1)
means nothing to a guest, since the processors are shared by slices first (cgroups(7), systemd
resource control). So such work goes into the guests' own slice, and weighs little in it.
"""

from __future__ import annotations

_PLACE = ("--slice=machine.slice", "--property=CPUWeight=10")
"""A guest that is not told otherwise weighs 100 (systemd.resource-control(5))."""

_ENDED_FIRST = 1000
"""The kernel ends such a process before any other (proc(5), oom_score_adj)."""

SERVICE = (
    *_PLACE, f"--property=OOMScoreAdjust={_ENDED_FIRST}", "--property=IOSchedulingClass=idle",
)  # fmt: skip
"""What has a service of systemd-run(1) stand back likewise, for disks too (systemd.exec(5))."""

ASIDE = ("systemd-run", "--scope", "--quiet", *_PLACE, "--")


def ended_first(pid_file: str) -> tuple[str, ...]:
    """Return what has the kernel end a process before any other, by the file with its number."""
    return ("xargs", f"--arg-file={pid_file}", "choom", f"--adjust={_ENDED_FIRST}", "--pid")


def aside(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command line that stands back behind each guest, for processors and disks.

    A scope is no service: the process stays the caller's (systemd-run(1), --scope). Which disks
    know of I/O classes is up to their schedulers (ionice(1)). If the host's memory runs out, it is
    ended before a guest is, though these are larger (choom(1)).
    """
    return (*ASIDE, "choom", f"--adjust={_ENDED_FIRST}", "--", "ionice", "--class=idle", *argv)
