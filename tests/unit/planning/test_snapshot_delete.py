from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from kvmkeep.planning.snapshots.delete import plan_delete, plan_delete_expired
from tests.unit.planning.rounds import carry_out, reach
from tests.unit.planning.sets import LATER, SET, sets, site, take


def test_only_the_set_goes_and_what_is_left_of_it_never_looks_good() -> None:
    host, wanted = site()
    take(host, wanted)
    take(host, wanted, moment=LATER)
    host.lvm.add(f"vm-web-logs-{SET}", 1 << 22)
    host.lvm.volumes[f"vm-web-logs-{SET}"].origin = "vm-web"
    plan = plan_delete(wanted, host.facts(wanted), "web", (SET,))
    for step in plan.steps:
        carry_out(host, step)
        assert (SET, "frozen", "") not in sets(host, wanted)
    assert sets(host, wanted) == [("20261123T071050Z", "frozen", "")]
    assert f"vm-web-logs-{SET}" in host.lvm.volumes
    assert plan_delete(wanted, host.facts(wanted), "web", (SET,)).empty


def test_what_is_half_deleted_is_deleted_by_the_next_create() -> None:
    host, wanted = site()
    take(host, wanted)
    mark, first, _ = plan_delete(wanted, host.facts(wanted), "web", (SET,)).steps
    carry_out(host, mark)
    carry_out(host, first)
    take(host, wanted, moment=LATER)
    assert sets(host, wanted) == [(SET, "frozen", "")]


def test_snapshot_in_use_is_refused() -> None:
    host, wanted = site()
    take(host, wanted)
    host.libvirt.domains["web"].live.find("devices/disk/source").set(
        "dev", f"/dev/rl_build/vm-web-{SET}"
    )
    (refusal,) = plan_delete(wanted, host.facts(wanted), "web", (SET,)).refusals
    assert "open" in refusal.reason


def test_the_set_of_a_backup_stays_while_it_is_at_work() -> None:
    host, wanted = site()
    take(host, wanted, repository="vault")
    facts = host.facts(wanted)
    assert plan_delete(wanted, facts, "web", (SET,)).refusals == ()
    busy = replace(facts, backups=replace(facts.backups, running=True))
    (refusal,) = plan_delete(wanted, busy, "web", (SET,)).refusals
    assert refusal.reason == f"its set {SET} is being backed up"
    assert "by itself" in refusal.hint


def test_sets_of_a_guest_that_the_spec_has_lost_can_be_deleted() -> None:
    host, wanted = site()
    take(host, wanted)
    reach(host, replace(wanted, guests=()), lambda s, f: plan_delete(s, f, "web", (SET,)))
    assert sets(host, wanted) == []


def test_only_sets_past_their_date_are_expired() -> None:
    host, wanted = site()
    take(host, wanted, expires="2026-11-24T00:00:00+00:00")
    take(host, wanted, moment=LATER)
    facts = host.facts(wanted)
    early, late = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)
    assert plan_delete_expired(wanted, facts, early).empty
    assert plan_delete_expired(wanted, facts, late, "db").empty
    for guest in ("", "web"):
        plan = plan_delete_expired(wanted, facts, late, guest)
        assert len(plan.steps) == 3
        assert all(SET in step.what for step in plan.steps)
    reach(host, wanted, lambda s, f: plan_delete_expired(s, f, late))
    assert sets(host, wanted) == [("20261123T071050Z", "frozen", "")]


def test_a_set_that_a_guest_is_on_its_way_back_to_is_refused() -> None:
    host, wanted = site()
    take(host, wanted)
    host.lvm.volumes["vm-web"].tags.add(f"kvmkeep.revert={SET}")
    (refusal,) = plan_delete(wanted, host.facts(wanted), "web", (SET,)).refusals
    assert "is not done" in refusal.reason
    assert f"kvmkeep snapshot revert web {SET}" in refusal.hint
