"""A guest's agent: how it is asked, and what it claims of the guest.

That is shown and compared, never obeyed: whoever is root in the guest chose every word and number
of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct, field

from kvmkeep.model.units import Size

NOT_CONNECTED = "is not connected"
"""Why an agent is silent that does not run in the guest, or is not there at all."""
NO_CHANNEL = "is not there: the domain has no channel for it"

T = TypeVar("T")


class Answer(Struct, Generic[T]):
    """What an agent sends back where it did as it was asked."""

    returned: T = field(name="return")


def agent_text(execute: str, arguments: Mapping[str, object] | None = None) -> str:
    """Return a command to an agent (qemu-ga-ref(7)) as JSON."""
    command = {"execute": execute} | ({} if arguments is None else {"arguments": arguments})
    return json.dumps(command, separators=(",", ":"))


def agent_argv(
    domain: str, execute: str, seconds: int, arguments: Mapping[str, object] | None = None
) -> tuple[str, ...]:
    """Return what sends an agent a command, and waits so long for its answer."""
    text = agent_text(execute, arguments)
    return ("virsh", "qemu-agent-command", "--timeout", str(seconds), "--", domain, text)


class AgentNic(Struct, frozen=True, kw_only=True):
    """An interface of the guest: the guest's name for it, its MAC, and `address/prefix` texts.

    `mac` is lower case, or empty where the agent tells none. Loopback addresses are left out.
    """

    name: str
    mac: str
    addresses: tuple[str, ...]


class AgentDisk(Struct, frozen=True, kw_only=True):
    """A disk that a filesystem lies on: its serial, and the guest's device (`/dev/vdb1`).

    Either is empty where the agent does not know it: it needs udev in the guest for both.
    """

    serial: str
    device: str


class AgentFilesystem(Struct, frozen=True, kw_only=True):
    """A mounted filesystem. `used` and `total` are None where the agent is too old to tell."""

    mountpoint: str
    type: str
    device: str
    """The kernel's name of what is mounted, such as `vdb1` or `dm-0`."""
    used: Size | None
    total: Size | None
    disks: tuple[AgentDisk, ...]

    @property
    def percent(self) -> float | None:
        """How full it is; None where that is not known."""
        if self.used is None or self.total is None or not self.total.bytes:
            return None
        return 100.0 * self.used.bytes / self.total.bytes


class AgentFacts(Struct, frozen=True, kw_only=True):
    """What the agent of `guest` answered. `problem` says in words why something of it is missing.

    With a problem, the other fields hold what was answered before it.
    """

    guest: str
    problem: str = ""
    hostname: str = ""
    nics: tuple[AgentNic, ...] = ()
    filesystems: tuple[AgentFilesystem, ...] = ()

    @property
    def answers(self) -> bool:
        """Whether there is an agent that answers."""
        return not self.problem

    def addresses(self, mac: str) -> tuple[str, ...]:
        """Return the addresses, as `address/prefix`, of the interface with a MAC."""
        return tuple(text for nic in self.nics if nic.mac == mac for text in nic.addresses)
