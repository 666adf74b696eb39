"""What tells whether a guest has said the line on its console that its spec asks for."""

from __future__ import annotations

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.names import console_log
from kvmkeep.model.run import ReadyConsole
from kvmkeep.model.spec import Guest


def has_said(guest: Guest, domain: Domain) -> bool:
    """Whether a guest's QEMU process keeps that the line its spec asks for was on its console."""
    wanted = guest.run.ready
    return isinstance(wanted, ReadyConsole) and domain.ready_line == wanted.pattern


def line_argv(guest: str, pattern: str) -> tuple[str, ...]:
    """Return what looks for a line: virtlogd may have begun a new file since.

    What is of the boot before was set aside.
    """
    log = console_log(guest)
    return ("grep", "-aqsE", "-e", pattern, "--", log, f"{log}.0")
