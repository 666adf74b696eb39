from __future__ import annotations

from dataclasses import replace

from kvmkeep.planning.snapshot_delete import plan_delete
from tests.unit.planning.rounds import carry_out, reach
from tests.unit.planning.test_snapshot_create import LATER, SET, sets, site, take


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


def test_sets_of_a_guest_that_the_spec_has_lost_can_be_deleted() -> None:
    host, wanted = site()
    take(host, wanted)
    reach(host, replace(wanted, guests=()), lambda s, f: plan_delete(s, f, "web", (SET,)))
    assert sets(host, wanted) == []
