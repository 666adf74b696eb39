"""Hosts that many tests begin with: made once, saved while they run, and gone on from by each.

What they are made of is part of their key: a change of kvmkeep makes them anew, with that kvmkeep.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from labhost import TINY_YAML, Host

from lab import cache
from lab.booted import booted_host
from lab.guest_images import guest_images
from lab.install import install

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.machine import Lab

TREE = Path(__file__).parents[2]
SPACE = 4 * 2**30
ALPHA, BETA = "10.5.68.11", "10.5.68.12"
GUESTS = {
    "alpha": TINY_YAML.replace("ADDRESS", ALPHA).replace(
        "{root: 256MiB}", "{root: 256MiB, data: 64MiB, logs: 32MiB}"
    ),
    "beta": TINY_YAML.replace("ADDRESS", BETA),
}


def bare(lab: Lab) -> Host:
    """Have the lab be a pristine host with kvmkeep on it, and with foreign things."""
    return site(lab, "host", Host.plant_foreign_things)


def day(lab: Lab) -> Host:
    """Have the lab be a host with two guests running: `alpha` has three disks."""
    return site(lab, "day", _make_guests)


def _make_guests(host: Host) -> None:
    host.plant_foreign_things()
    host.put_spec(GUESTS)
    host.apply(limit=1500)


def site(lab: Lab, name: str, prepare: Callable[[Host], None]) -> Host:
    """Have the lab be a host with kvmkeep on it on which `prepare` was done."""

    def build(place: Path) -> None:
        lab.down()
        lab.up()
        install(lab)
        prepare(Host(lab))
        lab.save(place)

    parts = cache.tree_parts(TREE / "src", TREE / "lab", TREE / "tests" / "lab" / "labhost.py")
    parts["prepare"] = Path(inspect.getfile(prepare)).read_bytes()
    parts["below"] = f"{booted_host().name} {guest_images().name}".encode()
    lab.go_on_from(cache.entry(f"site-{name}", cache.key_of(parts), build, needs=SPACE))
    return Host(lab)
