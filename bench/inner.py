"""What needs kvmkeep itself, in a process of its own: facts made up, stages timed one by one.

`python -m bench.inner facts SPEC FILE` writes the facts of a bare host that is large enough for
the spec; `python -m bench.inner stages SPEC FILE` plans from them, and prints the seconds that
each stage took as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.facts import (
    FACTS_VERSION,
    Array,
    ArrayState,
    Contents,
    Facts,
    Fingerprint,
    Header,
    ImageFacts,
    ImageFile,
    Link,
    Management,
    Nm,
    VolumeGroup,
)
from kvmkeep.model.units import Size
from kvmkeep.planning.plan import make_plan
from kvmkeep.report.json import decode_facts, facts_json
from kvmkeep.report.text import plan_text
from kvmkeep.spec.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmkeep.model.spec import Spec

T = TypeVar("T")
GIB = 1 << 30
WIDTH = 80


def main(arguments: list[str]) -> int:
    """Run one of the two."""
    what, spec, facts = arguments
    if what == "facts":
        Path(facts).write_text(facts_json(bare_host(load(spec, MachineDoor()))))
    else:
        print(json.dumps(stages(spec, Path(facts))))
    return 0


def stages(directory: str, file: Path) -> dict[str, float]:
    """Return the seconds that each stage of `plan --facts` takes."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        begin = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - begin
        return result

    spec = timed("load", lambda: load(directory, MachineDoor()))
    facts = timed("decode facts", lambda: decode_facts(file.read_bytes()))
    plan = timed("make_plan", lambda: make_plan(spec, facts))
    timed("text", lambda: plan_text(plan, explain=False, width=WIDTH))
    return seconds


def bare_host(spec: Spec) -> Facts:
    """Return a host without any guest, and with room for all of them."""
    guests = max(1, len(spec.guests))
    return Facts(
        version=FACTS_VERSION,
        time="2026-11-23T12:00:00+00:00",
        hostname="bench",
        memory=Size(64 * GIB * guests),
        cpus=64,
        arrays=(
            Array(
                name="md0",
                level="raid1",
                state=ArrayState.CLEAN,
                members=("nvme0n1", "nvme1n1"),
                detail="2 of 2 members",
            ),
        ),
        groups=(
            VolumeGroup(
                name="rl_build",
                extent=Size(4 << 20),
                size=Size(500 * GIB * guests),
                free=Size(450 * GIB * guests),
                pvs=("/dev/md0",),
                missing_pvs=0,
            ),
        ),
        volumes=(),
        links=(_link("ens802f0"), _link(spec.uplink)),
        nm=Nm(
            running=True,
            version="1.42.4",
            profiles=(),
            device_paths=((spec.uplink, "/org/freedesktop/NetworkManager/Devices/3"),),
        ),
        management=Management(interface="ens802f0", gateway="10.0.2.2", answers=True),
        domains=(),
        libvirt="9.0.0",
        emulator="/usr/bin/qemu-system-x86_64",
        images=tuple(_image(image.name, image.source) for image in spec.images),
        seeds=(),
        saved=(),
        tools=(),
        problems=(),
    )


def _link(name: str) -> Link:
    return Link(
        name=name,
        kind="",
        mac="52:54:00:e0:00:f1",
        up=True,
        carrier=True,
        mtu=1500,
        master="",
        parent="",
        vlan_id=-1,
        ageing_time=-1,
        stp=False,
        forward_delay=-1,
        addresses=(),
    )


def _image(name: str, path: str) -> ImageFacts:
    print_ = Fingerprint(device=64768, inode=131, size=2 * GIB, mtime_ns=1, ctime_ns=1)
    file = ImageFile(path=path, fingerprint=print_, kind="file")
    return ImageFacts(
        name=name,
        original=file,
        usable=file,
        header=Header(format="raw", virtual_size=Size(2 * GIB), refused=""),
        contents=Contents(
            os="Debian GNU/Linux 12",
            cloud_init=True,
            datasources=(),
            agent=True,
            bakes_disks=False,
            detail="",
        ),
        digest_wanted="sha256:" + "ab" * 32,
        digest_problem="",
        verified=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
