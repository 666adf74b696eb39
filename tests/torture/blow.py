"""What strikes the host in the middle of a deed: its power goes, or one of its processes dies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labhost import Host

    from tests.torture.aim import Aim


def _service(unit: str) -> str:
    """Return the line that kills a service: of one that does not run, `systemctl kill` ends well."""
    return f"systemctl is-active --quiet {unit} && systemctl kill --signal=KILL {unit}"


class Blow(Enum):
    """Each with the line of shell that strikes, and fails where there is nothing to strike.

    The power has none, it is cut from outside.
    """

    POWER = ""
    LIBVIRTD = _service("libvirtd.service")
    VIRTLOGD = _service("virtlogd.service")
    NETWORK_MANAGER = _service("NetworkManager.service")
    KVMKEEP = "pkill -KILL -f '^/usr/bin/python3 -m kvmkeep '"
    QEMU = "kill -KILL $(cat /run/libvirt/qemu/alpha.pid)"

    def __str__(self) -> str:
        return f"{self.name.lower().replace('_', ' ')} gone"


PROCESSES = tuple(blow for blow in Blow if blow is not Blow.POWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A blow, so many seconds after the one before it, or after the deed's begin.

    If `asked`, the deed is under way, and where it has ended it is asked for once more; otherwise
    the host recovers from the blow before. With an aim, the time begins at its moment, and before
    it the host has recovered.
    """

    blow: Blow
    after: float
    asked: bool
    aim: Aim | None = None

    def __str__(self) -> str:
        if self.aim is not None:
            return f"{self.blow} {self.aim}"
        return f"{self.blow} after {self.after:.1f} s{'' if self.asked else ' of recovery'}"

    def fall(self, host: Host) -> bool:
        """Strike; return whether there was anything to be struck."""
        if self.blow is Blow.POWER:
            host.lab.cut()
            return True
        return host.run(self.blow.value).returncode == 0
