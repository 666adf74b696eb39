"""A power cut with twelve guests that need one another, and a bad change of the network.

The other side of the cut is libvirt's autostart, which starts all at once and knows no needs. It
is measured against the critical path too: the chain of needs whose guests take longest together,
each as long as it took in this very recovery.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bench.clock import interleaved
from bench.figure import BenchError, Figure, Sample, Unit, compared, ratio
from bench.lab_spec import host_yaml
from bench.labhost import LabHost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PART = "outage"
_MOST = 2
_PLACE = "/root/bench-outage"
_SPEC = f"{_PLACE}/spec"
_LIMIT = 2400
NEEDS: Mapping[str, tuple[str, ...]] = {
    "ns1": (),
    "ldap": ("ns1",),
    "nfs": ("ns1",),
    "db1": ("ldap", "nfs"),
    "db2": ("ldap", "nfs"),
    "mq": ("ldap",),
    "app1": ("db1", "mq"),
    "app2": ("db2", "mq"),
    "web1": ("app1",),
    "web2": ("app2",),
    "mon": (),
    "log": (),
}
"""Twelve guests, each with those that it needs; the longest chain is of five."""

_QUICK = ", forward_delay: 2"
_GUEST = """\
image: tiny
vcpus: 1
memory: 128MiB
disks: {{root: 256MiB}}
nics: [{{network: internal, address: 10.5.68.{number}/24}}]
login: {{user: root, ssh_keys: ["{key}"]}}
run: {{autostart: true, start_timeout: 30min, needs: [{needs}]}}
"""
_GATEWAY = "10.5.68.254"
_CAMPUS = f"{_GATEWAY}/24 dev campus0.2368"
# One that never answered is no reason to undo a change. This one is gone once the checkpoint is
# there, so the change seems to have cut it off.
_SILENCED = f"""
(until busctl get-property org.freedesktop.NetworkManager /org/freedesktop/NetworkManager \\
  org.freedesktop.NetworkManager Checkpoints | grep -q Checkpoint/
do sleep 0.1; done; ip -n campus address del {_CAMPUS}) >/dev/null 2>&1 &
"""
_KVMKEEP = f"kvmkeep --spec {_SPEC}"
_NAMES = " ".join(NEEDS)
_PING = '{"execute":"guest-ping"}'
_ALL_READY = f"""
for name in {_NAMES}; do
  until virsh -q qemu-agent-command $name '{_PING}' >/dev/null 2>&1; do sleep 1; done
done
cut -d ' ' -f 1 /proc/uptime
"""
_RECOVERED = """
until systemctl show kvmkeep-recover.service -p ExecMainExitTimestampMonotonic | grep -q '=[1-9]'
do sleep 1; done
systemctl show kvmkeep-recover.service -p ExecMainStatus --value
"""
_UNDO = f"""
{_KVMKEEP} uninstall-units --yes
for name in {_NAMES}; do
  virsh destroy $name; virsh undefine $name; lvremove -q -y rl_build/vm-$name
  rm -f /root/kvm/$name.xml /var/log/libvirt/qemu/$name-console.log*
done
for name in virbr1.2368 ens802f1.2368; do nmcli connection delete "$name"; done
rm -rf {_PLACE}; udevadm settle
"""


@dataclass(frozen=True, slots=True)
class Span:
    """When a guest was started and when it was seen to be ready, in seconds since the epoch."""

    started: float
    ready: float


def measure(host: LabHost, repetitions: int) -> Iterator[Figure]:
    """Cut the lab's power a few times, and make a bad change of the network as often.

    What was measured stays where the other fails.
    """
    most = max(1, min(_MOST, repetitions))
    try:
        _prepare(host)
        yield from _outages(host, most)
        yield _rollback(host, most)
    finally:
        host.quietly(_UNDO)


def _prepare(host: LabHost) -> None:
    key = host.key_pair(_PLACE)
    host.put(f"{_SPEC}/host.yaml", host_yaml(_QUICK))
    for number, (name, needs) in enumerate(NEEDS.items(), start=20):
        text = _GUEST.format(number=number, key=key, needs=", ".join(needs))
        host.put(f"{_SPEC}/guests/{name}.yaml", text)
    host.must(f"{_KVMKEEP} apply --yes; sync", limit=_LIMIT)


def _outages(host: LabHost, repetitions: int) -> list[Figure]:
    chains: list[float] = []
    spent: list[float] = []

    def ours() -> float:
        host.must(f"{_KVMKEEP} install-units --yes; sync")
        host.cut_and_boot()
        status = host.must(_RECOVERED, limit=_LIMIT).strip()
        if status != "0":
            raise BenchError(f"kvmkeep recover ended with {status}")
        uptime = float(host.must(_ALL_READY, limit=_LIMIT))
        spans = spans_of(_journal(host, "recover"))
        chains.append(critical_path(spans))
        spent.append(max(one.ready for one in spans.values()) - _first(spans))
        return uptime

    def theirs() -> float:
        host.must(f"{_KVMKEEP} uninstall-units --yes")
        for name in NEEDS:
            host.must(f"virsh -q autostart {name}")
        host.must("sync")
        host.cut_and_boot()
        return float(host.must(_ALL_READY, limit=_LIMIT))

    times = interleaved({"theirs": theirs, "ours": ours}, repetitions)
    made = Sample(tuple(spent), Unit.SECONDS)
    chain = Sample(tuple(chains), Unit.SECONDS)
    return [
        compared(
            PART,
            f"power cut, {len(NEEDS)} guests: from the host's boot until all are ready",
            "libvirt's autostart, in no order",
            times["ours"],
            times["theirs"],
            remark="kvmkeep's side has the proof at the end, and starts no guest before those it "
            "needs are ready: where one was, this would be an error",
        ),
        Figure(
            part=PART,
            name="of it from the first start to the last ready",
            ours=made,
            against="the critical path of the needs",
            theirs=chain,
            judged=ratio(made, chain),
            remark="guests that boot beside one another share the lab's one emulated processor",
        ),
    ]


def spans_of(entries: list[dict[str, Any]]) -> dict[str, Span]:
    """Return when each guest was started and ready; raises BenchError if one came too early."""
    started: dict[str, float] = {}
    ready: dict[str, float] = {}
    subject = what = ""
    for entry in entries:
        moment = datetime.fromisoformat(entry["time"]).timestamp()
        if entry["kind"] == "step":
            subject, what = entry["subject"].removeprefix("guest "), entry["what"]
            if what == "start it":
                started[subject] = moment
        elif entry["kind"] == "step-ended" and what == "wait until it is ready":
            ready[subject] = moment
    missing = set(NEEDS) - started.keys() & ready.keys()
    if missing:
        raise BenchError(f"the journal does not tell of {', '.join(sorted(missing))}")
    for guest, needs in NEEDS.items():
        for need in needs:
            if started[guest] < ready[need]:
                raise BenchError(f"{guest} was started before {need} was ready")
    return {guest: Span(started[guest], ready[guest]) for guest in NEEDS}


def critical_path(spans: Mapping[str, Span]) -> float:
    """Return the seconds of the longest chain of needs, each guest as long as it took."""
    ends: dict[str, float] = {}
    for guest, needs in NEEDS.items():
        own = spans[guest].ready - spans[guest].started
        ends[guest] = own + max((ends[need] for need in needs), default=0.0)
    return max(ends.values())


def _first(spans: Mapping[str, Span]) -> float:
    return min(one.started for one in spans.values())


def _rollback(host: LabHost, repetitions: int) -> Figure:
    """Measure how long a network lasts whose gateway is silent after a change."""
    seconds = []
    for _ in range(repetitions):
        gateway = f", gateway: {_GATEWAY}"
        host.put(f"{_SPEC}/host.yaml", host_yaml(f"{_QUICK}{gateway}, ageing_time: 300"))
        host.must(f"{_SILENCED} ! {_KVMKEEP} apply --yes")
        host.must(f"ip -n campus address replace {_CAMPUS}")
        times = {
            entry["what"]: datetime.fromisoformat(entry["time"]).timestamp()
            for entry in _journal(host, "apply")
            if entry["kind"] == "checkpoint"
        }
        undone = times.get("undone", times.get("rolled back"))
        if undone is None:
            raise BenchError(f"the change was not undone: {times}")
        seconds.append(undone - times["made"])
        host.put(f"{_SPEC}/host.yaml", host_yaml(_QUICK))
        host.must(f"{_KVMKEEP} apply --yes")
    sample = Sample(tuple(seconds), Unit.SECONDS)
    return Figure(
        part=PART,
        name="a change after which the gateway is silent, until it is undone",
        ours=sample,
        judged=sample,
        remark="published: nmstate 60 s, nmcli 15 s, Cockpit 7 s; here with the tries to reach "
        "the gateway",
    )


def _journal(host: LabHost, verb: str) -> list[dict[str, Any]]:
    runs = json.loads(host.must("kvmkeep --json journal"))["runs"]
    name = next(one["name"] for one in runs if one["verb"] == verb)
    entries: list[dict[str, Any]] = json.loads(host.must(f"kvmkeep --json journal {name}"))[
        "entries"
    ]
    return entries
