"""`kvmkeep apply` against the script of the same plan, run by bash, in the lab.

Both begin on the same host, with the image checked and looked into, and end with a guest from a
cloud image that has done its first boot: the main job. Afterwards everything that was made is
removed by hand.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.clock import interleaved
from bench.figure import BenchError, Figure, Goal, Sample, Unit, compared, ratio
from bench.lab_spec import host_yaml
from bench.labhost import LabHost, shell

if TYPE_CHECKING:
    from collections.abc import Callable

PART = "apply"
GOAL = 1.05
_MOST = 3
_PLACE = "/root/bench-apply"
_SPEC = f"{_PLACE}/spec"
_SCRIPT = f"{_PLACE}/plan.sh"
_NAME = "bench-cloud"
_JOURNAL = "/var/lib/kvmkeep/journal"
_GUEST = """\
image: cloud
vcpus: 1
memory: 768MiB
disks: {{root: 3GiB, data: 64MiB}}
nics: [{{network: internal, address: 10.5.68.9/24}}]
login: {{user: debian, ssh_keys: ["{key}"]}}
run: {{autostart: true, start_timeout: 20min}}
"""
_UNDO = f"""
virsh destroy {_NAME}; virsh undefine {_NAME}
for lv in vm-{_NAME} vm-{_NAME}-data; do lvchange -an rl_build/$lv; lvremove -q rl_build/$lv; done
for name in virbr1.2368 ens802f1.2368; do nmcli connection delete "$name"; done
rm -f /root/kvm/{_NAME}.xml /var/lib/kvmkeep/seed/{_NAME}.iso
rm -f /var/log/libvirt/qemu/{_NAME}-console.log*
udevadm settle
"""


@dataclass(frozen=True, slots=True)
class _Own:
    """Seconds of an apply in which none of its commands ran and nothing was waited for."""

    all: float
    in_steps: float


def measure(host: LabHost, repetitions: int) -> list[Figure]:
    """Measure both from the same state, several times."""
    times: dict[str, Sample]
    outside: list[_Own] = []
    _undo(host)
    try:
        _prepare(host)
        sides: dict[str, Callable[[], float]] = {
            "script": lambda: _timed(host, f"bash {_SCRIPT}"),
            "apply": lambda: _applied(host, outside),
        }
        times = interleaved(sides, max(1, min(_MOST, repetitions)))
    finally:
        _undo(host)
        host.must(f"rm -rf {_PLACE}")
    own = Sample(tuple(one.all for one in outside), Unit.SECONDS)
    inside = Sample(tuple(one.in_steps for one in outside), Unit.SECONDS)
    return [
        compared(
            PART,
            "a guest from a cloud image, from nothing to ready",
            "the plan's script in bash",
            times["apply"],
            times["script"],
            limit=GOAL,
            remark="most of both is waiting for the guest, whose first boot varies",
        ),
        Figure(
            part=PART,
            name="what apply spends outside of commands and waiting",
            ours=own,
            against="the whole script",
            theirs=times["script"],
            judged=ratio(own, times["script"]),
            goal=Goal(round(GOAL - 1, 2)),
            remark="its start, and the look at the host before and after, which a script has not",
        ),
        Figure(
            part=PART,
            name="of it inside the steps: journal, output, starting commands",
            ours=inside,
            against="the whole script",
            theirs=times["script"],
            judged=ratio(inside, times["script"]),
            goal=Goal(round(GOAL - 1, 2)),
        ),
    ]


def _prepare(host: LabHost) -> None:
    key = host.key_pair(_PLACE)
    digest = host.must("sha256sum < /srv/images/cloud.raw").split()[0]
    host.put(
        f"{_SPEC}/host.yaml",
        host_yaml(image=f"cloud: {{file: /srv/images/cloud.raw, sha256: {digest}}}"),
    )
    host.put(f"{_SPEC}/guests/{_NAME}.yaml", _GUEST.format(key=key))
    script = _script(host)
    if "guestfish" in script:
        host.put(_SCRIPT, script)
        host.must(f"bash {_SCRIPT}")
        _undo(host)
        script = _script(host)
    host.put(_SCRIPT, script)


def _script(host: LabHost) -> str:
    return host.must(f"kvmkeep --spec {_SPEC} plan --script")


def _pristine(host: LabHost) -> None:
    """Bring the host back to where the script was made, and prove it."""
    _undo(host)
    host.put(f"{_SCRIPT}.now", _script(host))
    if host.must(f"cmp -s {_SCRIPT} {_SCRIPT}.now || echo differs"):
        difference = host.must(f"diff {_SCRIPT} {_SCRIPT}.now; true")
        raise BenchError(f"the plan is another one than at the beginning:\n{difference}")


def _undo(host: LabHost) -> None:
    host.must(f"{{ {_UNDO} }} >/dev/null 2>&1; true")


def _timed(host: LabHost, line: str) -> float:
    _pristine(host)
    log = f"{_PLACE}/log"
    command = shell(f"{line} >{log} 2>&1 </dev/null || {{ tail -n 30 {log} >&2; exit 1; }}")
    return host.time([command], cold=False)[0]


def _applied(host: LabHost, own: list[_Own]) -> float:
    """Time an apply, and note what its commands and waits do not account for."""
    seconds = _timed(host, f"kvmkeep --spec {_SPEC} apply --yes")
    last = host.must(f"cat {_JOURNAL}/$(ls {_JOURNAL} | tail -n 1)")
    entries = [json.loads(line) for line in last.splitlines()]
    spent = sum(e["seconds"] for e in entries if e["kind"] in {"ended", "waited"})
    steps = sum(e["seconds"] for e in entries if e["kind"] == "step-ended")
    own.append(_Own(all=seconds - spent, in_steps=steps - spent))
    return seconds
