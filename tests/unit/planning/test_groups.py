"""What LVM refuses while physical volumes are missing is refused before anything is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.facts import ArrayState, Facts
from kvmkeep.model.names import TAG_HELD
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FileDisk, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.snapshots.create import plan_create
from kvmkeep.planning.snapshots.delete import plan_delete
from kvmkeep.planning.snapshots.revert import plan_revert
from kvmkeep.planning.trash.remove import Removing, plan_remove
from tests.unit.planning.build import GIB, guest, spec
from tests.unit.planning.sets import LATER, MOMENT, SET, site, take, wish
from tests.unit.planning.test_trash import restores, trashed

Planner = Callable[[Spec, Facts], Plan]
MISSING = "1 of its physical volumes are missing"


def partial(host: FakeHost, wanted: Spec) -> Facts:
    facts = host.facts(wanted)
    return replace(facts, groups=(replace(facts.groups[0], missing_pvs=1),))


def with_set() -> tuple[FakeHost, Spec]:
    host, wanted = site()
    take(host, wanted)
    return host, wanted


def reverts(keep: str = "") -> Planner:
    return lambda s, f: plan_revert(s, f, "web", SET, 60, keep=keep)


def removes(wanted: Spec, facts: Facts) -> Plan:
    return plan_remove(wanted, facts, Removing(guest="web", moment=MOMENT, limit=60))


def renames(wanted: Spec, facts: Facts) -> Plan:
    names = Renaming(
        old=GuestName("web"),
        new=GuestName("shop"),
        file="/etc/kvmkeep/guests/web.yaml",
        takes_identity=True,
    )
    return plan_rename(wanted, facts, names)


def creates(moment: str) -> Planner:
    return lambda s, f: plan_create(s, f, wish(moment=moment))


@pytest.mark.parametrize("planner", [creates(LATER), reverts(), reverts(LATER), removes])
def test_no_guest_is_frozen_or_shut_down_for_what_lvm_refuses(planner: Planner) -> None:
    host, wanted = with_set()
    assert planner(wanted, host.facts(wanted)).refusals == ()
    found = planner(wanted, partial(host, wanted))
    (refusal,) = found.refusals
    assert (refusal.reason, refusal.unready) == (MISSING, True)
    assert "vgdisplay rl_build" in refusal.hint


def test_no_guest_is_half_renamed_or_half_taken_back_from_the_trash() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].live = None
    host.put("/etc/kvmkeep/guests/web.yaml", b"image: debian\n")
    assert renames(wanted, host.facts(wanted)).refusals == ()
    assert MISSING in [one.reason for one in renames(wanted, partial(host, wanted)).refusals]
    host, without, _ = trashed()
    groups = partial(host, without).groups
    assert MISSING in [one.reason for one in restores(host, without, groups=groups).refusals]


def test_what_lvm_does_all_the_same_is_not_refused() -> None:
    host, wanted = with_set()
    facts = partial(host, wanted)
    assert plan_create(wanted, facts, wish()).empty
    deleting = plan_delete(wanted, facts, "web", (SET,))
    assert (deleting.refusals, len(deleting.steps)) == ((), 3)
    host.lvm.volumes["vm-web"].tags.add(f"{TAG_HELD}frozen")
    found = plan_create(wanted, partial(host, wanted), wish())
    assert [step.what for step in found.steps] == ["let the guest go on"]
    assert found.refusals == ()


def test_a_file_is_made_whatever_the_volume_group() -> None:
    host, wanted = site()
    host.mounts.add("/data")
    far = FileDisk(name=Label("far"), size=Size(GIB), path="/data/far.img", mount="/data")
    one = wanted.guests[0]
    more = replace(wanted, guests=(replace(one, disks=(*one.disks, far)),))
    found = make_plan(more, partial(host, more))
    assert any("/data/far.img" in step.what for step in found.steps)
    assert found.refusals == ()
    both = spec(*more.guests, guest("new"))
    assert MISSING in [one.reason for one in make_plan(both, partial(host, both)).refusals]


def test_a_snapshot_is_taken_while_an_array_is_mended() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    sick = replace(facts.arrays[0], state=ArrayState.RESYNCING)
    assert plan_create(wanted, replace(facts, arrays=(sick,)), wish()).refusals == ()
