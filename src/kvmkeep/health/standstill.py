"""Guests that do not go on by themselves, and those whose kernel panicked, of whatever owner."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.domain_facts import IO_ERROR, PANICKED, Domain, DomainState
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.names import CONSOLE_DIR
from kvmkeep.model.units import GuestName
from kvmkeep.planning.running.paused import continuing, how_to_continue, paused_text


def standstill_findings(patient: Patient, domain: Domain) -> Iterator[Finding]:
    """Tell what state a domain is in, where that is none to leave it in."""
    ours = _is_ours(patient, domain)
    if domain.state is DomainState.PAUSED and domain.why == IO_ERROR:
        yield _stopped_at_a_disk(domain, ours=ours)
    elif domain.state in {DomainState.PAUSED, DomainState.SUSPENDED}:
        yield _paused(domain, ours=ours)
    elif domain.state is DomainState.RUNNING and domain.why == PANICKED:
        yield _panicked(domain, ours=ours)
    elif domain.state is DomainState.SHUTDOWN:
        yield _not_ended(domain, ours=ours)
    elif domain.state is DomainState.CRASHED:
        yield _crashed(domain, ours=ours)


def _is_ours(patient: Patient, domain: Domain) -> bool:
    """Whether kvmkeep's verbs know it: else, virsh resumes and starts it."""
    own = patient.scene.every_guest.get(GuestName(domain.name))
    return own is not None and patient.scene.own_domain(own) is not None


def _stopped_at_a_disk(domain: Domain, *, ours: bool) -> Finding:
    name = shlex.quote(domain.name)
    return Finding(
        name="guest-io-error",
        severity=Severity.CRITICAL,
        subject=f"guest {domain.name}",
        what="it stands still since one of its disks gave an error",
        why="it goes on where it stopped once the disk is well again; nothing is lost by that",
        todo=f"virsh domblkerror {name}; dmesg; df; mend it, then: {continuing(domain, ours=ours)}",
    )


def _paused(domain: Domain, *, ours: bool) -> Finding:
    by_itself = domain.state is DomainState.SUSPENDED
    who = "" if by_itself else "kvmkeep journal, for who did it; then: "
    return Finding(
        name="guest-paused",
        severity=Severity.WARNING,
        subject=f"guest {domain.name}",
        what=paused_text(domain),
        why="it answers nobody, and its clock falls behind",
        todo=f"{who}{continuing(domain, ours=ours)}",
    )


def _panicked(domain: Domain, *, ours: bool) -> Finding:
    name = shlex.quote(domain.name)
    log = f"kvmkeep console {name} --log; less {CONSOLE_DIR}/{name}.log; " if ours else ""
    anew = "kvmkeep reboot --cold" if ours else f"virsh destroy {name}; virsh start"
    return Finding(
        name="guest-panicked",
        severity=Severity.WARNING,
        subject=f"guest {domain.name}",
        what="its kernel panicked, and libvirt has reset it",
        why="it may do so again and again: its QEMU does not end by it, so nobody counts",
        todo=f"{log}once it is seen why, a new QEMU ends this: {anew} {name}",
    )


def _not_ended(domain: Domain, *, ours: bool) -> Finding:
    # libvirt has its QEMU end as soon as the guest has; one that waits for a disk can't.
    return Finding(
        name="guest-not-ended",
        severity=Severity.CRITICAL,
        subject=f"guest {domain.name}",
        what=paused_text(domain),
        why="it does nothing, and can't be started while that is there",
        todo=f"look again in a minute; virsh domstate --reason {shlex.quote(domain.name)}; "
        f"dmesg, for a disk that does not answer; {how_to_continue(domain, ours=ours)}",
    )


def _crashed(domain: Domain, *, ours: bool) -> Finding:
    log = shlex.quote(f"/var/log/libvirt/qemu/{domain.name}.log")
    return Finding(
        name="guest-crashed",
        severity=Severity.CRITICAL,
        subject=f"guest {domain.name}",
        what="it crashed, and stands still",
        why="it does nothing until it is started anew",
        todo=f"less {log}; {how_to_continue(domain, ours=ours)}",
    )
