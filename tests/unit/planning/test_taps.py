"""Tap devices of running guests that are out of their bridge."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from fakes.host import FakeHost
from fakes.nm import FakeLink
from faults.plans import a_host

from kvmkeep.model.command import Command
from kvmkeep.model.plan import Step
from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import guest, spec
from tests.unit.planning.rounds import reach

BRIDGE = "virbr1.223"


def running(master: str = "") -> tuple[FakeHost, Spec]:
    """Return a host whose guest has a tap device, a port of `master`."""
    host, wanted = a_host(), spec(guest())
    reach(host, wanted)
    interface = host.libvirt.domains["web"].live.find("devices/interface")
    ET.SubElement(interface, "target", dev="vnet0")
    host.nm.links["vnet0"] = FakeLink("vnet0", "tun", master=master)
    return host, wanted


def steps(host: FakeHost, wanted: Spec) -> list[Step]:
    return [
        one for one in make_plan(wanted, host.facts(wanted)).steps if "back in bridge" in one.what
    ]


def test_a_loose_tap_is_put_back_by_the_command_that_check_names() -> None:
    host, wanted = running()
    (step,) = steps(host, wanted)
    assert step.subject == "guest web"
    assert "(vnet0) back in bridge virbr1.223" in step.what
    first = step.actions[0]
    assert isinstance(first, Command)
    assert str(first) == f"ip link set dev vnet0 master {BRIDGE}"
    reach(host, wanted)
    assert host.nm.links["vnet0"].master == BRIDGE
    assert steps(host, wanted) == []


def test_it_comes_after_the_bridge_that_is_brought_up_for_it() -> None:
    host, wanted = running()
    for profile in host.nm.profiles.values():
        profile.device = "" if profile.interface == BRIDGE else profile.device
    del host.nm.links[BRIDGE]
    plan = make_plan(wanted, host.facts(wanted))
    assert [one.subject for one in plan.steps] == ["network public", "guest web"]


@pytest.mark.parametrize("state", ["in its bridge", "off", "not seen", "elsewhere", "foreign"])
def test_other_taps_are_left(state: str) -> None:
    host, wanted = running(master=BRIDGE if state == "in its bridge" else "")
    domain = host.libvirt.domains["web"]
    match state:
        case "off":
            domain.live = None
        case "not seen":
            del host.nm.links["vnet0"]
        case "elsewhere":
            domain.live.find("devices/interface/source").set("bridge", "nowhere")
        case "foreign":
            legacy = host.libvirt.domains["legacy"].live.find("devices/interface")
            ET.SubElement(legacy, "target", dev="vnet9")
            host.nm.links["vnet9"] = FakeLink("vnet9", "tun")
            host.nm.links["vnet0"].master = BRIDGE
    assert steps(host, wanted) == []
