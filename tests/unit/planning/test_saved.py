"""A guest that is off with its memory saved: its disks and its definition stay as they are."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan
from kvmkeep.model.run import ReadyConsole
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.backups.restore import plan_restore
from kvmkeep.planning.backups.restoring import BackupRestoreRequest
from kvmkeep.planning.clones.clone import Cloning, plan_clone
from kvmkeep.planning.clones.origin import Wanted
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.offline.disk import writing_refusals
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.watch import plan_look_after
from kvmkeep.planning.scene import make_scene
from kvmkeep.planning.snapshots.create import plan_create
from kvmkeep.planning.snapshots.revert import plan_revert
from kvmkeep.planning.trash.remove import Removing, plan_remove
from kvmkeep.planning.trash.remove_disk import RemovingDisk, plan_remove_disk
from tests.unit.planning.build import GIB, guest, spec
from tests.unit.planning.proven import site_with_backup
from tests.unit.planning.rounds import reach
from tests.unit.planning.sets import LATER, MOMENT, SET, sets, site, take, wish

FILE = "/etc/kvmkeep/guests/web.yaml"
GOES_ON = "its memory was saved (virsh managedsave): it does not boot, but goes on from there"


def saved() -> tuple[FakeHost, Spec]:
    """A guest with a set, whose memory was saved after that."""
    host, wanted = site()
    take(host, wanted)
    save(host)
    return host, wanted


def save(host: FakeHost, why: str = "saved") -> None:
    domain = host.libvirt.domains["web"]
    domain.end(why)
    domain.saved = True


def reasons(plan: Plan) -> str:
    assert not plan.steps or not plan.refusals
    return "\n".join(f"{one.reason} ({one.hint})" for one in plan.refusals)


def notes(plan: Plan) -> list[str]:
    return [note.text for note in plan.notes]


def test_nothing_writes_to_its_disks_or_changes_its_name() -> None:
    host, wanted = saved()
    facts = host.facts(wanted)
    names = Renaming(old=GuestName("web"), new=GuestName("shop"), file=FILE, takes_identity=True)
    removing = Removing(guest="web", moment=MOMENT, file=FILE, limit=60)
    disk = RemovingDisk(guest="web", disk="old", moment=MOMENT)
    host.lvm.add("vm-web-old", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=old")
    plans = (
        plan_revert(wanted, facts, "web", SET, 60),
        plan_remove(wanted, facts, removing),
        plan_remove_disk(wanted, host.facts(wanted), disk),
        plan_rename(wanted, facts, names),
        Plan(refusals=writing_refusals(make_scene(wanted, facts, wanted.guests), wanted.guests[0])),
    )
    for plan in plans:
        text = reasons(plan)
        assert "its memory is saved" in text
        assert "virsh managedsave-remove web" in text
        assert "kvmkeep start web; kvmkeep shutdown web" in text


def test_its_disks_do_not_come_back_from_a_backup() -> None:
    host, wanted, subject = site_with_backup()
    save(host)
    (one,) = wanted.guests
    asked = BackupRestoreRequest(subject=subject, guest=one, asked=MOMENT)
    assert "its memory is saved" in reasons(plan_restore(wanted, host.facts(wanted), asked))


def test_a_set_of_it_is_as_after_a_power_cut() -> None:
    host, wanted = saved()
    plan = plan_create(wanted, host.facts(wanted), wish(moment=LATER))
    assert "its memory is saved (virsh managedsave): the set will be as after a" in notes(plan)[0]
    assert any("while the guest is off, but as after a power cut" in one.what for one in plan.steps)
    take(host, wanted, moment=LATER)
    assert [level for _, level, _ in sets(host, wanted)] == ["frozen", "crash"]
    assert host.libvirt.domains["web"].state == "shut off"


def test_a_set_beside_something_that_has_its_disk_open_is_as_after_a_power_cut() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].end("shutdown")

    def beside(one: Spec, facts: Facts) -> Plan:
        volumes = (replace(v, opened=v.name == "vm-web-data") for v in facts.volumes)
        return plan_create(one, replace(facts, volumes=tuple(volumes)), wish())

    plan = beside(wanted, host.facts(wanted))
    assert "something has rl_build/vm-web-data open: the set will be as after" in notes(plan)[0]
    reach(host, wanted, beside)
    take(host, wanted, moment=LATER)
    assert [level for _, level, _ in sets(host, wanted)] == ["crash", "off"]


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_clone_of_its_disks_is_as_after_a_power_cut(*, is_saved: bool) -> None:
    host, wanted = site()
    save(host)
    host.libvirt.domains["web"].saved = is_saved
    twin = guest("twin", data=GIB)
    cloning = Cloning(
        source=GuestName("web"), clone=twin, file="/etc/kvmkeep/guests/twin.yaml", content=b"",
        wanted=Wanted(moment=MOMENT),
    )  # fmt: skip
    plan = plan_clone(wanted, host.facts(wanted), cloning)
    assert ("its disks are as after a power cut" in "".join(notes(plan))) is is_saved


def test_its_start_goes_on_from_that_memory() -> None:
    host, wanted = saved()
    plan = plan_start(wanted, host.facts(wanted), ("web",))
    assert notes(plan) == [GOES_ON]
    reach(host, wanted, lambda s, f: plan_start(s, f, ("web",)))
    domain = host.libvirt.domains["web"]
    assert (domain.state, domain.saved) == ("running", False)
    assert notes(plan_start(wanted, host.facts(wanted), ("web",))) == []


def test_what_its_console_said_before_still_counts() -> None:
    host, wanted = saved()
    wanted = spec(guest("web", data=GIB, ready=ReadyConsole(pattern="login:")))
    ran = [
        str(action)
        for step in plan_start(wanted, host.facts(wanted), ("web",)).steps
        for action in step.actions
    ]
    assert not any(line.startswith("mv ") for line in ran)


def test_recovery_and_the_watch_let_it_go_on() -> None:
    host, wanted = saved()
    save(host, "unknown")
    host.libvirt.domains["web"].autostart = True
    assert GOES_ON in notes(recovery(wanted, host.facts(wanted)).plan)
    assert GOES_ON in notes(plan_look_after(wanted, host.facts(wanted)))
