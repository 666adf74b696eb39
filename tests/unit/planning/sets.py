"""Hosts with sets of snapshots, and how they are taken."""

from __future__ import annotations

from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.snapshot import snapshot_sets
from kvmkeep.model.spec import Spec
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

MOMENT = "2026-11-23T07:10:34+00:00"


LATER = "2026-11-23T07:10:50+00:00"


SET = "20261123T0710Z"


def site(*, agent: bool = True) -> tuple[FakeHost, Spec]:
    """One running guest with two disks."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest("web", data=GIB))
    reach(host, wanted)
    host.libvirt.domains["web"].agent = agent
    host.calls.clear()
    return host, wanted


def wish(**changes: object) -> SnapshotRequest:
    return replace(SnapshotRequest(guests=("web",), moment=MOMENT), **changes)


def take(host: FakeHost, wanted: Spec, **changes: object) -> None:
    reach(host, wanted, lambda s, f: plan_create(s, f, wish(**changes)))


def sets(host: FakeHost, wanted: Spec) -> list[tuple[str, str, str]]:
    found = snapshot_sets(host.facts(wanted).volumes, "rl_build")
    return [(one.name, one.level, one.trouble) for one in found]
