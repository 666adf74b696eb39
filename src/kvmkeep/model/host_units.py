"""The systemd units that have guests run with the host: their names, and how they are found."""

from __future__ import annotations

from msgspec import Struct

PROGRAM = "kvmkeep"
"""Our own program, as it is typed and as it is looked for in the PATH of commands."""
UNIT_DIR = "/etc/systemd/system"
SYSTEMD = "systemd's units"
"""What is not seen where systemd does not answer."""
GUESTS = "kvmkeep-guests.service"
"""Shuts the guests down when the host goes down."""
RECOVER = "kvmkeep-recover.service"
"""Has them up after the host's start."""
WATCH = "kvmkeep-watch.service"
"""Looks after them while the host runs."""
TIMER = "kvmkeep-watch.timer"
EVENTS = ("lifecycle", "io-error", "agent-lifecycle")
"""Events of libvirt's after which there is a look at once, in the words of virsh(1), "event"."""
LISTENERS = tuple(f"kvmkeep-event-{event}.service" for event in EVENTS)
"""Each waits for one of these events."""
BACKUP = "kvmkeep-backup.service"
"""Backs up the guests whose time has come, and forgets what is not kept any longer."""
BACKUP_TIMER = "kvmkeep-backup.timer"
PROVE = "kvmkeep-prove.service"
"""Proves the backups whose time has come."""
PROVE_TIMER = "kvmkeep-prove.timer"
PRUNE = "kvmkeep-prune.service"
"""Frees the room of what was forgotten, and has the engine check what it has."""
PRUNE_TIMER = "kvmkeep-prune.timer"
ALWAYS = (GUESTS, RECOVER, WATCH, TIMER, *LISTENERS)
"""Those that are wanted whatever the spec says."""
UNITS = (*ALWAYS, BACKUP, BACKUP_TIMER, PROVE, PROVE_TIMER, PRUNE, PRUNE_TIMER)
TIMERS = (TIMER, BACKUP_TIMER, PROVE_TIMER, PRUNE_TIMER)
ENABLED = (GUESTS, RECOVER, *TIMERS, *LISTENERS)
"""Those that begin by themselves with the host, of those that are wanted."""
STARTED = (GUESTS, *TIMERS, *LISTENERS)
"""Those that are begun when they are installed."""
STOPPED = (*TIMERS, *LISTENERS, RECOVER, WATCH)
"""Those that are stopped when they are taken away."""
SIGNATURE = "# Written by kvmkeep install-units; kvmkeep uninstall-units removes it."
"""The first line of each: what has another one is not ours."""


class UnitFile(Struct, frozen=True, kw_only=True):
    """A unit that is there under one of our names.

    `text` is empty where it is no regular file. `enabled` when it begins with the host, `active`
    when it does its work now, `failed` when its last run did not end well, and `stale` when systemd
    has read another text than this. `drop_ins` are files that change it (systemctl(1), "edit").
    """

    name: str
    text: str
    enabled: bool = False
    active: bool = False
    failed: bool = False
    stale: bool = False
    drop_ins: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether kvmkeep wrote it."""
        return self.text.startswith(f"{SIGNATURE}\n")


class HostUnits(Struct, frozen=True, kw_only=True):
    """The units of our names that are there; `program` is our own path, or empty."""

    files: tuple[UnitFile, ...] = ()
    program: str = ""

    def file(self, name: str) -> UnitFile | None:
        """Return the unit of that name."""
        return next((file for file in self.files if file.name == name), None)

    @property
    def command(self) -> str:
        """How kvmkeep is called in a command line: by its path, or by its name without one."""
        return self.program or PROGRAM

    @property
    def take_over(self) -> bool:
        """Whether the guests start with the host by these units, and not by libvirt."""
        file = self.file(RECOVER)
        return file is not None and file.ours and file.enabled


NO_UNITS = HostUnits()
