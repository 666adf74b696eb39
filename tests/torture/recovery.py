"""How the host's recovery after a boot went, by what systemd and its journal tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labhost import Host

UNIT = "kvmkeep-recover.service"
ENDED = (
    f"systemctl show -p ActiveState --value {UNIT} | grep -qxE 'inactive|failed' && systemctl show"
    f" -p ExecMainExitTimestampMonotonic --value {UNIT} | grep -vqx 0"
)
_HOW = f"systemctl show -p ExecMainCode -p ExecMainStatus {UNIT}"
_SAID = f"journalctl -b -u {UNIT} -o cat --no-pager"
_EXITED = "1"
"""CLD_EXITED of sigaction(2): of a process that a signal ended, the status is the signal."""
_GOOD = {"0", "9"}
_BUG = "bug in kvmkeep"
_TAIL = 20


def ended(host: Host) -> bool:
    """Whether it has run in this boot, and has ended."""
    return host.run(ENDED).returncode == 0


def wrong(host: Host) -> tuple[str, ...]:
    """Return what is wrong with how it ended.

    Whether the guests run does not tell: the watch starts them too, a minute later.
    """
    return judged(host.must(_HOW), host.run(_SAID).stdout)


def judged(how: str, said: str) -> tuple[str, ...]:
    """Judge by the unit's properties, and by what it has said."""
    fields = dict(line.split("=", 1) for line in how.splitlines())
    code, status = fields["ExecMainCode"], fields["ExecMainStatus"]
    if code == _EXITED and status in _GOOD and _BUG not in said:
        return ()
    tail = "\n".join(said.splitlines()[-_TAIL:])
    return (f"the recovery ended with {status} (ExecMainCode={code}):\n{tail}",)
