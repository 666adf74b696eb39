"""`kvmkeep list` against `virsh list --all`, and `check`, on libvirt's test driver.

`list -l` also asks agents, which the test driver's guests don't have: a script stands for virsh.
It starts the real virsh, as asking costs, and then gives an answer, or none for ten of 100 guests.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from bench.clock import child, interleaved
from bench.figure import Figure, Goal, Sample, Unit, compared, difference_ms
from bench.site import write_driver, write_spec

if TYPE_CHECKING:
    from pathlib import Path

PART = "listing"
FEW, MANY = 10, 1000
GOAL_FEW_MS = 150.0
GOAL_MANY = 2.0
AGENTS = 100
GOAL_SILENT_S = 2.5
"""Two seconds for the silent agents, and what starting Python and reading the spec takes."""

_VIRSH = """\
#!/bin/sh
for word; do :; done
case $word in *-???????????0\\ *) exec sleep 60;; esac
{virsh} --connect test:///default 'echo' >/dev/null
echo @guest-get-host-name; echo '{{"return":{{"host-name":"guest"}}}}'
echo @guest-network-get-interfaces; echo '{{"return":[]}}'
echo @guest-get-fsinfo
echo '{{"return":[{{"name":"vda1","mountpoint":"/","type":"xfs","used-bytes":5,"total-bytes":9}}]}}'
"""
_LVS = """\
#!/bin/sh
echo '{"report":[{"lv":[]}]}'
"""
_ONE_BY_ONE = """\
for number in $(seq -w 0 99); do
  timeout 2 {stub} "qemu-agent-command 4dea22b3-1d52-d8f3-2516-0000000000$number x" >/dev/null
done; true
"""


def measure(place: Path, repetitions: int) -> list[Figure]:
    """Compare at a usual number of guests and at far too many."""
    return [
        _few(place, repetitions * 3),
        _many(place, repetitions * 2),
        _silent(place, repetitions),
        *(_check(place, guests, max(1, repetitions // 2)) for guests in (FEW, MANY)),
    ]


def _few(place: Path, repetitions: int) -> Figure:
    times = _times(place, FEW, repetitions)
    return Figure(
        part=PART,
        name=f"list, {FEW} guests",
        ours=times["ours"],
        against="virsh list --all",
        theirs=times["theirs"],
        judged=difference_ms(times["ours"], times["theirs"]),
        goal=Goal(GOAL_FEW_MS),
    )


def _many(place: Path, repetitions: int) -> Figure:
    times = _times(place, MANY, repetitions)
    against = "virsh list --all"
    return compared(
        PART, f"list, {MANY} guests", against, times["ours"], times["theirs"], limit=GOAL_MANY
    )


def _times(place: Path, guests: int, repetitions: int) -> dict[str, Sample]:
    uri = write_driver(place, guests)
    spec = write_spec(place, guests)
    ours = [sys.executable, "-m", "kvmkeep", "--spec", str(spec), "--connect", uri, "list"]
    theirs = ["virsh", "--connect", uri, "list", "--all"]
    child(ours)
    child(theirs)
    sides = {"ours": lambda: child(ours).seconds, "theirs": lambda: child(theirs).seconds}
    return interleaved(sides, repetitions)


def _check(place: Path, guests: int, repetitions: int) -> Figure:
    uri, spec = write_driver(place, guests), write_spec(place, guests)
    ours = [sys.executable, "-m", "kvmkeep", "--spec", str(spec), "--connect", uri, "check"]
    times = Sample(tuple(child(ours, ok=(2,)).seconds for _ in range(repetitions)), Unit.SECONDS)
    return Figure(
        part=PART,
        name=f"check, {guests} guests",
        ours=times,
        judged=times,
        remark="on libvirt's test driver everything else is missing, and all of it is told",
    )


def _silent(place: Path, repetitions: int) -> Figure:
    uri, spec = write_driver(place, AGENTS), write_spec(place, AGENTS)
    programs = place / "programs"
    programs.mkdir()
    for name, text in (("virsh", _VIRSH.format(virsh=shutil.which("virsh"))), ("lvs", _LVS)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    options = ["--spec", str(spec), "--connect", uri, "list", "-l"]
    ours = [sys.executable, "-m", "bench.silent", str(programs), *options]
    theirs = ["bash", "-c", _ONE_BY_ONE.format(stub=programs / "virsh")]
    child(ours)
    sides = {"ours": lambda: child(ours).seconds, "theirs": lambda: child(theirs).seconds}
    times = interleaved(sides, max(1, repetitions // 2))
    return Figure(
        part=PART,
        name=f"list -l, {AGENTS} guests, 10 silent agents",
        ours=times["ours"],
        against="a script for virsh, one after the other, `timeout 2`",
        theirs=times["theirs"],
        judged=times["ours"],
        goal=Goal(GOAL_SILENT_S),
        remark="a script stands for virsh: no real agents",
    )
