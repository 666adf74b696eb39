"""What systemd knows of a host's upkeep: whether its clock is right, and who checks arrays."""

from __future__ import annotations

from kvmkeep.host.door import Door
from kvmkeep.host.tools import ask
from kvmkeep.model.vitals import UNITS_SEEN, Schedule, Service

CLOCK = ("timedatectl", "show", "--property=NTPSynchronized")
"""It tells what the kernel was told last by whoever sets the clock (adjtimex(2), STA_UNSYNC)."""

TIMERS = ("mdcheck_start.timer", "raid-check.timer")
"""Debian's and EL's."""
CRONS = ("cron.service", "crond.service")
CRON_FILES = ("/etc/cron.d/mdadm", "/etc/cron.d/raid-check")
"""Debian's and EL's of old: they do nothing where there is no cron."""

SERVICES = (
    "NetworkManager.service",
    "libvirtd.service",
    "libvirtd.socket",
    "virtqemud.service",
    "virtqemud.socket",
)
"""What guests need after a boot; of libvirt's, a host has one pair or the other."""

UNITS = (
    "systemctl", "show", "--timestamp=unix",
    "--property=Id,ActiveState,LastTriggerUSec,UnitFileState", *TIMERS, *CRONS, *SERVICES,
)  # fmt: skip


def synchronized(door: Door) -> bool:
    """Whether the clock is kept right by somebody; raises Unanswered."""
    return "NTPSynchronized=yes" in ask(door, "the clock", CLOCK).splitlines()


def begun(door: Door) -> tuple[tuple[Schedule, ...], tuple[Service, ...]]:
    """Return what has arrays checked regularly, and how the services that guests need begin.

    Raises Unanswered or OSError.
    """
    blocks = ask(door, UNITS_SEEN, UNITS).split("\n\n")
    units = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in blocks]
    states = {one.get("Id", ""): one.get("UnitFileState", "") for one in units}
    services = tuple(
        Service(name=name, state=states[name]) for name in SERVICES if states.get(name)
    )
    return _schedules(door, units), services


def _schedules(door: Door, units: list[dict[str, str]]) -> tuple[Schedule, ...]:
    active = {one.get("Id", ""): one for one in units if one.get("ActiveState") == "active"}
    timers = [
        Schedule(name=name, last=_seconds(active[name].get("LastTriggerUSec", "")))
        for name in TIMERS
        if name in active
    ]
    cron = not active.keys().isdisjoint(CRONS)
    files = [path for path in CRON_FILES if cron and door.look(path) is not None]
    return (*timers, *(Schedule(name=path) for path in files))


def _seconds(text: str) -> int | None:
    """Return the seconds in `@1795732924`, as systemctl(1) writes a time when it is told so."""
    digits = text.removeprefix("@")
    return int(digits) if digits.isdecimal() and 0 < len(digits) < 16 else None
