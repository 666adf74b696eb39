"""The power goes in the window of a network change: the next boot has the network as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites
from sites import ALPHA, BETA, GUESTS

from tests.lab.day.test_network import (
    PORT,
    ageing,
    arm,
    host_yaml,
    in_place_of,
    nothing_is_left,
    ports,
    profiles,
)
from tests.lab.day.test_recover import recovered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Lab

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(the_lab: Lab) -> Iterator[Host]:
    """Return a host whose guests start with it by kvmkeep's units, after the network's undo."""
    host = sites.day(the_lab)
    before = host.foreign_things()
    host.put_spec(GUESTS, host_yaml(300))
    host.apply()
    done = host.kvmkeep("install-units", "--yes")
    assert done.returncode == 0, done.stderr
    yield host
    assert host.foreign_things() == before


def test_the_power_goes_while_a_change_is_made_and_not_kept_yet(site: Host) -> None:
    was = profiles(site)
    site.put_spec(GUESTS, host_yaml(600))
    with in_place_of(site, "busctl"):
        # All of it is on the disks by then: the change as well as its undo.
        arm(site, "CheckpointDestroy", before="sync; touch /run/held; sleep 600\n")
        site.must("(kvmkeep apply --yes) > /root/said 2>&1 < /dev/null &")
        site.until("test -e /run/held", limit=300, what="the change to be made")
        assert ageing(site) == 600
        assert profiles(site) != was
        site.lab.cut()
        site.lab.boot()
        recovered(site)
        assert profiles(site) == was
        assert ageing(site) == 300
        assert PORT in ports(site)
        nothing_is_left(site)
    for address in (ALPHA, BETA):
        site.until(
            f"ip netns exec campus ping -c 1 -W 2 {address}", limit=60, what=f"{address} to answer"
        )
    site.apply()
    assert ageing(site) == 600
    nothing_is_left(site)
    assert site.plan()["steps"] == []
