"""What one sees of guests: what their agents tell, whether they are ready, and a silent agent."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from labhost import Host

T = TypeVar("T")

ALPHA = "10.5.68.11"


PATIENCE = 360
"""Seconds: on an emulated processor, starting virsh alone may take longer than agents are given."""


def answering(look: Callable[[], T], silent: Callable[[T], bool], what: str) -> T:
    """Look again until what is to answer did."""
    end = time.monotonic() + PATIENCE
    while silent(told := look()):
        assert time.monotonic() < end, f"{what} did not answer within {PATIENCE} s: {told}"
    return told


def listed(site: Host) -> dict[str, dict[str, Any]]:
    done = site.kvmkeep("list", "-l", "--json")
    assert done.returncode == 0, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)["guests"]}


def shown(site: Host) -> dict[str, Any]:
    done = site.kvmkeep("show", "--json", "alpha")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def from_agent(site: Host) -> dict[str, Any]:
    """Return what alpha's agent tells, once it told all of it."""
    told = answering(
        lambda: shown(site), lambda told: told["inside"]["agent"]["problem"] != "", "alpha"
    )
    agent: dict[str, Any] = told["inside"]["agent"]
    return agent


def test_what_the_agent_tells_is_what_the_guest_has(site: Host) -> None:
    _, size, used, *_ = site.ssh("root", ALPHA, "df -k / | tail -1").split()
    told = answering(
        lambda: listed(site), lambda told: told["alpha"]["inside"]["silent"] != "", "alpha"
    )
    alpha, foreign = told["alpha"], told["legacy"]
    assert (alpha["inside"]["ready"], alpha["inside"]["silent"]) == ("ready", "")
    assert alpha["addresses"] == [ALPHA]
    assert alpha["inside"]["fullest"] == "/"
    assert foreign["inside"]["ready"] == ""
    filesystems = from_agent(site)["filesystems"]
    (root,) = [one for one in filesystems if one["mountpoint"] == "/"]
    assert root["total"]["bytes"] == pytest.approx(int(size) * 1024, rel=0.06)
    assert root["used"]["bytes"] == pytest.approx(int(used) * 1024, rel=0.05)
    assert root["type"] == "ext4"
    assert "vda" in root["device"]


@pytest.mark.long
def test_an_address_that_the_spec_does_not_know_is_told(site: Host) -> None:
    device = site.ssh("root", ALPHA, "ip -o -4 address show | grep -F 10.5.68.11").split()[1]
    site.ssh("root", ALPHA, f"ip address add 10.5.68.77/24 dev {device}")
    try:
        (nic,) = [one for one in from_agent(site)["nics"] if one["name"] == device]
        assert set(nic["addresses"]) >= {f"{ALPHA}/24", "10.5.68.77/24"}
        macs = site.must("virsh domiflist alpha")
        assert nic["mac"] in macs
    finally:
        site.ssh("root", ALPHA, f"ip address del 10.5.68.77/24 dev {device}")


@pytest.fixture
def silent_agent(site: Host) -> Iterator[None]:
    """Stop alpha's agent in the middle of its life: its channel stays connected."""
    site.ssh("root", ALPHA, "kill -STOP $(pidof qemu-ga)")
    yield
    site.ssh("root", ALPHA, "kill -CONT $(pidof qemu-ga)")
    ping = """virsh qemu-agent-command --timeout 5 alpha '{"execute":"guest-ping"}'"""
    site.until(ping, limit=60, what="the agent to answer again")


@pytest.mark.long
@pytest.mark.usefixtures("silent_agent")
def test_a_silent_agent_is_named_in_time_and_hides_nobody_else(site: Host) -> None:
    spent = site.must(
        "python3 -c 'import time; print(time.monotonic())'; kvmkeep list >/dev/null;"
        "python3 -c 'import time; print(time.monotonic())'"
    ).split()
    plain = float(spent[1]) - float(spent[0])
    began = time.monotonic()
    done = site.kvmkeep("list", "-l")
    took = time.monotonic() - began
    assert done.returncode == 0
    assert "agent of alpha did not answer within 2 s" in done.stderr
    # Starting Python and asking LVM takes several seconds on an emulated processor.
    assert took < 2 + 4 * plain + 4, f"list -l: {took:.1f} s, list: {plain:.1f} s"
    assert "not ready" in done.stdout
    told = answering(
        lambda: listed(site), lambda told: told["beta"]["inside"]["silent"] != "", "beta"
    )
    assert told["alpha"]["inside"]["ready"] == "not ready"
    assert told["beta"]["inside"]["ready"] == "ready"
    assert shown(site)["inside"]["agent"]["problem"] == "did not answer within 2 s"


def test_the_console_of_a_guest_that_is_off_says_what_to_type(site: Host) -> None:
    done = site.run("script -qec 'kvmkeep console legacy' /dev/null < /dev/null")
    assert "is off" in done.stdout
    assert "kvmkeep start legacy" in done.stdout
    done = site.kvmkeep("console", "--log", "--lines", "5", "alpha")
    assert done.returncode == 0
    assert 0 < len(done.stdout.splitlines()) <= 5
    assert "\x1b" not in done.stdout
