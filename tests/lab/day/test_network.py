"""The network is changed under running guests: kept when it proves good, undone when it does not.

Beta is pinged from the campus all the time, and its network is the one that is changed.
"""

from __future__ import annotations

import json
import logging
import re
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from labhost import HOST_YAML, INTERNAL, PUBLIC
from sites import ALPHA, BETA, GUESTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

_LOG = logging.getLogger(__name__)
BRIDGE, PORT = f"virbr1.{INTERNAL}", f"ens802f1.{INTERNAL}"
GATEWAY, OTHER = "10.5.68.254", "10.5.68.253"
PUBLIC_GATEWAY = "132.230.223.254"
VLAN = 224
"""One that the campus has only while a test puts it there."""
SHIM = """\
#!/bin/bash
# Stands in the place of a program: at the line that matches, once, something happens before or after.
if [[ "${0##*/} $*" == *"$(cat /run/shim/pattern 2>/dev/null || echo NOTHING)"* ]] && rmdir /run/shim/once 2>/dev/null; then
    [ -e /run/shim/before ] && . /run/shim/before
    "$0.real" "$@"; code=$?
    [ -e /run/shim/after ] && . /run/shim/after
    exit $code
fi
exec "$0.real" "$@"
"""


def host_yaml(ageing: int, public: str = "") -> str:
    """Return the host's file with options of its two bridges."""
    more = {
        "internal": f", gateway: {GATEWAY}, stp: false, ageing_time: {ageing}",
        "public": f", stp: false{public}",
    }
    text = HOST_YAML
    for name, options in more.items():
        text, count = re.subn(rf"(?m)^(  {name}: .*)\}}$", rf"\g<1>{options}}}", text)
        assert count == 1, name
    return text


def profiles(site: Host) -> str:
    return site.must("cd /etc/NetworkManager/system-connections && sha256sum *")


def ageing(site: Host) -> int:
    return int(site.must(f"cat /sys/class/net/{BRIDGE}/bridge/ageing_time")) // 100


def ports(site: Host) -> list[str]:
    return sorted(site.must(f"ls /sys/class/net/{BRIDGE}/brif").split())


def nothing_is_left(site: Host) -> None:
    """Demand that no undo, no timer and no checkpoint is there."""
    found = site.must(
        "ls -d /var/lib/kvmkeep/network-undo /etc/systemd/system/kvmkeep-network-undo*"
        " /etc/systemd/system/multi-user.target.wants/kvmkeep-network-undo* 2>/dev/null || true;"
        "systemctl list-units --no-legend 'kvmkeep-network-undo*';"
        "systemctl is-failed --quiet kvmkeep-network-undo.service && echo failed || true"
    )
    assert found.strip() == ""
    checkpoints = "busctl get-property org.freedesktop.NetworkManager /org/freedesktop/NetworkManager org.freedesktop.NetworkManager Checkpoints"
    assert site.must(checkpoints).split() == ["ao", "0"]


@contextmanager
def in_place_of(site: Host, *programs: str) -> Iterator[None]:
    """Put shims in the place of programs."""
    for program in programs:
        site.must(
            f"path=$(command -v {program}) && mv $path $path.real && cat > $path && chmod 755 $path",
            text=SHIM,
        )
    yield
    for program in programs:
        site.must(f"path=$(command -v {program}) && mv $path.real $path")


@pytest.fixture(scope="module", autouse=True)
def shims(site: Host) -> Iterator[None]:
    """Put shims in the place of nmcli and busctl, and give the campus a second address."""
    with in_place_of(site, "nmcli", "busctl"):
        site.must(
            f"ip -n campus address add {OTHER}/32 dev campus0.{INTERNAL};"
            f"ip -n campus route add {BETA}/32 dev campus0.{INTERNAL} src {OTHER}"
        )
        yield


def arm(site: Host, pattern: str, *, before: str = "", after: str = "") -> None:
    """Have something happen at the next command that matches."""
    site.must("rm -rf /run/shim; mkdir -p /run/shim/once")
    for name, text in (("before", before), ("after", after)):
        if text:
            site.put(f"/run/shim/{name}", text)
    site.put("/run/shim/pattern", pattern)


def struck(site: Host) -> None:
    """Demand that it happened."""
    assert site.run("test -e /run/shim/once").returncode == 1, "no command matched"


@contextmanager
def beta_answers(site: Host, *, lost: int = 0) -> Iterator[None]:
    """Ping beta all the time, five times a second; each must be answered but the last."""
    site.must(
        "rm -f /run/beta.ping; systemd-run --quiet --collect --unit=beta-ping -p KillSignal=SIGINT"
        f" bash -c 'exec ip netns exec campus ping -i 0.2 -n {BETA} > /run/beta.ping 2>&1'"
    )
    site.until("grep -q 'bytes from' /run/beta.ping", limit=30, what="beta to answer")
    yield
    site.must("systemctl stop beta-ping.service")
    told = site.must("tail -3 /run/beta.ping")
    found = re.search(r"(\d+) packets transmitted, (\d+) received", told)
    assert found is not None, told
    sent, received = int(found[1]), int(found[2])
    _LOG.info("beta answered %d of %d", received, sent)
    assert sent > 10
    assert received >= sent - 1 - lost, told


def last_run(site: Host) -> list[dict[str, Any]]:
    text = site.must("cat $(ls /var/lib/kvmkeep/journal/*apply*.jsonl | tail -1)")
    return [json.loads(line) for line in text.splitlines()]


def moment(entries: list[dict[str, Any]], *words: str) -> datetime:
    """Return when the first line with these words was written."""
    lines = [one for one in entries if all(word in json.dumps(one) for word in words)]
    return datetime.fromisoformat(lines[0]["time"])


def test_a_good_change_is_kept_and_no_guest_loses_a_packet(site: Host) -> None:
    before = ports(site)
    site.put_spec(GUESTS, host_yaml(300))
    with beta_answers(site):
        site.apply()
    assert ageing(site) == 300
    assert ports(site) == before
    nothing_is_left(site)
    assert site.plan()["steps"] == []


def test_a_change_after_which_the_gateway_is_silent_is_undone(site: Host) -> None:
    was, before = profiles(site), ports(site)
    site.put_spec(GUESTS, host_yaml(600))
    gone = f"ip -n campus address del {GATEWAY}/24 dev campus0.{INTERNAL}\n"
    arm(site, "nmcli connection modify", after=gone)
    with beta_answers(site):
        done = site.kvmkeep("apply", "--yes")
    back = f"ip -n campus address add {GATEWAY}/24 dev campus0.{INTERNAL}"
    site.must(f"{back}; ip -n campus route replace {BETA}/32 dev campus0.{INTERNAL} src {OTHER}")
    struck(site)
    assert done.returncode == 7, done.stderr
    told = " ".join(done.stderr.split())
    assert f"the gateway {GATEWAY} of network internal to answer" in told
    assert "rolled back to what it was before" in told
    assert "kvmkeep apply" in told
    assert profiles(site) == was
    assert (ageing(site), ports(site)) == (300, before)
    nothing_is_left(site)
    entries = last_run(site)
    seconds = moment(entries, "checkpoint", "undone") - moment(entries, "device", "reapply")
    _LOG.info("undone %.1f s after it was made", seconds.total_seconds())
    # No goal: with an emulated CPU, each command takes half a second or more. It was not the
    # checkpoint's own end, which comes after 45 s.
    assert seconds.total_seconds() < 44


@pytest.mark.long
def test_networkmanager_restarted_in_the_window(site: Host) -> None:
    was, before = profiles(site), ports(site)
    site.put_spec(GUESTS, host_yaml(600))
    arm(site, "CheckpointDestroy", before="systemctl restart NetworkManager\n")
    with beta_answers(site):
        done = site.kvmkeep("apply", "--yes")
    struck(site)
    assert done.returncode == 7, done.stderr
    assert "rolled back to what it was before" in " ".join(done.stderr.split())
    assert profiles(site) == was
    assert (ageing(site), ports(site)) == (300, before)
    nothing_is_left(site)


@pytest.mark.long
def test_killed_in_the_window(site: Host) -> None:
    was, before = profiles(site), ports(site)
    site.put_spec(GUESTS, host_yaml(600))
    kill = "date +%s.%N > /run/killed; pkill -KILL -f '[k]vmkeep apply'; exit 1\n"
    arm(site, "CheckpointDestroy", before=kill)
    gone = "! test -e /etc/systemd/system/kvmkeep-network-undo.service"
    with beta_answers(site):
        assert site.kvmkeep("apply", "--yes").returncode not in {0, 7}
        struck(site)
        site.until(gone, limit=120, what="the change to be undone")
        # Its folder goes last, at that moment.
        parent = "stat --format=%.Y /var/lib/kvmkeep"
        seconds = float(site.must(parent)) - float(site.must("cat /run/killed"))
        # NetworkManager's own rollback would activate the bridge anew, and its guests notice.
        checkpoint = "! busctl tree org.freedesktop.NetworkManager | grep -q /Checkpoint/"
        site.until(checkpoint, limit=20, what="the checkpoint to be gone")
    _LOG.info("undone %.1f s after the kill", seconds)
    assert 0 < seconds < 44, "as above"
    assert profiles(site) == was
    assert (ageing(site), ports(site)) == (300, before)
    nothing_is_left(site)


@pytest.mark.long
def test_a_profile_that_cannot_be_reapplied_is_told_and_blocks_nothing(site: Host) -> None:
    site.must(f"nmcli connection modify {BRIDGE} connection.autoconnect-retries 3")
    try:
        was, before = profiles(site), ports(site)
        site.put_spec(GUESTS, host_yaml(600))
        with beta_answers(site):
            done = site.kvmkeep("apply", "--yes")
        assert done.returncode == 7, done.stderr
        told = " ".join(done.stderr.split())
        assert "Can't reapply changes to 'connection.autoconnect-retries'" in told
        assert "nmcli connection up uuid" in told
        assert "rolled back to what it was before" in told
        assert profiles(site) == was
        assert (ageing(site), ports(site)) == (300, before)
        nothing_is_left(site)
    finally:
        site.must(f"nmcli connection modify {BRIDGE} connection.autoconnect-retries -1")
        site.put_spec(GUESTS, host_yaml(300))
    assert site.plan()["steps"] == []


@pytest.mark.long
def test_an_ipv6_gateway_is_asked_on_a_bridge_without_an_address(site: Host) -> None:
    here, nobody = "fd00:5:68::1", "fd00:5:68::2"
    on = f"dev campus0.{INTERNAL}"
    site.must(f"ip -n campus address add {here}/64 {on} nodad")
    try:
        assert "inet6" not in site.must(f"ip address show {BRIDGE}")
        answers = site.must(f"kvmkeep neighbour {BRIDGE} {here}")
        assert answers.strip() == f"{here} answers on {BRIDGE}"
        assert site.run(f"kvmkeep neighbour {BRIDGE} {nobody}").returncode == 9
    finally:
        site.must(f"ip -n campus address del {here}/64 {on}")


@pytest.mark.long
def test_another_vlan_behind_a_bridge_whose_gateway_is_not_there(site: Host) -> None:
    was = profiles(site)
    names = f", bridge: virbr1.{PUBLIC}, vlan_interface: ens802f1.{PUBLIC}"
    text = host_yaml(300, names).replace(f"vlan: {PUBLIC},", f"vlan: {VLAN},")
    site.put_spec(GUESTS, text)
    with beta_answers(site):
        done = site.kvmkeep("apply", "--yes")
    assert done.returncode == 7, done.stderr
    told = " ".join(done.stderr.split())
    assert f"the gateway {PUBLIC_GATEWAY} of network public to answer" in told
    assert "rolled back to what it was before" in told
    assert profiles(site) == was
    nothing_is_left(site)
    site.must(f"grep -q '^ens802f1.{PUBLIC} *| {PUBLIC} ' /proc/net/vlan/config")
    site.must(f"test -e /sys/class/net/virbr1.{PUBLIC}/brif/ens802f1.{PUBLIC}")
    site.must(f"arping -D -q -c 5 -w 5 -I virbr1.{PUBLIC} {PUBLIC_GATEWAY}; test $? = 1")
    site.put_spec(GUESTS, host_yaml(300))
    assert site.plan()["steps"] == []


@pytest.mark.long
def test_another_vlan_behind_a_bridge_is_kept_where_its_gateway_answers(site: Host) -> None:
    bridge, port = f"virbr1.{PUBLIC}", f"ens802f1.{PUBLIC}"
    before = site.must(f"ls /sys/class/net/{bridge}/brif")
    site.must(
        f"ip -n campus link add link campus0 name campus0.{VLAN} type vlan id {VLAN};"
        f"ip -n campus address add {PUBLIC_GATEWAY}/32 dev campus0.{VLAN};"
        f"ip -n campus link set campus0.{VLAN} up"
    )
    try:
        names = f", bridge: {bridge}, vlan_interface: {port}"
        text = host_yaml(300, names).replace(f"vlan: {PUBLIC},", f"vlan: {VLAN},")
        site.put_spec(GUESTS, text)
        with beta_answers(site):
            site.apply()
        site.must(f"grep -q '^{port} *| {VLAN} ' /proc/net/vlan/config")
        assert site.must(f"ls /sys/class/net/{bridge}/brif") == before
        nothing_is_left(site)
        assert site.plan()["steps"] == []
    finally:
        site.put_spec(GUESTS, host_yaml(300))
        site.apply()
        site.must(f"ip -n campus link del campus0.{VLAN}")
    site.must(f"grep -q '^{port} *| {PUBLIC} ' /proc/net/vlan/config")
    assert site.must(f"ls /sys/class/net/{bridge}/brif") == before
    nothing_is_left(site)


@pytest.mark.long
def test_a_bridge_that_others_took_down_and_up_gets_its_guests_back(site: Host) -> None:
    before = ports(site)
    site.must(f"nmcli connection down {BRIDGE}")
    gone = f"! test -e /sys/class/net/{BRIDGE} && ! test -e /sys/class/net/{PORT}"
    site.until(gone, limit=30, what="the bridge to be gone")
    site.must(f"nmcli --wait 60 connection up {BRIDGE}")
    assert len(ports(site)) < len(before)
    found = site.kvmkeep("check", "--json")
    todo = [
        one["todo"]
        for one in json.loads(found.stdout)["findings"]
        if one["name"] == "guest-cut-off"
    ]
    assert len(todo) == 2
    plan = site.plan()["steps"]
    commands = [" ".join(one["actions"][0]["argv"]) for one in plan]
    assert sorted(commands) == sorted(todo)
    site.apply()
    assert ports(site) == before
    for address in (ALPHA, BETA):
        site.until(
            f"ip netns exec campus ping -c 1 -W 2 {address}", limit=30, what=f"{address} to answer"
        )
    assert site.plan()["steps"] == []
