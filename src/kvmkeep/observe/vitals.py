"""The look at a host's health: read-only, in few commands, and with the guests' answers apart."""

from __future__ import annotations

from kvmkeep.host import lvm, mdadm, smart, space, upkeep
from kvmkeep.host.door import Door
from kvmkeep.model.names import TRENDS
from kvmkeep.model.trend import decoded
from kvmkeep.model.vitals import Disk, Mismatches, Trend, Vitals
from kvmkeep.observe.notebook import Notebook

_FILTERS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables")
_FILTER_DIR = "/proc/sys/net/bridge"
"""There only while the kernel's module br_netfilter is."""


def observe_trends(door: Door) -> tuple[tuple[Trend, ...], tuple[Mismatches, ...]]:
    """Return how mismatches went so far, and what is counted now; raises OSError."""
    return decoded(door.read(TRENDS)), mdadm.mismatches(door)


def observe_vitals(door: Door) -> Vitals:
    """Return the signs that tell of a host's health; what can't be seen is in `problems`."""
    notebook = Notebook(door)
    unseen: bool | None = None
    no_disks: tuple[Disk, ...] | None = ()
    unknown: tuple[tuple[Trend, ...], tuple[Mismatches, ...]] = ((), ())
    trends, mismatches = notebook.ask("mismatches of MD arrays", observe_trends, unknown)
    return Vitals(
        mismatches=mismatches,
        trends=trends,
        schedules=notebook.ask("timers of array checks", upkeep.schedules, ()),
        spaces=notebook.ask("filesystems", space.spaces, ()),
        synchronized=notebook.ask("the clock", upkeep.synchronized, unseen),
        backups=notebook.ask("states of volume groups", lvm.backups, ()),
        bridge_filters=tuple(
            name
            for name in _FILTERS
            if (notebook.read(f"{_FILTER_DIR}/{name}", 16) or b"").strip() == b"1"
        ),
        disks=notebook.ask("disks", smart.disks, no_disks),
        problems=notebook.problems,
    )
