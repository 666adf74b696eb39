"""One host for all tests of an administrator's day: made once, and gone on from by each module.

`alpha` has three disks and is there to be changed, `beta` stands by: no test may touch it, and
its QEMU process and its answers prove that none did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sites
from labhost import TINY_YAML, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.machine import Lab

ALPHA, BETA = "10.5.68.11", "10.5.68.12"
GUESTS = {
    "alpha": TINY_YAML.replace("ADDRESS", ALPHA).replace(
        "{root: 256MiB}", "{root: 256MiB, data: 64MiB, logs: 32MiB}"
    ),
    "beta": TINY_YAML.replace("ADDRESS", BETA),
}


def prepare(host: Host) -> None:
    """Plant foreign things, and have kvmkeep make both guests."""
    host.plant_foreign_things()
    host.put_spec(GUESTS)
    host.apply(limit=1500)


@pytest.fixture(scope="module")
def site(the_lab: Lab) -> Iterator[Host]:
    """Return a host with both guests running, and compare foreign things and the bystander after."""
    host = sites.site(the_lab, "day", prepare)
    before, process = host.foreign_things(), host.qemu_pid("beta")
    yield host
    assert host.foreign_things() == before
    assert host.qemu_pid("beta") == process
    host.must(f"ip netns exec campus ping -c 3 -i 0.5 -W 5 {BETA}")
