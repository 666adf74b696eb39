"""The text of the units that make backups, forget them, and prove them (systemd.timer(5))."""

from __future__ import annotations

from collections.abc import Iterable

from kvmkeep.model.host_units import (
    BACKUP,
    BACKUP_TIMER,
    GUESTS,
    PROVE,
    PROVE_TIMER,
    PRUNE,
    PRUNE_TIMER,
    RECOVER,
    SIGNATURE,
)
from kvmkeep.model.spec import Spec
from kvmkeep.planning.units.files import LIBVIRT, Program

_QUIET = "Sun 12:00"
"""When most sites make no backups: a repository that is pruned takes none meanwhile."""
_PERCENT = 5
"""How much of the data the engine reads each week, in turn: all of it within half a year."""


_DAILY, _WEEKLY = "1d", "8d"
"""How long a unit rests at most. Those of each day choose by themselves who is due.

A timer that elapsed while the clock was ahead waits for the time after that (systemd.timer(5),
"Persistent="; its issue 13513), which may be years away. These go by no clock.
"""
_BACK_UP = "back up those whose time has come, and forget what is not kept any longer"


def backup_texts(program: Program, spec: Spec) -> dict[str, str]:
    """Return the text of each unit by its name; none where the spec backs up no guest."""
    policies = [guest.backup for guest in spec.guests if guest.backup is not None]
    if not policies:
        return {}
    return {
        BACKUP: _service(
            _BACK_UP,
            # In one line: of several, systemd runs none after one that failed, and one guest that
            # always fails must not have the backups of all others fill the repository.
            program.line("backup", "run", "--due", "--forget"),
        ),
        BACKUP_TIMER: _timer(
            "backups at the times of the spec", (policy.schedule for policy in policies), _DAILY
        ),
        PROVE: _service(
            "prove backups by starting them, those whose time has come",
            program.line("backup", "prove", "--due"),
        ),
        PROVE_TIMER: _timer(
            "proofs of backups at the times of the spec",
            (policy.prove for policy in policies),
            _DAILY,
        ),
        PRUNE: _service(
            "free the room of forgotten backups, and check a part of the others",
            # In one line as well.
            program.line("backup", "prune", f"--verify={_PERCENT}"),
        ),
        PRUNE_TIMER: _timer("room of forgotten backups, each week", (_QUIET,), _WEEKLY),
    }


def _service(what: str, line: str) -> str:
    # They use the same repositories: the others wait for a run of backups to end.
    after = "" if what == _BACK_UP else f" {BACKUP}"
    # A guest is never left frozen: only kvmkeep itself is asked to end, and tidies up. It is ended
    # before the guests are shut down.
    return f"""\
{SIGNATURE}
[Unit]
Description=KVM guests: {what}
Documentation=man:kvmkeep(1)
Wants=network-online.target
After=network-online.target {LIBVIRT} {GUESTS} {RECOVER}{after}

[Service]
Type=oneshot
ExecStart={line}
TimeoutStartSec=infinity
KillMode=mixed
TimeoutStopSec=300
"""


def _timer(what: str, times: Iterable[str], rest: str) -> str:
    when = "".join(f"OnCalendar={time}\n" for time in sorted({*times}))
    # What was missed while the host was off is made up for.
    return f"""\
{SIGNATURE}
[Unit]
Description=KVM guests: {what}
Documentation=man:kvmkeep(1)

[Timer]
{when}Persistent=true
OnActiveSec={rest}
OnUnitInactiveSec={rest}

[Install]
WantedBy=timers.target
"""
