"""A guest is ready when its spec says so, and is waited for until then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from findings import check
from sites import ALPHA, GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

pytestmark = pytest.mark.long

PATIENCE = 120
"""Seconds until something is told; a look is given up after two of them, and the lab is slow."""

START = """
kvmkeep shutdown alpha || exit 1
rm -f /root/start.log
(kvmkeep start alpha; echo "ended with $?") > /root/start.log 2>&1 < /dev/null &
"""


@pytest.fixture(autouse=True)
def as_before(site: Host) -> Iterator[None]:
    """Have alpha run, ready by its agent."""
    yield
    site.put_spec(GUESTS)
    site.must("kvmkeep start alpha")


def want(site: Host, ready: str, limit: str = "5min") -> None:
    """Have alpha be ready by something else than its agent."""
    run = f"run: {{ready: '{ready}', "
    alpha = GUESTS["alpha"].replace("run: {", run).replace("5min", limit)
    site.put_spec({**GUESTS, "alpha": alpha})


def start(site: Host, waiting: str) -> None:
    """Start alpha anew; return once it answers, and kvmkeep still waits for it."""
    site.must(START)
    site.until(f"grep '{waiting}' /root/start.log", limit=PATIENCE, what="it is waited for")
    site.until(f"ip netns exec campus ping -c 1 -W 2 {ALPHA}", limit=PATIENCE, what="alpha answers")
    site.must('virsh qemu-agent-command --timeout 60 alpha \'{"execute":"guest-ping"}\'')
    log = site.must("cat /root/start.log")
    assert "ended with" not in log, log


def ended(site: Host) -> None:
    """Wait until the start of alpha has ended well."""
    site.until("grep 'ended with' /root/start.log", limit=PATIENCE, what="the start ends")
    log = site.must("cat /root/start.log")
    assert "ended with 0" in log, log


def told(site: Host) -> str:
    """Return whether alpha is ready, as the list tells it."""
    rows = json.loads(site.must("kvmkeep list --long --json alpha"))["guests"]
    word: str = rows[0]["inside"]["ready"]
    return word


def tells(site: Host, *, ready: bool) -> None:
    """Wait until list, metrics and check agree that alpha is ready, or is not."""
    look = "kvmkeep check --prometheus /root/ready.prom > /dev/null"
    line = f'kvmkeep_guest_ready{{guest="alpha"}} {ready:d}'
    site.until(
        f"{look}; grep -F '{line}' /root/ready.prom || {{ cat /root/ready.prom; exit 1; }}",
        limit=PATIENCE,
        what=f"the metric {line}",
    )
    assert told(site) == ("ready" if ready else "not ready")
    _, found = check(site)
    assert (("guest-not-ready", "guest alpha") in found) != ready, found


def test_a_line_on_the_console_is_waited_for_and_an_old_one_does_not_count(site: Host) -> None:
    want(site, "console:^all of [a-z]+ is up")
    for _ in range(2):
        start(site, "guest alpha to say so on its console")
        site.ssh("root", ALPHA, "printf '\\r\\nall of %s is up\\r\\n' alpha > /dev/ttyS0")
        ended(site)
    tells(site, ready=True)
    want(site, "console:^nobody ever says this", "1s")
    tells(site, ready=False)
