from __future__ import annotations

import pytest
from fakes.host import FakeHost
from fakes.virsh import FakeDomain
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import TAG_HELD
from kvmkeep.model.plan import Plan, Reason
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.snapshots.revert import plan_revert
from kvmkeep.planning.trash.moves import guests_volumes, trouble
from tests.unit.planning.build import GIB
from tests.unit.planning.rounds import StepError, carry_out, reach
from tests.unit.planning.sets import LATER, SET, sets, site, take

SNAP = f"vm-web-{SET}"
EARLIER = "2026-11-23T07:09:00+00:00"


def with_set() -> tuple[FakeHost, Spec]:
    """A running guest with a set, whose disks were written since."""
    host, wanted = site()
    take(host, wanted)
    for name in ("vm-web", "vm-web-data"):
        host.lvm.volumes[name].holds = b"new"
    return host, wanted


def reverted(host: FakeHost) -> bool:
    return all(host.lvm.volumes[name].holds != b"new" for name in ("vm-web", "vm-web-data"))


def revert(host: FakeHost, wanted: Spec, limit: int = 60) -> None:
    reach(host, wanted, lambda s, f: plan_revert(s, f, "web", SET, limit))


def reasons(plan: Plan) -> str:
    return "\n".join(f"{one.reason} ({one.hint})" for one in plan.refusals)


def refused(wanted: Spec, facts: Facts, limit: int = 60) -> str:
    plan = plan_revert(wanted, facts, "web", SET, limit)
    assert plan.steps == () or plan.refusals == ()
    return reasons(plan)


def changed(facts: Facts, name: str, **changes: object) -> Facts:
    volumes = tuple(replace(v, **changes) if v.name == name else v for v in facts.volumes)
    return replace(facts, volumes=volumes)


def test_running_guest_is_shut_down_taken_back_and_started() -> None:
    host, wanted = with_set()
    assert "--shutdown" in refused(wanted, host.facts(wanted), 0)
    for step in plan_revert(wanted, host.facts(wanted), "web", SET, 60).steps:
        carry_out(host, step)
    assert reverted(host)
    assert host.libvirt.domains["web"].state == "running"
    assert plan_revert(wanted, host.facts(wanted), "web", SET, 60).empty
    assert sets(host, wanted) == []
    assert {tag for one in host.lvm.volumes.values() for tag in one.tags} == {
        "kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=root", "kvmkeep.disk=data",
    }  # fmt: skip


@pytest.mark.parametrize("paused", [False, True])
def test_one_that_a_killed_run_has_left_held_is_let_go_before_it_shuts_down(
    *, paused: bool
) -> None:
    host, wanted = with_set()
    domain, tags = host.libvirt.domains["web"], host.lvm.volumes["vm-web"].tags
    tags.add(f"{TAG_HELD}frozen")
    domain.frozen, domain.paused = True, paused
    first, *_ = plan_revert(wanted, host.facts(wanted), "web", SET, 60).steps
    carry_out(host, first)
    assert (domain.state, domain.frozen) == ("running", False)
    assert f"{TAG_HELD}frozen" not in tags
    revert(host, wanted)
    assert reverted(host)


def test_an_agent_that_comes_back_frozen_is_thawed() -> None:
    host, wanted = with_set()
    boots = host.libvirt.boots

    def frozen(domain: FakeDomain) -> str:
        domain.frozen = True
        return boots(domain)

    host.libvirt.boots = frozen
    revert(host, wanted)
    assert host.libvirt.domains["web"].frozen is False


def test_guest_that_is_off_stays_off() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    revert(host, wanted, 0)
    assert reverted(host)
    assert host.libvirt.domains["web"].state == "shut off"


def test_a_disk_that_is_younger_than_the_set_is_told() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    assert plan_revert(wanted, host.facts(wanted), "web", SET).notes == ()
    del host.lvm.volumes[f"vm-web-data-{SET}"]
    root = host.lvm.volumes[SNAP]
    root.tags = {one for one in root.tags if "members" not in one} | {"kvmkeep.members=1"}
    (note,) = plan_revert(wanted, host.facts(wanted), "web", SET).notes
    assert note.text.startswith(f"its disk data: it is not in the set {SET}, and stays as it is")
    revert(host, wanted, 0)
    assert host.lvm.volumes["vm-web-data"].holds == b"new"


def overflow(host: FakeHost) -> None:
    host.lvm.volumes[SNAP].invalid = True


def as_it_was(host: FakeHost) -> bool:
    """Whether the guest runs on the disks that it had, and nothing of the revert is left."""
    tags = {tag for one in host.lvm.volumes.values() for tag in one.tags if not one.origin}
    names = ("vm-web", "vm-web-data")
    return (
        all(host.lvm.volumes[name].holds == b"new" for name in names)
        and host.libvirt.domains["web"].state == "running"
        and not [tag for tag in tags if tag.startswith(("kvmkeep.revert", "kvmkeep.start"))]
    )


def give_up(host: FakeHost, wanted: Spec) -> None:
    plan = plan_revert(wanted, host.facts(wanted), "web", SET, 60)
    assert plan.refusals == ()
    assert f"kvmkeep snapshot delete web {SET}" in plan.notes[0].text
    for step in plan.steps:
        carry_out(host, step)
    assert as_it_was(host)
    assert "no good: invalid" in refused(wanted, host.facts(wanted))


def test_a_set_that_is_lost_while_the_guest_shuts_down_stops_the_revert_before_the_marks() -> None:
    host, wanted = with_set()
    shutdown, mark, *_ = plan_revert(wanted, host.facts(wanted), "web", SET, 60).steps
    carry_out(host, shutdown)
    overflow(host)
    with pytest.raises(StepError, match="snapshot invalid"):
        carry_out(host, mark)
    assert host.libvirt.domains["web"].state == "shut off"
    assert not [one for one in host.lvm.volumes.values() if f"kvmkeep.revert={SET}" in one.tags]
    give_up(host, wanted)


@pytest.mark.parametrize("running", [False, True])
def test_a_set_that_is_lost_before_any_disk_is_back_is_given_up(*, running: bool) -> None:
    host, wanted = with_set()
    shutdown, mark, merge, *_ = plan_revert(wanted, host.facts(wanted), "web", SET, 60).steps
    carry_out(host, shutdown)
    carry_out(host, mark)
    overflow(host)
    with pytest.raises(StepError, match="invalidated"):
        carry_out(host, merge)
    if running:
        assert host.run(Command(argv=("virsh", "start", "--", "web"), why="")).ok
    assert not as_it_was(host)
    give_up(host, wanted)


def test_a_guest_that_was_off_stays_off_where_its_revert_is_given_up() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    carry_out(host, plan_revert(wanted, host.facts(wanted), "web", SET).steps[0])
    overflow(host)
    (step,) = plan_revert(wanted, host.facts(wanted), "web", SET).steps
    carry_out(host, step)
    assert host.libvirt.domains["web"].state == "shut off"
    assert plan_start(wanted, host.facts(wanted), ("web",)).refusals == ()


def test_a_revert_is_given_up_only_while_the_lost_snapshot_is_there() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    carry_out(host, plan_revert(wanted, host.facts(wanted), "web", SET).steps[0])
    lost = f"vm-web-data-{SET}"
    host.lvm.volumes[lost].invalid = True
    (step,) = plan_revert(wanted, host.facts(wanted), "web", SET).steps
    assert step.why == f"{lost} got full before any disk went back"
    del host.lvm.volumes[lost]
    with pytest.raises(StepError):
        carry_out(host, step)
    assert f"kvmkeep.revert={SET}" in host.lvm.volumes["vm-web"].tags


def test_disks_of_two_times_may_go_for_a_backup_once_the_set_is_lost() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    for step in plan_revert(wanted, host.facts(wanted), "web", SET).steps[:2]:
        carry_out(host, step)
    (left,) = [one for one in host.lvm.volumes.values() if one.origin]

    def in_the_way() -> list[Reason]:
        facts = host.facts(wanted)
        scene = make_scene(wanted, facts, wanted.guests)
        found = guests_volumes(scene, "web")
        return [why for one in found for why in trouble(scene, one, "web", running=False)]

    host.lvm.volumes["vm-web"].merging = ""
    assert "being reverted" in in_the_way()[0][0]
    anothers = host.lvm.add("vm-db-lost", GIB, "kvmkeep", "kvmkeep.guest=db", f"kvmkeep.set={SET}")
    older = host.lvm.add("older", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.set=older")
    anothers.invalid = older.invalid = True
    assert "being reverted" in in_the_way()[0][0]
    left.invalid = True
    assert in_the_way() == []
    assert "kvmkeep backup restore web" in refused(wanted, host.facts(wanted))
    host.lvm.volumes["vm-web"].merging = SNAP
    assert "being reverted" in in_the_way()[0][0]


def test_guest_that_does_not_go_down_is_left_as_it_is() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].ignores_shutdown = True
    with pytest.raises(StepError, match="to shut down"):
        revert(host, wanted)
    assert host.libvirt.domains["web"].state == "running"
    assert sets(host, wanted) == [(SET, "frozen", "")]


def test_a_merge_that_only_waits_does_not_let_the_guest_start() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    steps = plan_revert(wanted, host.facts(wanted), "web", SET).steps
    for step in steps[:-2]:
        carry_out(host, step)
    opened, host.lvm.is_open = host.lvm.is_open, lambda _name: True
    carry_out(host, steps[-2])
    with pytest.raises(StepError, match="to begin"):
        carry_out(host, steps[-1])
    assert not reverted(host)
    text = reasons(plan_start(wanted, host.facts(wanted), ("web",)))
    assert f"kvmkeep snapshot revert web {SET}" in text
    host.lvm.is_open = opened
    revert(host, wanted)
    assert reverted(host)


def inactive(host: FakeHost) -> None:
    host.libvirt.domains["web"].live = None
    for volume in host.lvm.volumes.values():
        volume.active = False


def test_disks_that_are_not_active_go_back_as_well() -> None:
    host, wanted = with_set()
    inactive(host)
    revert(host, wanted, 0)
    assert reverted(host)
    assert not [one for one in host.lvm.volumes.values() if f"kvmkeep.revert={SET}" in one.tags]


def test_merges_that_wait_for_disks_to_be_active_are_begun_by_the_next_run() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    *marked, _, _, _ = plan_revert(wanted, host.facts(wanted), "web", SET).steps
    for step in marked:
        carry_out(host, step)
    inactive(host)
    activate, *merges, _ = plan_revert(wanted, host.facts(wanted), "web", SET).steps
    assert activate.what == "activate its disks"
    for step in merges:
        carry_out(host, step)
    assert not reverted(host)
    revert(host, wanted, 0)
    assert reverted(host)


def test_a_set_that_is_lost_is_seen_once_the_disks_are_active() -> None:
    host, wanted = with_set()
    inactive(host)
    overflow(host)
    activate, mark, *_ = plan_revert(wanted, host.facts(wanted), "web", SET).steps
    carry_out(host, activate)
    with pytest.raises(StepError, match="snapshot invalid"):
        carry_out(host, mark)


def test_a_merge_that_waits_for_somebody_else_is_told_before_a_start() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].live = None
    volume = host.lvm.volumes["vm-web-data"]
    volume.merging, volume.waits = "of-somebody", True
    for active, line in ((True, "--refresh"), (False, "--activate y")):
        volume.active = active
        told = reasons(plan_start(wanted, host.facts(wanted), ("web",)))
        assert f"lvchange {line} rl_build/vm-web-data" in told


def test_guest_that_was_started_by_hand_after_its_revert_is_only_forgotten() -> None:
    host, wanted = site()
    host.lvm.volumes["vm-web"].tags.add("kvmkeep.start=after-revert")
    (step,) = plan_revert(wanted, host.facts(wanted), "web", SET).steps
    assert step.what == "forget that it was to be started"
    host.libvirt.domains["web"].live = None
    revert(host, wanted)
    assert host.libvirt.domains["web"].state == "running"


def test_what_is_no_good_is_refused_before_anything_is_begun() -> None:
    host, wanted = with_set()
    host.libvirt.domains["web"].live = None
    facts = host.facts(wanted)
    assert refused(wanted, facts) == ""
    assert "no good: invalid" in refused(wanted, changed(facts, SNAP, invalid=True))
    assert "something has vm-web open" in refused(wanted, changed(facts, "vm-web", opened=True))
    assert f"{SNAP} open" in refused(wanted, changed(facts, SNAP, opened=True))
    assert "is still merging" in refused(wanted, changed(facts, "vm-web", merging=True))
    assert "failed" in refused(wanted, changed(facts, "vm-web", merge_failed=True))
    assert "no disk of this guest" in refused(wanted, changed(facts, SNAP, origin="vm-old"))
    tags = ("kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=root")
    other = changed(facts, "vm-web", tags=(*tags, "kvmkeep.revert=20200101T0000Z"))
    assert "being reverted to 20200101T0000Z" in refused(wanted, other)
    begun = changed(facts, "vm-web", tags=(*tags, f"kvmkeep.revert={SET}"))
    merging = changed(changed(begun, SNAP, invalid=True), "vm-web-data", merging=True)
    assert "has become invalid" in refused(wanted, merging)
    domain = facts.domain("web")
    assert domain is not None
    for state, given, text in (
        (DomainState.RUNNING, begun, "in the middle of its revert"),
        (DomainState.PAUSED, facts, "it is paused"),
    ):
        found = replace(given, domains=(replace(domain, state=state),))
        assert text in refused(wanted, found)
    assert "is not ours" in refused(wanted, replace(facts, domains=(replace(domain, ours=False),)))
    assert "no such guest" in reasons(plan_revert(wanted, facts, "nobody", SET))


def test_a_set_that_a_merge_would_overfill_is_not_lost_in_silence() -> None:
    host, wanted = with_set()
    take(host, wanted, moment=LATER, size=Size(400 << 20))
    (later,) = [name for name, _, _ in sets(host, wanted) if name != SET]
    member, other = host.lvm.volumes[SNAP], host.lvm.volumes[f"vm-web-{later}"]
    member.filled = 5.0
    assert refused(wanted, host.facts(wanted)) == ""
    member.filled, other.filled = 9.3, 50.0
    told = refused(wanted, host.facts(wanted))
    assert f"the set {later} may be lost by it: up to " in told
    assert f"kvmkeep snapshot delete web {later}" in told
    line = told.partition("extend it first: ")[2].partition(";")[0]
    assert host.run(Command(argv=tuple(line.split()), why="")).ok
    assert refused(wanted, host.facts(wanted)) == ""
    other.filled = 99.0
    assert refused(wanted, host.facts(wanted))
    # One that has begun can only go on: half of its disks may be back already.
    off = host.facts(wanted)
    off = replace(off, domains=tuple(replace(d, state=DomainState.SHUTOFF) for d in off.domains))
    root = host.lvm.volumes["vm-web"]
    begun = changed(off, "vm-web", tags=(*sorted(root.tags), f"kvmkeep.revert={SET}"))
    assert "may be lost by it" in refused(wanted, off)
    assert "may be lost by it" not in refused(wanted, begun)
    other.size = host.lvm.volumes["vm-web"].size
    assert refused(wanted, host.facts(wanted)) == ""


def test_an_older_set_has_all_that_a_merge_overwrites() -> None:
    """What is in the newer set was written after both: LVM had it copied into either."""
    host, wanted = site()
    take(host, wanted, moment=EARLIER, size=Size(400 << 20))
    take(host, wanted)
    (earlier,) = [name for name, _, _ in sets(host, wanted) if name != SET]
    host.lvm.volumes[SNAP].filled, host.lvm.volumes[f"vm-web-{earlier}"].filled = 90.0, 99.0
    assert refused(wanted, host.facts(wanted)) == ""


def test_set_that_is_gone_is_nothing_to_do_and_other_sets_stay() -> None:
    host, wanted = with_set()
    take(host, wanted, moment=LATER)
    revert(host, wanted)
    assert plan_revert(wanted, host.facts(wanted), "web", SET).empty
    assert sets(host, wanted) == [("20261123T071050Z", "frozen", "")]


KEPT = "20261123T0812Z"


def keeping(wanted: Spec, facts: Facts) -> Plan:
    return plan_revert(wanted, facts, "web", SET, 60, keep="2026-11-23T08:12:00+00:00")


def test_what_a_revert_takes_away_is_kept_as_a_set_to_go_back_to() -> None:
    host, wanted = with_set()
    (note,) = keeping(wanted, host.facts(wanted)).notes
    assert KEPT in note.text
    reach(host, wanted, keeping)
    assert reverted(host)
    assert sets(host, wanted) == [(KEPT, "off", "")]
    assert host.libvirt.domains["web"].state == "running"
    reach(host, wanted, lambda s, f: plan_revert(s, f, "web", KEPT, 60))
    assert not reverted(host)


def test_what_is_kept_is_taken_of_the_guest_that_is_off_and_marked() -> None:
    host, wanted = with_set()
    steps = keeping(wanted, host.facts(wanted)).steps
    (at,) = [n for n, step in enumerate(steps) if step.what.startswith(f"take set {KEPT}")]
    for step in steps[:at]:
        carry_out(host, step)
    assert host.libvirt.domains["web"].state == "shut off"
    assert f"its revert to {SET}" in reasons(plan_start(wanted, host.facts(wanted), ("web",)))
    assert "while the guest is off" in steps[at].what


def test_a_half_kept_state_is_taken_again_and_a_kept_one_is_not() -> None:
    host, wanted = with_set()
    steps = keeping(wanted, host.facts(wanted)).steps
    (at,) = [n for n, step in enumerate(steps) if step.what.startswith(f"take set {KEPT}")]
    for step in steps[: at + 1]:
        carry_out(host, step)
    again = keeping(wanted, host.facts(wanted))
    assert [step.what for step in again.steps if "delete snapshot" in step.what]
    for step in again.steps:
        carry_out(host, step)
        if "as complete" in step.what:
            break
    assert sets(host, wanted) == [(SET, "frozen", ""), (KEPT, "off", "")]
    third = keeping(wanted, host.facts(wanted))
    assert not [step for step in third.steps if "take set" in step.what]
    assert KEPT in third.notes[0].text
    reach(host, wanted, keeping)
    assert sets(host, wanted) == [(KEPT, "off", "")]


def test_what_can_not_be_kept_is_refused_before_anything_is_begun() -> None:
    host, wanted = with_set()
    host.lvm.size = host.lvm.size - host.lvm.free + 12 * GIB
    text = reasons(keeping(wanted, host.facts(wanted)))
    assert "the set needs" in text
    assert "leave --keep out" in text
    host, wanted = with_set()
    steps = plan_revert(wanted, host.facts(wanted), "web", SET, 60).steps
    for step in steps[:3]:
        carry_out(host, step)
    assert "there is nothing to be kept" in reasons(keeping(wanted, host.facts(wanted)))
