"""One host for all tests of an administrator's day: made once, and left as it was by each module.

`alpha` has three disks and is there to be changed, `beta` stands by: no test may touch it, and
its QEMU process and its answers prove that none did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from labhost import TINY_YAML, Host

from lab.install import install

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


@pytest.fixture(scope="package")
def site(the_lab: Lab) -> Host:
    """Return a host with both guests running and foreign things planted."""
    the_lab.reset()
    install(the_lab)
    host = Host(the_lab)
    host.plant_foreign_things()
    host.put_spec(GUESTS)
    host.apply(limit=1500)
    return host


@pytest.fixture(scope="module", autouse=True)
def nothing_else_is_touched(site: Host) -> Iterator[None]:
    """Compare foreign things and the bystander before and after each module."""
    site.put_spec(GUESTS)
    before, process = site.foreign_things(), site.qemu_pid("beta")
    yield
    assert site.foreign_things() == before
    assert site.qemu_pid("beta") == process
    site.must(f"ip netns exec campus ping -c 3 -i 0.5 -W 5 {BETA}")
