"""A file that does not answer, on a dead NFS server: it is not gone, and costs no other guest."""

from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.facts import GROUPS, LIBVIRT, VOLUMES, Facts, Problem
from kvmkeep.model.names import BACKUP_LOCK, VERDICT_DIR
from kvmkeep.model.plan import Plan
from kvmkeep.model.snapshot import snapshot_sets
from kvmkeep.model.spec import FileDisk, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.backups.forget import Forgetting, plan_forget
from kvmkeep.planning.backups.init import plan_init
from kvmkeep.planning.backups.restore import plan_restore
from kvmkeep.planning.backups.restoring import BackupRestoreRequest
from kvmkeep.planning.backups.take import Beginning, plan_drop, plan_take
from kvmkeep.planning.backups.upkeep import plan_prune
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.watch import plan_look_after
from kvmkeep.planning.snapshots.create import plan_create
from kvmkeep.planning.snapshots.delete import plan_delete
from tests.unit.planning.build import GIB, IMAGE, POLICY, VAULT, guest, spec
from tests.unit.planning.proven import prover, site_with_backup
from tests.unit.planning.rounds import reach
from tests.unit.planning.sets import wish
from tests.unit.planning.test_backup import store
from tests.unit.planning.test_backup_copy_out import planner as copying
from tests.unit.planning.test_snapshot_watch import ROOT, with_sized

MOMENT = "2026-11-23T07:10:34+00:00"
FAR = FileDisk(name=Label("far"), size=Size(GIB), path="/data/far.img", mount="/data")
NEAR = guest("web", backup=POLICY)
AWAY = guest("db", disks=(*guest("db").disks, FAR))
SPEC = spec(NEAR, AWAY, repositories=(VAULT,))


def site() -> FakeHost:
    host = FakeHost()
    host.lvm.size <<= 2
    host.mounts.add("/data")
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, SPEC)
    for name in ("host.yaml", "guests/host.yaml"):
        host.put(f"/etc/kvmkeep/{name}", b"x: y\n")
    reach(host, SPEC, lambda s, f: plan_init(s, f, VAULT))
    return host


def hung(facts: Facts, what: str = FAR.path) -> Facts:
    """Return the facts where something does not answer; what can't be seen is not there."""
    problem = Problem(what=what, reason="it did not answer in time", hint="look at it")
    files = tuple(one for one in facts.disk_files if one.path != what)
    return replace(facts, disk_files=files, problems=(problem,))


def reasons(plan: Plan) -> list[str]:
    return [one.reason for one in plan.refusals]


def test_it_is_neither_gone_nor_made_anew() -> None:
    host = site()
    plan = make_plan(SPEC, hung(host.facts(SPEC)))
    assert reasons(plan) == ["it did not answer in time"]
    assert plan.steps == ()


def test_another_guest_is_backed_up_all_the_same() -> None:
    host = site()

    def take(wanted: Spec, facts: Facts) -> Plan:
        return plan_take(wanted, hung(facts), Beginning(guest=NEAR.name, moment=MOMENT))

    reach(host, SPEC, take)
    reach(host, SPEC, lambda s, f: store(s, hung(f)))
    assert [one for one in host.restic.listed(VAULT.url) if "manifest" in one.tags]
    reach(host, SPEC, lambda s, f: plan_drop(s, hung(f)))
    assert not [one for one in host.lvm.volumes.values() if one.origin]


@pytest.mark.parametrize("what", [FAR.path, GROUPS, VOLUMES, LIBVIRT, "domain web", "domain db"])
def test_a_set_needs_what_its_guest_rests_on(what: str) -> None:
    host = site()
    away = make = wish(guests=(str(AWAY.name),))
    assert plan_create(SPEC, hung(host.facts(SPEC), "/data/other.img"), away).refusals == ()
    assert "it did not answer in time" in reasons(
        plan_create(SPEC, hung(host.facts(SPEC), what), make)
    )


@pytest.mark.parametrize("what", [GROUPS, VOLUMES, LIBVIRT, "domain db", BACKUP_LOCK])
def test_a_set_goes_unless_what_it_rests_on_is_not_seen(what: str) -> None:
    host = site()
    reach(host, SPEC, lambda s, f: plan_create(s, f, wish(guests=(str(NEAR.name),))))
    (made,) = {one.name for one in snapshot_sets(host.facts(SPEC).volumes, SPEC.storage.vg)}
    plan = plan_delete(SPEC, hung(host.facts(SPEC), what), NEAR.name, (made,))
    assert reasons(plan) == ["it did not answer in time"]
    plan = plan_delete(SPEC, hung(host.facts(SPEC)), NEAR.name, (made,))
    assert (reasons(plan), len(plan.steps) > 0) == ([], True)


def test_what_reads_a_backup_needs_no_file_of_another_guest() -> None:
    host, site, subject = site_with_backup()
    (web,) = site.guests
    both = replace(site, guests=(web, AWAY))
    host.libvirt.domains["web"].end("shutdown")
    restoring = BackupRestoreRequest(subject=subject, guest=web, asked="2026-11-27T14:00:00Z")
    for planner in (
        prover(host, subject),
        copying(host, subject),
        lambda s, f: plan_restore(s, f, restoring),
        lambda s, f: plan_prune(s, f, "2026-11-27T12:00:00+00:00"),
    ):
        facts = host.facts(both)
        told = reasons(planner(both, facts))
        assert told == reasons(planner(both, hung(facts)))
        assert told == reasons(planner(both, hung(facts, IMAGE.source)))
        for what in (GROUPS, LIBVIRT, BACKUP_LOCK):
            assert "it did not answer in time" in reasons(planner(both, hung(facts, what)))
    own = replace(web, disks=(*web.disks, FAR))
    facts = hung(host.facts(both))
    plan = plan_restore(replace(both, guests=(own,)), facts, replace(restoring, guest=own))
    assert "it did not answer in time" in reasons(plan)


@pytest.mark.parametrize(
    ("what", "needed"),
    [
        (FAR.path, False), (GROUPS, False), (VOLUMES, False), (LIBVIRT, False),
        ("domain web", False), (BACKUP_LOCK, False), (f"{VERDICT_DIR}.old", False),
        (VERDICT_DIR, True), (f"{VERDICT_DIR}/web", True),
        (f"{VERDICT_DIR}/web/20261127T1240Z.json", True),
    ],
)  # fmt: skip
def test_to_forget_backups_only_their_proofs_are_needed(what: str, *, needed: bool) -> None:
    host = site()
    begun = Beginning(guest=NEAR.name, moment=MOMENT)
    reach(host, SPEC, lambda s, f: plan_take(s, f, begun))
    reach(host, SPEC, store)
    host.restic.listed(VAULT.url).pop()  # a set without its manifest is to be forgotten
    forgetting = Forgetting(guests=(NEAR.name,), now="2026-11-27T14:00:00+00:00")
    plan = plan_forget(SPEC, hung(host.facts(SPEC), what), forgetting)
    assert reasons(plan) == (["it did not answer in time"] if needed else [])
    assert len(plan.steps) == 1


@pytest.mark.parametrize(("what", "count"), [(FAR.path, 1), (GROUPS, 0)])
def test_a_snapshot_that_fills_grows(what: str, count: int) -> None:
    host, wanted = with_sized(root=71.0)
    plan = plan_look_after(wanted, hung(host.facts(wanted), what))
    assert (
        len([one for one in plan.steps if f"extend snapshot rl_build/{ROOT}" in one.what]) == count
    )
    assert len([one for one in plan.notes if one.subject == what]) == 1


@pytest.mark.parametrize(("what", "count"), [(FAR.path, 2), (BACKUP_LOCK, 0), (GROUPS, 0)])
def test_what_a_dead_backup_left_goes_unless_one_may_be_at_work(what: str, count: int) -> None:
    host = site()
    begun = Beginning(guest=GuestName("web"), moment=MOMENT)
    reach(host, SPEC, lambda s, f: plan_take(s, f, begun))
    assert len(plan_look_after(SPEC, hung(host.facts(SPEC), what)).steps) == count
