"""What tells whether a guest has said a line on its console: virtlogd may have begun a new file."""

from __future__ import annotations

from kvmkeep.model.names import console_log


def line_argv(guest: str, pattern: str) -> tuple[str, ...]:
    """Return what looks for a line; what is of the boot before was set aside."""
    log = console_log(guest)
    return ("grep", "-aqsE", "-e", pattern, "--", log, f"{log}.0")
