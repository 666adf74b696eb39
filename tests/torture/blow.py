"""What strikes the host in the middle of a deed: its power goes, or one of its processes dies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labhost import Host


class Blow(Enum):
    """Each with the line of shell that strikes; the power has none, it is cut from outside."""

    POWER = ""
    LIBVIRTD = "systemctl kill --signal=KILL libvirtd.service"
    VIRTLOGD = "systemctl kill --signal=KILL virtlogd.service"
    NETWORK_MANAGER = "systemctl kill --signal=KILL NetworkManager.service"
    KVMKEEP = "pkill -KILL -f '^/usr/bin/python3 -m kvmkeep '"
    QEMU = "kill -KILL $(cat /run/libvirt/qemu/alpha.pid)"

    def __str__(self) -> str:
        return f"{self.name.lower().replace('_', ' ')} gone"


PROCESSES = tuple(blow for blow in Blow if blow is not Blow.POWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A blow, so many seconds after the one before it, or after the deed's begin.

    If `asked`, the deed is under way, and where it has ended it is asked for once more; otherwise
    the host recovers from the blow before.
    """

    blow: Blow
    after: float
    asked: bool

    def __str__(self) -> str:
        return f"{self.blow} after {self.after:.1f} s{'' if self.asked else ' of recovery'}"

    def fall(self, host: Host) -> None:
        """Strike; what does not run can't be struck, and then nothing happens."""
        if self.blow is Blow.POWER:
            host.lab.cut()
        else:
            host.run(self.blow.value)
