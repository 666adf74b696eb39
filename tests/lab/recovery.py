"""What a boot of the host has done: looked at with systemd's tools, ping, and the journal's steps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labhost import Host


def answers(site: Host, *addresses: str) -> None:
    """Ping guests from the campus; all must answer."""
    for address in addresses:
        site.must(f"ip netns exec campus ping -c 3 -i 0.5 -W 5 {address}")


def recovered(site: Host, code: int = 0) -> str:
    """Wait until the recovery that the boot began is over; return what it told."""
    over = (
        "systemctl show kvmkeep-recover.service -p ActiveState,ExecMainStatus,Result,"
        "ExecMainExitTimestampMonotonic > /run/over; cat /run/over;"
        "journalctl -b -u kvmkeep-recover.service -o cat | tail -n 20; systemctl list-jobs;"
        "grep -q Monotonic=[1-9] /run/over && ! grep -q ActiveState=activating /run/over"
    )
    told = site.until(over, limit=480, what="recovery is over")
    assert f"ExecMainStatus={code}\n" in told, told
    assert f"Result={'exit-code' if code else 'success'}" in told, told
    return site.must("journalctl -b -u kvmkeep-recover.service -o cat")


def newest(site: Host, verb: str) -> list[dict[str, Any]]:
    """Return all that the journal keeps of the newest run of a verb."""
    runs = json.loads(site.kvmkeep("--json", "journal").stdout)["runs"]
    name = next(one["name"] for one in runs if one["verb"] == verb)
    entries: list[dict[str, Any]] = json.loads(site.kvmkeep("--json", "journal", name).stdout)[
        "entries"
    ]
    return entries


def steps_of(site: Host, verb: str) -> list[str]:
    """Return the steps of the newest run of a verb, as the journal tells them."""
    return [
        f"{one['subject'].removeprefix('guest ')}: {one['what']}"
        for one in newest(site, verb)
        if one["kind"] == "step"
    ]
