from __future__ import annotations

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.facts import Array, ArrayState
from kvmkeep.model.plan import Plan
from kvmkeep.model.snapshot import full_size
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.snapshots.watch import Watch, plan_watch
from tests.unit.planning.build import GIB
from tests.unit.planning.rounds import reach
from tests.unit.planning.sets import SET, site, take

MIB = 1 << 20
ROOT, DATA = f"vm-web-{SET}", f"vm-web-data-{SET}"


def with_sized(root: float = 0.0, data: float = 0.0) -> tuple[FakeHost, Spec]:
    """A guest of 4 and 1 GiB with a set of 400 MiB each, so full in percent."""
    host, wanted = site()
    take(host, wanted, size=Size(400 * MIB))
    host.lvm.volumes[ROOT].filled, host.lvm.volumes[DATA].filled = root, data
    return host, wanted


def plan(host: FakeHost, wanted: Spec, **watch: object) -> Plan:
    return plan_watch(wanted, host.facts(wanted), Watch(**watch))


def whats(found: Plan) -> list[str]:
    assert found.refusals == ()
    return [step.what for step in found.steps]


def texts(found: Plan) -> str:
    return "\n".join(note.text for note in found.notes)


def leave(host: FakeHost, free: int) -> None:
    """Have the volume group keep so many bytes for us."""
    host.lvm.size = host.lvm.size - host.lvm.free + free + 10 * GIB


def test_one_that_fills_grows_and_the_others_stay() -> None:
    host, wanted = with_sized(root=71.0, data=69.9)
    assert whats(plan(host, wanted)) == [f"extend snapshot rl_build/{ROOT} from 400 MiB to 504 MiB"]
    reach(host, wanted, lambda s, f: plan_watch(s, f, Watch()))
    assert (host.lvm.volumes[ROOT].size, host.lvm.volumes[DATA].size) == (504 * MIB, 400 * MIB)
    assert plan(host, wanted).empty
    assert whats(plan(host, wanted, at=50, by=100)) == [
        f"extend snapshot rl_build/{DATA} from 400 MiB to 804 MiB",
        f"extend snapshot rl_build/{ROOT} from 504 MiB to 1012 MiB",
    ]


def test_one_that_is_nearly_full_grows_until_it_need_not_grow_at_once_again() -> None:
    host, wanted = with_sized(root=99.0)
    reach(host, wanted, lambda s, f: plan_watch(s, f, Watch()))
    assert host.lvm.volumes[ROOT].filled <= 63.0


def test_none_grows_beyond_what_its_disk_can_fill() -> None:
    host, wanted = with_sized(data=99.0)
    reach(host, wanted, lambda s, f: plan_watch(s, f, Watch(by=900)))
    assert host.lvm.volumes[DATA].size == GIB + 4 * MIB
    host.lvm.volumes[DATA].filled = 99.9
    assert plan(host, wanted).empty
    host.lvm.volumes[DATA].size = GIB
    assert len(plan(host, wanted).steps) == 1


def test_the_hosts_reserve_is_not_touched_and_the_fullest_comes_first() -> None:
    host, wanted = with_sized(root=75.0, data=80.0)
    leave(host, 110 * MIB)
    found = plan(host, wanted)
    assert whats(found) == [f"extend snapshot rl_build/{DATA} from 400 MiB to 508 MiB"]
    assert "should grow from 400 MiB to 632 MiB, but only 110 MiB may be used" in texts(found)
    assert f"snapshot {ROOT} is 75 % full" in texts(found)
    leave(host, 0)
    found = plan(host, wanted)
    assert found.empty
    assert len(found.notes) == 2


def test_one_that_got_full_is_told_and_left_alone() -> None:
    host, wanted = with_sized(root=100.0)
    host.lvm.volumes[ROOT].invalid = True
    found = plan(host, wanted)
    assert found.empty
    assert f"set {SET} is lost: the snapshot of root got full" in texts(found)
    assert f"kvmkeep snapshot delete web {SET}" in texts(found)


def test_only_snapshots_that_are_ours_complete_and_asked_for() -> None:
    host, wanted = with_sized(root=90.0)
    assert len(plan(host, wanted, guests=("web",)).steps) == 1
    assert plan(host, wanted, guests=("db",)).empty
    host.lvm.volumes[ROOT].tags.add("kvmkeep.state=partial")
    assert plan(host, wanted).empty
    host.lvm.volumes[ROOT].tags = {"backup", "kvmkeep"}
    assert plan(host, wanted).empty


def test_one_whose_disk_is_not_seen_is_left_alone() -> None:
    host, wanted = with_sized(root=90.0)
    facts = host.facts(wanted)
    volumes = tuple(one for one in facts.volumes if one.name != "vm-web")
    assert plan_watch(wanted, replace(facts, volumes=volumes), Watch()).steps == ()


def test_an_array_that_is_not_whole_does_not_cost_a_snapshot() -> None:
    host, wanted = with_sized(root=71.0)
    array = Array(name="md0", level="raid1", state=ArrayState.DEGRADED, members=("vda",), detail="")
    facts = replace(host.facts(wanted), arrays=(array,))
    assert len(whats(plan_watch(wanted, facts, Watch()))) == 1


def test_without_the_volume_group_nothing_is_planned() -> None:
    host, wanted = with_sized(root=90.0)
    found = plan_watch(wanted, replace(host.facts(wanted), groups=()), Watch())
    assert found.steps == ()
    assert "only 0 B may be used" in texts(found)


@pytest.mark.parametrize(("origin", "bound"), [(4, 8), (1 << 15, (1 << 15) + 8), (6, 12)])
def test_the_largest_size_holds_all_blocks_and_their_table(origin: int, bound: int) -> None:
    assert full_size(Size(origin * MIB), Size(4 * MIB)) == Size(bound * MIB)
