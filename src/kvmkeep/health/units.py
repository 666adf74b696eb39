"""Units of systemd: those of kvmkeep that are off, and services that don't begin with the host."""

from __future__ import annotations

from collections.abc import Iterator

from kvmkeep.health.patient import Patient
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.host_units import ALWAYS, ENABLED, GUESTS, TIMER

_RUNNING = (GUESTS, TIMER)
"""Those that are active all the time; listeners pause between two events."""
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
    wrong: dict[str, str] = {}
    for name in ALWAYS:
        file = units.file(name)
        if file is None:
            wrong[name] = "is not there"
        elif name in ENABLED and not file.enabled:
            wrong[name] = "does not begin with the host"
        elif name in _RUNNING and not file.active:
            wrong[name] = "is not at work"
        elif file.stale:
            wrong[name] = "was changed since systemd read it"
    if wrong:
        yield Finding(
            name="units-off",
            severity=Severity.CRITICAL,
            subject="units of kvmkeep",
            what="; ".join(f"{name} {what}" for name, what in wrong.items()),
            why="guests are not started in order, looked after, or shut down with the host",
            todo="kvmkeep install-units; or, if they are not to be: kvmkeep uninstall-units",
        )


def _service(patient: Patient, names: tuple[str, ...], why: str) -> Iterator[Finding]:
    """Tell of a service none of whose units begins with the host."""
    states = {one.name: one.state for one in patient.vitals.services if one.name in names}
    if states and all(state in _OFF for state in states.values()):
        name, state = next(iter(states.items()))
        unmask = f"systemctl unmask {name}; " if state.startswith("masked") else ""
        yield Finding(
            name="service-not-enabled",
            severity=Severity.CRITICAL,
            subject=name.partition(".")[0],
            what=f"it does not begin with the host: it is {state.partition('-')[0]}",
            why=why,
            todo=f"{unmask}systemctl enable {name}",
        )
