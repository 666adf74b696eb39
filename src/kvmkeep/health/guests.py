"""Guests: those that should run and don't, that stand still, or that don't answer."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.health.standstill import standstill_findings
from kvmkeep.model.agent import NO_CHANNEL, NOT_CONNECTED
from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.names import CONSOLE_DIR, TAG_HELD, TAG_START
from kvmkeep.model.run import ReadyAgent
from kvmkeep.model.snapshot import tag_value
from kvmkeep.model.spec import Guest
from kvmkeep.model.units import GuestName
from kvmkeep.model.vitals import GuestAnswer
from kvmkeep.planning import programs
from kvmkeep.planning.disks.files import unmounted
from kvmkeep.planning.domains.machine_type import another_machine, machine_gone
from kvmkeep.planning.running.recover import needy, wait_step
from kvmkeep.planning.running.saved import sleeps
from kvmkeep.planning.scene import active

_UNSAFE = "unsafe"


def guest_findings(patient: Patient) -> Iterator[Finding]:
    """Return what is wrong with guests, and with domains that nobody wrote a spec for."""
    yield from _order(patient)
    yield from _programs(patient)
    for domain in patient.facts.domains:
        yield from standstill_findings(patient, domain)
    inside = {one.guest: one for one in patient.vitals.inside}
    for guest in patient.spec.guests:
        own = patient.scene.own_domain(guest)
        if own is None:
            continue
        yield from _undefined(guest, own)
        yield from _machine(patient, guest, own)
        yield from _caches(guest, own)
        yield from _off(patient, guest, own)
        yield from _mounts(patient, guest, own)
        yield from _left(patient, guest, own)
        if guest.name in inside and own.state is DomainState.RUNNING:
            yield from _answers(guest, inside[guest.name])


def _order(patient: Patient) -> Iterator[Finding]:
    """Tell of needs that nobody minds: libvirt starts all of its domains at once."""
    needy = [one.name for one in patient.spec.guests if one.run.needs or one.run.mounts]
    if not needy or patient.facts.units.take_over:
        return
    yield Finding(
        name="order-not-kept",
        severity=Severity.WARNING,
        subject="host",
        what=f"nothing starts guests in the order of their needs ({', '.join(needy)})",
        why="after a power cut libvirt starts all at once, also those that miss what they need",
        todo="kvmkeep install-units",
    )


def _programs(patient: Patient) -> Iterator[Finding]:
    """Tell of programs without which a recovery can't see that guests are ready."""
    waits = (wait_step(patient.scene, guest) for guest in patient.spec.guests)
    for missing in programs.missing_tools(patient.scene, waits):
        yield Finding(
            name="program-missing",
            severity=Severity.WARNING,
            subject=missing.subject,
            what="it is not installed, and a guest's `ready` needs it",
            why="after a power cut the guest counts as not up, and those that need it stay off",
            todo=missing.hint,
        )


def _undefined(guest: Guest, domain: Domain) -> Iterator[Finding]:
    if not domain.persistent:
        yield Finding(
            name="guest-undefined",
            severity=Severity.CRITICAL,
            subject=f"guest {guest.name}",
            what="it runs, but somebody took its definition from libvirt",
            why="once it is off, or the host is booted, libvirt does not know it any more",
            todo=f"kvmkeep apply {guest.name}, which defines it again and does not stop it",
        )


def _machine(patient: Patient, guest: Guest, domain: Domain) -> Iterator[Finding]:
    if machine_gone(patient.facts, domain):
        yield Finding(
            name="guest-machine-gone",
            severity=Severity.CRITICAL,
            subject=f"guest {guest.name}",
            what=f"QEMU here does not know its machine type {domain.machine} any more",
            why="it runs on, but once it is off, or the host is booted, it can't be started"
            if active(domain)
            else "it can't be started",
            todo=another_machine(domain),
        )


def _caches(guest: Guest, domain: Domain) -> Iterator[Finding]:
    """Tell of disks of which QEMU ignores that the guest has them written (qemu(1), `cache`)."""
    for disk in domain.disks:
        if _UNSAFE not in {disk.cache, disk.live_cache}:
            continue
        now = disk.attached and disk.live_cache == _UNSAFE
        when = "" if now else ", from its next start on"
        again = f"; then: kvmkeep shutdown {guest.name}; kvmkeep start {guest.name}" if now else ""
        yield Finding(
            name="disk-cache-unsafe",
            severity=Severity.CRITICAL,
            subject=f"guest {guest.name}",
            what=f"its disk {disk.target} has cache='unsafe'{when}",
            why="what the guest takes for written is not, and a power cut destroys its filesystems",
            todo=f"virsh edit {guest.name}: cache='none' for {disk.target}{again}",
        )


def _off(patient: Patient, guest: Guest, domain: Domain) -> Iterator[Finding]:
    kept = domain.run_mark
    if active(domain):
        return
    if sleeps(domain):
        yield Finding(
            name="guest-saved",
            severity=Severity.WARNING,
            subject=f"guest {guest.name}",
            what="it is off with its memory saved (virsh managedsave; or libvirt-guests.service, "
            "where its ON_SHUTDOWN is suspend), and its next start goes on from there",
            why="its disks must not be changed meanwhile; sets and backups of it are as after a "
            "power cut",
            todo=f"kvmkeep start {guest.name}; or, if what it had in memory may be lost: "
            f"virsh managedsave-remove {guest.name}",
        )
    if kept.held:
        yield Finding(
            name="guest-crash-loop",
            severity=Severity.CRITICAL,
            subject=f"guest {guest.name}",
            what=f"it died again after {kept.restarts} restarts, and is not started any more",
            why="what it does for others is not done",
            todo=f"kvmkeep console {guest.name} --log; less {CONSOLE_DIR}/{guest.name}.log; "
            f"then: kvmkeep start {guest.name}",
        )
    elif kept.wanted is None and guest.run.autostart:
        yield _should_run(guest, "though it starts with the host")
    elif kept.wanted:
        yield _should_run(guest, "though it was started and never shut down")
    elif kept.wanted is False:
        with_it = _held_back_with(patient, guest)
        yield Finding(
            name="guest-kept-off",
            severity=Severity.OK,
            subject=f"guest {guest.name}",
            what="it is off, since somebody shut it down by kvmkeep",
            why="it stays off after a boot as well"
            + (f", and so would those that need it: {', '.join(with_it)}" if with_it else ""),
            todo=f"kvmkeep start {guest.name}, once it is to run again",
        )


def _held_back_with(patient: Patient, guest: Guest) -> list[GuestName]:
    """Return the guests that are to run, and that recovery does not start without this one."""
    scene = patient.scene
    return [
        one.name
        for one in needy(scene, guest)
        if (domain := scene.own_domain(one)) is not None and domain.wanted
    ]


def _should_run(guest: Guest, though: str) -> Finding:
    return Finding(
        name="guest-off",
        severity=Severity.CRITICAL,
        subject=f"guest {guest.name}",
        what=f"it is off, {though}",
        why="what it does for others is not done",
        todo=f"kvmkeep start {guest.name}; if it is to stay off: kvmkeep shutdown {guest.name}",
    )


def _mounts(patient: Patient, guest: Guest, domain: Domain) -> Iterator[Finding]:
    """Tell of mounts that a guest needs and that are not there; only an administrator mounts."""
    lacking = unmounted(patient.scene, guest)
    if lacking is not None:
        wanted = guest.run.autostart or active(domain)
        yield Finding(
            name="mount-missing",
            severity=Severity.CRITICAL if wanted else Severity.WARNING,
            subject=lacking.subject,
            what=lacking.reason,
            why="what it reads and writes there hangs or fails"
            if active(domain)
            else "it can't be started without it, and recover holds it back",
            todo=lacking.hint,
        )


def _left(patient: Patient, guest: Guest, domain: Domain) -> Iterator[Finding]:
    """Tell of marks that a killed run left: the next run of the same verb takes them away."""
    volume = patient.scene.volume(guest.root)
    if volume is None or patient.vitals.working:
        return
    if tag_value(volume, TAG_HELD):
        yield Finding(
            name="guest-held",
            severity=Severity.CRITICAL,
            subject=f"guest {guest.name}",
            what="a run that was stopped may have left it frozen or suspended",
            why="a frozen guest writes nothing, and stands still before long",
            todo=f"kvmkeep snapshot create {guest.name} lets it go first; at once: "
            f"virsh domfsthaw {guest.name}; kvmkeep resume {guest.name}",
        )
    if tag_value(volume, TAG_START) and not active(domain):
        yield Finding(
            name="guest-not-started-again",
            severity=Severity.CRITICAL,
            subject=f"guest {guest.name}",
            what="a run that was stopped had shut it down, to start it again afterwards",
            why="nobody else will start it",
            todo="run the same line again, as `kvmkeep journal` tells it",
        )


def _answers(guest: Guest, inside: GuestAnswer) -> Iterator[Finding]:
    subject = f"guest {guest.name}"
    if inside.up is not None and inside.up < guest.run.start_timeout:
        return  # it may still be starting
    wanted = guest.run.ready
    if inside.ready is False:
        yield Finding(
            name="guest-not-ready",
            severity=Severity.CRITICAL,
            subject=subject,
            what=f"it runs, but its agent {inside.silent}"
            if isinstance(wanted, ReadyAgent)
            else "it runs, but is not ready as its spec defines that",
            why="what it does for others is perhaps not done",
            todo=f"kvmkeep console {guest.name}; kvmkeep show {guest.name}",
        )
    elif inside.silent and (isinstance(wanted, ReadyAgent) or inside.silent != NO_CHANNEL):
        # Who says otherwise when it is ready perhaps has none: an appliance, another system.
        none = inside.silent == NOT_CONNECTED and not isinstance(wanted, ReadyAgent)
        yield Finding(
            name="agent-silent",
            severity=Severity.OK if none else Severity.WARNING,
            subject=subject,
            what=f"its agent {inside.silent}",
            why="snapshots of it are as after a power cut, and its disks don't grow to the end",
            todo=f"{'if it is to have one, ' if none else ''}in the guest: "
            f"systemctl enable --now qemu-guest-agent; kvmkeep console {guest.name}",
        )
