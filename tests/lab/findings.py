"""What `check` finds on the lab's host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labhost import Host

METRICS = "/root/kvmkeep.prom"

Found = dict[tuple[str, str], dict[str, Any]]


def check(site: Host) -> tuple[int, Found]:
    """Return the exit code of check, and its findings by name and subject."""
    done = site.kvmkeep("check", "--json", "--prometheus", METRICS)
    told = json.loads(done.stdout)["findings"]
    return done.returncode, {(one["name"], one["subject"]): one for one in told}
