"""The look at a host's health: read-only, in few commands, and with the guests' answers apart."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from kvmkeep.host import journal_place, lvm, mdadm, smart, space, upkeep
from kvmkeep.host.door import Door
from kvmkeep.model.names import IMAGE_DIR, TRENDS
from kvmkeep.model.trend import decoded
from kvmkeep.model.vitals import (
    UNITS_SEEN,
    Mismatches,
    PhysicalDisk,
    Schedule,
    Service,
    SpecFileStat,
    Trend,
    Vitals,
)
from kvmkeep.observe.notebook import Notebook

_GUESTS = "guests"
"""The folder in the spec's with a file for each guest."""
_FILTERS = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables")
_FILTER_DIR = "/proc/sys/net/bridge"
"""There only while the kernel's module br_netfilter is."""


def observe_trends(door: Door) -> tuple[tuple[Trend, ...], tuple[Mismatches, ...]]:
    """Return how mismatches went so far, and what is counted now; raises OSError."""
    return decoded(door.read(TRENDS)), mdadm.mismatches(door)


def observe_vitals(door: Door, spec: str, trusted: Iterable[str] = ()) -> Vitals:
    """Return the signs that tell of a host's health; what can't be seen is in `problems`.

    `spec` is the directory of the spec, `trusted` what it leads to.
    """
    notebook = Notebook(door)
    unseen: bool | None = None
    no_disks: tuple[PhysicalDisk, ...] | None = ()
    unknown: tuple[tuple[Trend, ...], tuple[Mismatches, ...]] = ((), ())
    trends, mismatches = notebook.ask("mismatches of MD arrays", observe_trends, unknown)
    nothing: tuple[tuple[Schedule, ...], tuple[Service, ...]] = ((), ())
    files = spec_files(notebook, spec)
    schedules, services = notebook.ask(UNITS_SEEN, upkeep.begun, nothing)
    return Vitals(
        mismatches=mismatches,
        trends=trends,
        schedules=schedules,
        services=services,
        spaces=notebook.ask("filesystems", space.spaces, ()),
        synchronized=notebook.ask("the clock", upkeep.synchronized, unseen),
        backups=notebook.ask("states of volume groups", lvm.backups, ()),
        bridge_filters=tuple(
            name
            for name in _FILTERS
            if (notebook.read(f"{_FILTER_DIR}/{name}", 16) or b"").strip() == b"1"
        ),
        disks=notebook.ask("disks", smart.disks, no_disks),
        spec_files=files,
        spec_ways=spec_ways(door, (spec, posixpath.join(spec, _GUESTS), *trusted), files),
        image_files=notebook.names(IMAGE_DIR),
        journal=notebook.ask(journal_place.PLACE, journal_place.trouble, ""),
        problems=notebook.problems,
    )


def spec_files(notebook: Notebook, directory: str) -> tuple[SpecFileStat, ...]:
    """Return the directories and files of the spec that are there."""
    folders = (directory, posixpath.join(directory, _GUESTS))
    paths = [
        *folders,
        *(posixpath.join(folder, name) for folder in folders for name in notebook.names(folder)),
    ]
    found = (notebook.door.secret(path) for path in dict.fromkeys(paths))
    return tuple(
        SpecFileStat(path=one.path, owner=one.owner, mode=one.mode, kind=one.kind)
        for one in found
        if one.kind
    )


def spec_ways(
    door: Door, paths: Iterable[str], known: Iterable[SpecFileStat]
) -> tuple[SpecFileStat, ...]:
    """Return these files and directories, behind all links, with all that leads to them.

    Who may write to a directory on the way puts another one in the place of what lies there.
    """
    found: dict[str, SpecFileStat] = {}
    for path in paths:
        parts = door.way(posixpath.abspath(path)).parts
        for part in parts:
            one = SpecFileStat(
                path=part.path,
                owner=part.owner,
                mode=part.mode,
                kind=part.kind,
                above=part is not parts[-1],
            )
            if not one.above or part.path not in found:
                found[part.path] = one
    for one in known:
        found.pop(posixpath.abspath(one.path), None)
    return tuple(found.values())
