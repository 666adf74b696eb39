"""The text of the systemd units that have guests run with the host (systemd.service(5)).

The guests' own QEMU processes belong to none of them: libvirt starts each in a scope of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Facts
from kvmkeep.model.host_units import EVENTS, GUESTS, LISTENERS, RECOVER, SIGNATURE, TIMER, WATCH
from kvmkeep.model.names import LIBVIRT_URI, LOCK_FILE
from kvmkeep.model.run import DEFAULT_STOP
from kvmkeep.model.spec import Spec
from kvmkeep.planning.running.shutdown import ASKING
from kvmkeep.planning.units.quoting import unit_word

PATIENCE = 180
"""Seconds that a run which nobody attends to waits for another run of kvmkeep to end."""
RECOVERY_PATIENCE = 24 * 3600
"""Seconds that recovery waits for that: until it has the lock, no look of the watch is begun."""
_MARGIN = 60
_STARTING = 120
"""Seconds for the start of a guest's QEMU, besides its `start_timeout`."""
_TRIES = 6
"""How often a run looks and tries at most; a start that fails has three tries of its own."""
_LEAST = 10
_LISTENS = 3600
"""Seconds after which virsh is begun anew, should it have lost its libvirt without a word."""
_BETWEEN_RECOVERIES = 15
_BETWEEN_LOOKS = 5
"""Seconds: a guest can make events as fast as it likes."""
_STOP = re.compile(r"^TimeoutStopSec=([0-9]{1,9})$", re.MULTILINE)

_FREE = (
    f"umask 077; flock --shared --nonblock --conflict-exit-code 77 {LOCK_FILE} true; [ $$? -ne 77 ]"
)
"""Whatever flock(1) tells of, other than that it is locked, keeps no look from being tried."""

LIBVIRT = (
    "libvirtd.service libvirtd.socket virtqemud.service virtqemud.socket "
    "virtlogd.service virtlogd.socket"
)
# time-sync.target is not among them: without a server that tells the time, which may be a guest,
# systemd-time-wait-sync.service has it wait for ever.
_BELOW = (
    "local-fs.target remote-fs.target lvm2-monitor.service NetworkManager.service "
    "network-online.target"
)


class Program(Struct, frozen=True, kw_only=True):
    """How the units call kvmkeep: its absolute path, and options such as `--spec`."""

    path: str
    options: tuple[str, ...] = ()

    def line(self, *words: str) -> str:
        """Return a command line as systemd takes it."""
        return " ".join(map(unit_word, (self.path, *words, *self.options)))


def stop_seconds(spec: Spec, facts: Facts) -> int:
    """Return the most that shutting all guests down may take: the sum of their limits."""
    named = {guest.name for guest in spec.guests}
    limits = [guest.run.stop_timeout for guest in spec.guests]
    limits += [DEFAULT_STOP for one in others(facts.domains, named)]
    return PATIENCE + _MARGIN + sum(limit + int(ASKING) for limit in limits)


def given_seconds(facts: Facts) -> int | None:
    """Return what the unit that is installed lets it take, if there is one of ours."""
    file = facts.units.file(GUESTS)
    found = _STOP.search(file.text) if file is not None and file.ours else None
    return None if found is None else int(found[1])


def share(facts: Facts, guests: int) -> int:
    """Return the seconds that each of so many guests gets where no spec tells, one by one.

    They are an equal part of what the unit has, so that it is not ended before all were asked.
    """
    given = given_seconds(facts)
    if given is None or not guests:
        return DEFAULT_STOP
    part = (given - PATIENCE - _MARGIN) // guests - int(ASKING)
    return max(_LEAST, min(part, DEFAULT_STOP))


def start_seconds(spec: Spec) -> int:
    """Return the most that recovery may take: each limit as often as a start is tried."""
    limits = sum(guest.run.start_timeout + _STARTING for guest in spec.guests)
    return PATIENCE + _MARGIN + _TRIES * limits


def others(domains: Iterable[Domain], named: Iterable[str]) -> tuple[Domain, ...]:
    """Return the domains with our mark that the spec does not name (any more)."""
    known = frozenset(named)
    return tuple(one for one in domains if one.ours and one.name not in known)


def unit_texts(program: Program, *, start: int, stop: int) -> dict[str, str]:
    """Return the text of each unit by its name; both limits are in seconds."""
    return {
        # A unit whose start failed is not stopped (systemd.service(5), "ExecStop="): so this one
        # has nothing to start. libvirt's machines come before virt-guest-shutdown.target, and so
        # go after it; libvirt-guests.service asks those guests that are not ours.
        GUESTS: f"""\
{SIGNATURE}
[Unit]
Description=KVM guests: shut down in the reverse order of their needs before the host goes down
Documentation=man:kvmkeep(1)
Wants=virt-guest-shutdown.target
After={LIBVIRT} virt-guest-shutdown.target libvirt-guests.service
After={_BELOW}
RefuseManualStop=yes

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStop={program.line("shutdown", "--host")}
TimeoutStopSec={stop}

[Install]
WantedBy=multi-user.target
""",
        # It has started once it holds the lock: else the watch could be first, which tries each
        # guest once. As a oneshot, it would hold the host's boot up until the last guest is ready.
        # 5: libvirt or LVM did not answer; 6: another run of kvmkeep is at work. Nothing was
        # touched then, and nobody but systemd begins it again. What calls kvmkeep may be a wrapper
        # (NotifyAccess).
        RECOVER: f"""\
{SIGNATURE}
[Unit]
Description=KVM guests: up in the order of their needs after the host's start
Documentation=man:kvmkeep(1)
Wants=network-online.target
After={LIBVIRT} {GUESTS}
After={_BELOW}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart={program.line("recover")}
TimeoutStartSec=infinity
RuntimeMaxSec={start}
RestartForceExitStatus=5 6 SIGKILL
RestartSec={_BETWEEN_RECOVERIES}

[Install]
WantedBy=multi-user.target
""",
        WATCH: f"""\
{SIGNATURE}
[Unit]
Description=KVM guests: a look whether all that should run does
Documentation=man:kvmkeep(1)
After={LIBVIRT} {GUESTS} {RECOVER}
StartLimitIntervalSec=0

[Service]
Type=oneshot
# A look beside another run, such as a recovery that takes minutes, would only say so.
ExecCondition=/bin/sh -c "{_FREE}"
ExecStart={program.line("watch")}
# 6: another run of kvmkeep is at work, such as recovery. 9: kvmkeep check tells it too.
SuccessExitStatus=6 9
TimeoutStartSec={start}
""",
        TIMER: f"""\
{SIGNATURE}
[Unit]
Description=KVM guests: a look each minute
Documentation=man:kvmkeep(1)

[Timer]
OnBootSec=2min
OnUnitInactiveSec=1min
AccuracySec=5s

[Install]
WantedBy=timers.target
""",
        **{name: _listener(event) for name, event in zip(LISTENERS, EVENTS, strict=True)},
    }


def _listener(event: str) -> str:
    """Return the unit that has a look follow an event of libvirt's.

    The look comes once virsh listens again, so that it also sees what happened between two of
    them. That is every few seconds at most, however many events a guest makes. virsh ends with 1
    when no event came in time.
    """
    virsh = f"virsh --connect {LIBVIRT_URI} --readonly --quiet"
    return f"""\
{SIGNATURE}
[Unit]
Description=KVM guests: a look after {event} events
Documentation=man:kvmkeep(1)
After={LIBVIRT} {GUESTS} {RECOVER}
StartLimitIntervalSec=0

[Service]
Type=exec
# It says in the end that references were leaked: it leaves in the middle of its own event.
ExecStart={virsh} event --event {event} --timeout {_LISTENS}
# Not while kvmkeep is at work: most events are of its own making then.
ExecStartPost=-flock --shared --nonblock {LOCK_FILE} systemctl start --no-block {WATCH}
SuccessExitStatus=1
Restart=always
RestartSec={_BETWEEN_LOOKS}
# flock(1) makes the lock where there is none; whoever may open it may lock it.
UMask=0077

[Install]
WantedBy=multi-user.target
"""
