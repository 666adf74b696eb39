"""The systemd units of our names, as files and as systemd knows them."""

from __future__ import annotations

from kvmkeep.host import units
from kvmkeep.model.host_units import PROGRAM, SYSTEMD, UNIT_DIR, UNITS, HostUnits, UnitFile
from kvmkeep.observe.notebook import Notebook

_LIMIT = 64 << 10
_WANTS = ("multi-user.target.wants", "timers.target.wants")
"""Where systemctl(1) enables units that are wanted by these targets."""


def observe_units(notebook: Notebook) -> HostUnits:
    """Return what there is under our names; systemd is asked only where there is something."""
    found = {name: notebook.look(f"{UNIT_DIR}/{name}") for name in UNITS}
    there = {name: file.kind == "file" for name, file in found.items() if file is not None}
    program = notebook.door.which(PROGRAM)
    if not there:
        return HostUnits(program=program)
    unknown: dict[str, units.UnitState] = {}
    states = notebook.ask(SYSTEMD, lambda door: units.states(door, UNITS), unknown)
    enabled = {name for folder in _WANTS for name in notebook.names(f"{UNIT_DIR}/{folder}")}
    return HostUnits(
        files=tuple(
            UnitFile(
                name=name,
                text=_text(notebook, name) if regular else "",
                enabled=name in enabled,
                active=name in states and states[name].active,
                failed=name in states and states[name].failed,
                stale=name in states and states[name].stale,
                drop_ins=states[name].drop_ins if name in states else (),
            )
            for name, regular in there.items()
        ),
        program=program,
    )


def _text(notebook: Notebook, name: str) -> str:
    content = notebook.read(f"{UNIT_DIR}/{name}", _LIMIT)
    return (content or b"").decode("utf-8", "replace")
