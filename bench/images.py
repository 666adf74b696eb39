"""An image to a logical volume, in the lab: kvmkeep's own commands against what one would type.

Kvmkeep's side is what its plan says: look that the LV is still the one, convert, zero the end,
flush, tag; at first use also the checksum (and unpacking). All sides write to the same LV, which
is discarded before each run, and begin on an empty page cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.clock import interleaved
from bench.figure import BenchError, Figure, Sample, Unit, compared
from bench.labhost import Action, LabHost, Step, actions_of, shell

if TYPE_CHECKING:
    from collections.abc import Callable

PART = "images"
GOAL_QEMU_IMG = 1.05
GOAL_DD_SPARSE = 0.15

_PLACE = "/root/bench-images"
_SPEC = f"{_PLACE}/spec"
_SPARSE = f"{_PLACE}/sparse.raw"
_MOST = 3
"""Repetitions at most: a copy takes up to two minutes where KVM is emulated."""

_PATIENCE = 90.0
"""Seconds that a checksum may take; an image that takes longer is written without one."""

_HASHED = 64 << 20

_HOST = """\
host:
  name: bench.example.org
  reserve: {memory: 512MiB, storage: 1GiB}
storage: {vg: rl_build, lv_prefix: "bench-"}
uplink: ens802f1
images:
"""
_GUEST = "image: {name}\nvcpus: 1\nmemory: 64MiB\ndisks: {{root: {size}}}\nfirst_boot: none\n"


@dataclass(frozen=True, slots=True)
class Case:
    """An image, the size of the LV, and what one would type instead."""

    name: str
    file: str
    size: str
    others: tuple[tuple[str, float | None], ...]
    """Each other side with its goal, if it has one."""

    what: str

    @property
    def lv(self) -> str:
        """The LV that all sides write to."""
        return f"/dev/rl_build/bench-{self.name}"


PLAIN = "qemu-img convert; sync"
TUNED = "qemu-img convert -W -m 16 -t none -T none"
DD = "dd bs=4M conv=fsync"
ZSTDCAT = "zstdcat | dd bs=4M conv=fsync"
_LINES = {
    PLAIN: "qemu-img convert -n -f raw -O raw {file} {lv} && sync {lv}",
    TUNED: "qemu-img convert -n -W -m 16 -t none -T none -f raw -O raw {file} {lv}",
    DD: "dd if={file} of={lv} bs=4M conv=fsync",
    ZSTDCAT: "zstdcat {file} | dd of={lv} bs=4M conv=fsync",
}
CLOUD = "/srv/images/cloud.raw"
CASES = (
    Case(
        "raw",
        CLOUD,
        "2GiB",
        ((PLAIN, GOAL_QEMU_IMG), (TUNED, GOAL_QEMU_IMG), (DD, None)),
        "raw, 2 GiB with 0.4 GiB of data",
    ),
    Case("roomy", CLOUD, "4GiB", ((TUNED, None),), "the same, LV of 4 GiB (its end is zeroed)"),
    Case("packed", f"{CLOUD}.zst", "2GiB", ((ZSTDCAT, None),), "the same, packed with zstd"),
    Case(
        "sparse",
        _SPARSE,
        "10GiB",
        ((TUNED, GOAL_QEMU_IMG), (DD, GOAL_DD_SPARSE)),
        "raw, 10 GiB with 0.4 GiB of data",
    ),
)


def measure(host: LabHost, repetitions: int) -> list[Figure]:
    """Measure each case, and leave nothing behind."""
    _clean(host)
    try:
        _prepare(host)
        return [
            figure
            for case in CASES
            for figure in _case(host, case, max(1, min(_MOST, repetitions)))
        ]
    finally:
        _clean(host)


def _prepare(host: LabHost) -> None:
    host.must(
        f"mkdir -p {_PLACE} && cp --sparse=always {CLOUD} {_SPARSE} && truncate -s 10G {_SPARSE}"
    )
    rate = _HASHED / host.time([shell(f"head -c {_HASHED} /dev/zero | sha256sum")], cold=False)[0]
    known: dict[str, str] = {}
    lines = [_HOST]
    for case in CASES:
        if case.file not in known and int(host.must(f"stat -c %s {case.file}")) < rate * _PATIENCE:
            digest = host.must(f"sha256sum < {case.file}").split()[0]
            known[case.file] = f", sha256: {digest}"
        lines.append(f"  {case.name}: {{file: {case.file}{known.get(case.file, '')}}}\n")
        guest = _GUEST.format(name=case.name, size=case.size)
        host.put(f"{_SPEC}/guests/{case.name}.yaml", guest)
    host.put(f"{_SPEC}/host.yaml", "".join(lines))


def _clean(host: LabHost) -> None:
    host.must(
        "for lv in $(lvs --noheadings -o lv_name --select 'lv_name=~^bench-' rl_build); do"
        " lvchange -an rl_build/$lv; lvremove -q rl_build/$lv; done;"
        f"rm -rf {_PLACE} /var/lib/kvmkeep/images"
    )


def _case(host: LabHost, case: Case, repetitions: int) -> list[Figure]:
    first = [step for step in host.plan(_SPEC, case.name) if step["noun"] == "images"]
    if first:
        host.time(actions_of(first))
    host.time(actions_of(_storage(host, case, "lvcreate")))
    besides: list[float] = []
    sides: dict[str, Callable[[], float]] = {
        "remembered": lambda: _fill(host, case, besides),
    }
    if first:
        sides["first use"] = lambda: (
            sum(host.time(actions_of(first))) + _fill(host, case, [], cold=False)
        )
    for name, _ in case.others:
        sides[name] = _typed(host, case, name)
    times = interleaved(sides, repetitions)
    own = Sample(tuple(besides), Unit.SECONDS)
    name = f"{case.what}; what the step does besides qemu-img"
    figures = [
        _figure(case, name, goal, use, times)
        for name, goal in case.others
        for use in ("remembered", "first use")
        if use in times
    ]
    return [*figures, Figure(part=PART, name=name, ours=own, judged=own)]


def _figure(
    case: Case, name: str, goal: float | None, use: str, times: dict[str, Sample]
) -> Figure:
    called = f"{case.what}; checksum {'known' if use == 'remembered' else 'computed'}"
    slow = "" if "first use" in times else "the checksum of so much takes too long on this machine"
    return compared(PART, called, name, times[use], times[name], limit=goal, remark=slow)


def _typed(host: LabHost, case: Case, name: str) -> Callable[[], float]:
    line = shell(_LINES[name].format(file=case.file, lv=case.lv))
    return lambda: sum(host.time([line], before=[_discard(case)]))


def _fill(host: LabHost, case: Case, besides: list[float], *, cold: bool = True) -> float:
    """Return the seconds of the step that writes the image; its LV is made not complete again.

    `besides` gets the seconds that were not qemu-img's: these grow only with the
    room behind the image, and weigh the less the longer the copy takes.
    """
    filling, fresh = "kvmkeep.state=filling", "kvmkeep.state=fresh"
    lv = case.lv.removeprefix("/dev/")
    host.must(f"lvchange -q --addtag {filling} --deltag {fresh} {lv}")
    steps = _storage(host, case, "qemu-img")
    actions = actions_of(steps)
    seconds = host.time(actions, before=[_discard(case)], cold=cold)
    pairs = zip(actions, seconds, strict=True)
    besides.append(sum(time for act, time in pairs if "qemu-img" not in act.get("argv", ())))
    return sum(seconds)


def _storage(host: LabHost, case: Case, tool: str) -> list[Step]:
    """Return the steps of a case's guest that use a tool, planned now."""
    found = [
        step
        for step in host.plan(_SPEC, case.name)
        if step["noun"] == "storage" and any(tool in act.get("argv", ()) for act in step["actions"])
    ]
    if not found or any(step["assumes"] for step in found):
        raise BenchError(f"the plan has no certain step with {tool} for {case.name}")
    return found


def _discard(case: Case) -> Action:
    return shell(f"blkdiscard {case.lv}")
