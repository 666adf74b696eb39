"""One host for all tests of an administrator's day: made once, and gone on from by each module.

`alpha` has three disks and is there to be changed, `beta` stands by: no test may touch it, and
its QEMU process and its answers prove that none did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

    from lab.machine import Lab


@pytest.fixture(scope="module")
def site(the_lab: Lab) -> Iterator[Host]:
    """Return a host with both guests running, and compare foreign things and the bystander after."""
    host = sites.day(the_lab)
    before, process = host.foreign_things(), host.qemu_pid("beta")
    yield host
    assert host.foreign_things() == before
    assert host.qemu_pid("beta") == process
    host.must(f"ip netns exec campus ping -c 3 -i 0.5 -W 5 {sites.BETA}")
