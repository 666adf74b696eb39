"""What is, of libvirt's domains; see `model.facts`."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, field

from kvmkeep.model.run_mark import NO_RUN_MARK, RunMark
from kvmkeep.model.units import Size

AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""The name of the channel that libvirt talks to a guest's agent through."""
IO_ERROR = "I/O error"
"""Why libvirt paused a guest: QEMU could not write to a disk (`error_policy='stop'`)."""
PANICKED = "crashed"
"""Why libvirt has a guest run whose kernel panicked, and which it reset (`<on_crash>restart`)."""


class DomainDisk(Struct, frozen=True, kw_only=True):
    """A disk or CD-ROM of a domain. `device` is the source's major:minor, if it has one.

    `defined` when the domain's next start will have it, `attached` when it has it now, running.
    `cache` is how QEMU caches it (formatdomain, `cache`) from the next start on, `live_cache` how
    it does now; empty where libvirt leaves that to QEMU.
    """

    target: str
    bus: str
    kind: str
    source: str
    device: str
    format: str
    serial: str = ""
    defined: bool = True
    attached: bool = True
    cache: str = ""
    live_cache: str = ""


class DomainNic(Struct, frozen=True, kw_only=True):
    """A network interface of a domain. `xml` is its element in libvirt's own XML.

    `tap` names the host's interface that it is while it runs; empty where there is none.
    """

    mac: str
    bridge: str
    model: str
    kind: str = "bridge"
    tap: str = ""
    xml: str = ""


class Shape(Struct, frozen=True, kw_only=True):
    """Memory and CPUs of a domain, and the most it can be given of them without another start.

    `balloon` tells whether its memory can be changed while it runs.
    """

    memory: Size
    memory_max: Size
    vcpus: int
    vcpus_max: int
    balloon: bool = True


class GivenNic(Struct, frozen=True, kw_only=True):
    """What a domain's own metadata keep of a NIC that the spec named.

    `settings` are the network settings that its guest was given at its first boot or later
    (`addresses`, `gateway` ...); empty where that is not known.
    """

    mac: str
    settings: tuple[tuple[str, str], ...] = ()


class Born(Struct, frozen=True, kw_only=True):
    """What a guest was given at its first boot, as its domain's definition remembers it.

    `login` and `user_data` are parts of digests. Without a seed there is but the image.
    """

    image: str = ""
    hostname: str = ""
    login: str = ""
    user_data: str = ""


class DomainState(StrEnum):
    """States of a domain: virDomainState of libvirt-domain.h."""

    NOSTATE = "no state"
    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused"
    SHUTDOWN = "shutting down"
    SHUTOFF = "shut off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"

    @property
    def virsh(self) -> str:
        """What `virsh domstate` prints of it: three of its words are not ours."""
        return _VIRSH.get(self, self.value)


_VIRSH = {
    DomainState.BLOCKED: "idle",
    DomainState.SHUTDOWN: "in shutdown",
    DomainState.SUSPENDED: "pmsuspended",
}


class Domain(Struct, frozen=True, kw_only=True):
    """A domain of libvirt; `ours` when it carries our metadata. `xml` is the inactive XML.

    `autostart` is libvirt's flag. `run_mark` is what its definition keeps of how it is to run.

    `agent` tells whether the guest agent's channel is connected. `why` is the reason of a pause,
    or of its being off, in the words of virsh(1), "domstate". `run` is libvirt's number of the
    QEMU process, -1 while there is none: another start gives another number. `rebooted` is when a
    reboot that kvmkeep asked for was last seen to be over, as this QEMU process keeps it.
    `executes` when its agent says that it runs programs for us and opens the files that they leave,
    on Linux; it is asked only while a disk of the guest grows or is to go.

    `defined` is the shape that its next start gives it, `live` the one of the running process; None
    where it can't be read, or does not run. `files` are the paths of the disks in files that its
    definition remembers as given by kvmkeep, `live_files` those of the running process. `nics` are
    those of its definition, `live_nics` those of the running process, and `ports` the number of
    devices that can be added to that on the bus of a Q35 machine; -1 where this is another machine.
    `description`, `labels`, `given` and `born` are those of its definition; `born` is None where
    that is not known. `was_ready` when its QEMU
    process keeps that the guest was seen to be ready, and `ready_line` is the pattern of the line
    on its console that told so, if one did. `variables` is the file that libvirt takes
    for those of its firmware, if it has one. `saved` when libvirt keeps its memory (virsh(1),
    "managedsave"): its next start goes on from that, and not from what is on its disks. `arch` and
    `machine` are the architecture and machine type that its next start has KVM make.
    """

    name: str
    uuid: str
    state: DomainState
    persistent: bool
    autostart: bool
    ours: bool
    memory: Size
    vcpus: int
    disks: tuple[DomainDisk, ...]
    nics: tuple[DomainNic, ...]
    agent: bool
    serial_log: str
    xml: str
    why: str = ""
    run: int = -1
    rebooted: str = ""
    executes: bool = False
    defined: Shape | None = None
    live: Shape | None = None
    live_nics: tuple[DomainNic, ...] = ()
    ports: int = -1
    description: str = ""
    labels: tuple[str, ...] = ()
    given: tuple[GivenNic, ...] = ()
    born: Born | None = None
    files: tuple[str, ...] = ()
    live_files: tuple[str, ...] = ()
    was_ready: bool = False
    ready_line: str = ""
    run_mark: RunMark = field(default=NO_RUN_MARK, name="kept")
    variables: str = ""
    saved: bool = False
    arch: str = ""
    machine: str = ""

    @property
    def starts(self) -> bool:
        """Whether it starts with the host, by libvirt or by kvmkeep's unit."""
        return self.autostart or self.run_mark.starts

    @property
    def wanted(self) -> bool:
        """Whether it is to run: by the last word about it, or else if it starts with the host."""
        return self.starts if self.run_mark.wanted is None else self.run_mark.wanted
