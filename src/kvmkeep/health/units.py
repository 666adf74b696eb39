"""Units of systemd: those of kvmkeep that are off, and services that don't begin with the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import LIBVIRT
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.host_units import (
    ALWAYS,
    ENABLED,
    GUESTS,
    RECOVER,
    SYSTEMD,
    TIMER,
    UNIT_DIR,
    WATCH,
)
from kvmkeep.planning.running.recover import awaited
from kvmkeep.planning.units.install import wanted_texts

_RUNNING = (GUESTS, TIMER)
"""Those that are active all the time; listeners pause between two events."""
_ENDS = {
    RECOVER: "not all guests came up after the host's start",
    WATCH: "the last look after the guests did not end well",
}
_EXEC = re.compile(r"^Exec\w+=.*$", re.MULTILINE)
_GIVEN = re.compile(r"^(Timeout\w+Sec|RuntimeMaxSec)=([0-9]{1,9})$", re.MULTILINE)
"""How long a unit may take; systemd ends it then."""
_OFF = frozenset({"disabled", "masked", "masked-runtime"})
"""Words of systemctl(1), "is-enabled"."""
_NETWORKS = ("NetworkManager.service",)
_LIBVIRT = ("libvirtd.service", "libvirtd.socket", "virtqemud.service", "virtqemud.socket")


def unit_findings(patient: Patient) -> Iterator[Finding]:
    """Return which units would be missed at the next start of the host."""
    yield from _own(patient)
    if patient.spec.networks:
        yield from _service(patient, _NETWORKS, "guests' networks are not there after a boot")
    if patient.spec.guests:
        yield from _service(patient, _LIBVIRT, "no guest is there after a boot")


def _own(patient: Patient) -> Iterator[Finding]:
    units = patient.facts.units
    if not any(file.ours for file in units.files):
        return
    texts = wanted_texts(patient.spec, patient.facts, patient.options)
    wrong = {name: what for name in ALWAYS if (what := _wrong(patient, name, texts[name]))}
    there = {name: file for name in ALWAYS if (file := units.file(name)) is not None}
    other = [
        name
        for name, file in there.items()
        if name not in wrong
        and not patient.unseen_in(UNIT_DIR)
        and not serves(file.text, texts[name])
    ]
    if wrong or other:
        told = [f"{name} {what}" for name, what in wrong.items()]
        told += [f"{name} is not as install-units would write it now" for name in other]
        yield Finding(
            name="units-off",
            severity=Severity.CRITICAL if wrong else Severity.WARNING,
            subject="units of kvmkeep",
            what="; ".join(told),
            why="guests are not started in order, looked after, or shut down with the host",
            todo="kvmkeep install-units; or, if they are not to be: kvmkeep uninstall-units",
        )
    for file in units.files:
        if file.ours and file.drop_ins:
            yield Finding(
                name="unit-changed",
                severity=Severity.OK,
                subject=file.name,
                what=f"somebody changed it by {', '.join(file.drop_ins)}",
                why="it may do something else than install-units wrote, or not at all",
                todo=f"nothing, if it is meant; else: systemctl revert {file.name}",
            )
    for name, what in _ENDS.items():
        file = units.file(name)
        if file is None or not file.ours or not file.failed:
            continue
        if name != RECOVER or not _all_up(patient):
            yield Finding(
                name="unit-failed",
                severity=Severity.CRITICAL,
                subject=name,
                what=what,
                why="what it does for guests is done in part, or not at all",
                todo=f"systemctl status {name}; kvmkeep journal; then: systemctl start {name}",
            )


def _all_up(patient: Patient) -> bool:
    """Whether each guest that is to run does, and was ready: what held it back is over.

    The watch starts those that recovery could not, and systemd calls that one failed until its
    next start.
    """
    if patient.unseen(LIBVIRT):
        return False
    wanted = set(awaited(patient.spec, patient.facts))
    domains = [patient.scene.own_domain(one) for one in patient.spec.guests if one.name in wanted]
    return all(
        one is not None and one.state is DomainState.RUNNING and one.was_ready for one in domains
    )


def _wrong(patient: Patient, name: str, wanted: str) -> str:
    """Return why a unit does not do what it is for; nothing where it does, or can't be seen."""
    units = patient.facts.units
    file = units.file(name)
    read = not patient.unseen_in(UNIT_DIR)
    if file is None:
        return "is not there" if read else ""
    if read and name in ENABLED and not file.enabled:
        return "does not begin with the host"
    if name in _RUNNING and not file.active and not patient.unseen(SYSTEMD):
        return "is not at work"
    if file.stale:
        return "was changed since systemd read it"
    if read and _EXEC.findall(file.text) != _EXEC.findall(wanted):
        return f"does not run {units.command} as it should"
    return ""


def serves(text: str, wanted: str) -> bool:
    """Whether a unit is as it is wanted, or gives more time: a spec may need less by now."""
    given, needed = _GIVEN.findall(text), _GIVEN.findall(wanted)
    return _GIVEN.sub(r"\1=0", text) == _GIVEN.sub(r"\1=0", wanted) and all(
        int(one) >= int(least) for (_, one), (_, least) in zip(given, needed, strict=True)
    )


def _service(patient: Patient, names: tuple[str, ...], why: str) -> Iterator[Finding]:
    """Tell of a service none of whose units begins with the host."""
    states = {one.name: one.state for one in patient.vitals.services if one.name in names}
    if states and all(state in _OFF for state in states.values()):
        # On EL, libvirtd's unit is there beside the daemon that is in use.
        daemons = [name for name in states if name.endswith(".service")]
        usable = [name for name in daemons if not states[name].startswith("masked")]
        name = (usable or list(states))[0]
        state = states[name]
        which = f"; or, where that is the one in use: {usable[1]}" if usable[1:] else ""
        unmask = f"systemctl unmask {name}; " if state.startswith("masked") else ""
        yield Finding(
            name="service-not-enabled",
            severity=Severity.CRITICAL,
            subject=name.partition(".")[0],
            what=f"it does not begin with the host: it is {state.partition('-')[0]}",
            why=why,
            todo=f"{unmask}systemctl enable {name}{which}",
        )
