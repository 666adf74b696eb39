"""A disk that something on the host has open: its guest is not started beside that."""

from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.names import lv_tags
from kvmkeep.model.plan import Step
from kvmkeep.model.spec import FileDisk, LvDisk, Spec
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.reboot import plan_cold_reboot
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.watch import plan_look_after
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.cut_off import cut, site
from tests.unit.planning.rounds import StepError, carry_out, plan_recover, reach

REASON = "it is off, but something has rl_build/vm-db open"


@pytest.fixture
def cut_off() -> tuple[FakeHost, Spec]:
    return site()


@pytest.fixture
def half_made() -> tuple[FakeHost, Spec]:
    """A guest that went off in its first boot."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest("db", data=GIB))
    host.libvirt.silent_agents.add("db")
    with pytest.raises(StepError, match="agent"):
        reach(host, wanted)
    host.libvirt.silent_agents.clear()
    cut(host)
    return host, wanted


def subjects(steps: tuple[Step, ...]) -> set[str]:
    return {step.subject.removeprefix("guest ") for step in steps}


def test_start_refuses_it_and_says_how_to_find_who(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    host.held.add("vm-db")
    (one,) = plan_start(wanted, host.facts(wanted), ("db",)).refusals
    assert (one.subject, one.reason) == ("guest db", REASON)
    assert "/dev/rl_build/vm-db" in one.hint
    assert not plan_start(wanted, host.facts(wanted), ("lone",)).refusals
    host.held.clear()
    reach(host, wanted, lambda s, f: plan_start(s, f, ("db",)))
    assert host.libvirt.domains["db"].state == "running"


def test_what_runs_has_its_own_disk_open(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    reach(host, wanted, plan_recover)
    host.held.add("vm-db")
    assert plan_start(wanted, host.facts(wanted), ("db",)).empty
    assert recovery(wanted, host.facts(wanted)).held_back == ()


def test_a_disk_that_is_opened_after_the_look_is_waited_for(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    (_, step) = plan_start(wanted, host.facts(wanted), ("db",)).steps
    host.held.add("vm-db")
    with pytest.raises(StepError, match="nothing to have rl_build/vm-db open"):
        carry_out(host, step)
    assert host.libvirt.domains["db"].state == "shut off"
    asked = len(_asked(host))
    host.events[len(host.calls) + len(step.actions) + 5] = host.held.clear
    carry_out(host, step)
    assert len(_asked(host)) > asked + 2
    assert host.libvirt.domains["db"].state == "running"


@pytest.mark.parametrize("lv", ["vm-db", "vm-db-data"])
def test_apply_refuses_it_before_a_first_boot_too(
    half_made: tuple[FakeHost, Spec], lv: str
) -> None:
    host, wanted = half_made
    host.held.add(lv)
    (one,) = make_plan(wanted, host.facts(wanted)).refusals
    assert one.subject == "guest db"
    assert one.reason == f"it is off, but something has rl_build/{lv} open"
    host.held.clear()
    reach(host, wanted)
    assert make_plan(wanted, host.facts(wanted)).empty
    host.held.add(lv)
    assert make_plan(wanted, host.facts(wanted)).refusals == ()


def test_apply_starts_none_in_service_so_it_is_not_refused_for_it(
    cut_off: tuple[FakeHost, Spec],
) -> None:
    host, wanted = cut_off
    host.held.add("vm-db")
    assert host.libvirt.domains["db"].state == "shut off"
    assert make_plan(wanted, host.facts(wanted)).refusals == ()


def test_a_guest_that_is_not_defined_yet_has_its_own_disks_alone(
    half_made: tuple[FakeHost, Spec],
) -> None:
    host, wanted = half_made
    del host.libvirt.domains["db"]
    assert make_plan(wanted, host.facts(wanted)).refusals == ()
    host.held.add("vm-db")
    reasons = [one.reason for one in make_plan(wanted, host.facts(wanted)).refusals]
    assert reasons == [REASON]


def test_what_is_opened_after_the_look_is_waited_for_before_a_first_boot(
    half_made: tuple[FakeHost, Spec],
) -> None:
    host, wanted = half_made
    first = next(step for step in make_plan(wanted, host.facts(wanted)).steps if step.actions)
    assert first.what.startswith("start it for the first time")
    host.held.add("vm-db")
    with pytest.raises(StepError, match="nothing to have rl_build/vm-db open"):
        carry_out(host, first)
    assert host.libvirt.domains["db"].state == "shut off"


def test_recovery_holds_back_that_guest_and_who_needs_it(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    host.held.add("vm-db")
    found = recovery(wanted, host.facts(wanted))
    assert {one.subject: one.reason for one in found.held_back} == {
        "guest db": REASON,
        "guest web": "it needs db, which is held back",
    }
    assert not found.plan.refusals
    assert subjects(found.plan.steps) == {"lone", "dns"}
    host.held.clear()
    reach(host, wanted, plan_recover)
    assert {one.state for one in host.libvirt.domains.values()} == {"running"}


def test_the_watch_tells_and_neither_starts_nor_counts(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    reach(host, wanted, plan_recover)
    for name in ("db", "lone"):
        host.libvirt.domains[name].end("unknown")
    host.held.add("vm-db")
    plan = plan_look_after(wanted, host.facts(wanted))
    (note,) = plan.notes
    assert note.text.startswith(f"held back: {REASON} (see who: ")
    assert subjects(plan.steps) == {"lone"}


def test_a_guest_that_is_shut_down_first_has_closed_it_by_then(
    cut_off: tuple[FakeHost, Spec],
) -> None:
    host, wanted = cut_off
    reach(host, wanted, plan_recover)
    before = host.facts(wanted)
    plan = plan_cold_reboot(wanted, before, before, ("db",))
    assert plan.refusals == ()
    for step in plan.steps:
        carry_out(host, step)
    assert host.libvirt.domains["db"].state == "running"


def test_a_disk_that_another_domain_has_is_told_once(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    facts = host.facts(wanted)
    db = facts.domain("db")
    assert db is not None
    other = replace(db, name="other", uuid="1", ours=False)
    facts = _opened(replace(facts, domains=(*facts.domains, other)), "vm-db")
    (one,) = plan_start(wanted, facts, ("db",)).refusals
    assert "is also a disk of the domain other" in one.reason


def test_a_file_behind_a_loop_device_is_taken_too() -> None:
    far = FileDisk(name=Label("far"), path="/data/db.img", mount="/data", size=Size(GIB))
    old = guest("db")
    host, wanted = FakeHost(), spec(replace(old, disks=(*old.disks, far)))
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    host.mounts.add("/data")
    reach(host, wanted)
    host.put("/sys/block/loop0/loop/backing_file", b"/data/db.img\n")
    assert plan_start(wanted, host.facts(wanted), ("db",)).empty, "it runs already"
    cut(host)
    (one,) = plan_start(wanted, host.facts(wanted), ("db",)).refusals
    assert one.reason == "it is off, but a loop device has /data/db.img open"
    assert one.hint == "see which: losetup --associated /data/db.img"
    more = replace(far, name=Label("more"), path="/data/more.img")
    host.put("/sys/block/loop0/loop/backing_file", b"/data/more.img\n")
    other = replace(old, disks=(*old.disks, far, more))
    assert plan_start(spec(other), host.facts(spec(other)), ("db",)).refusals == ()


def test_only_a_disk_that_the_guest_would_open_counts(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    old = wanted.guests[0]
    disk = LvDisk(name=Label("data"), size=Size(GIB), lv="vm-lone-data")
    more = replace(wanted, guests=(replace(old, disks=(*old.disks, disk)), *wanted.guests[1:]))
    facts = host.facts(more)
    root = facts.volume("rl_build", "vm-lone")
    assert root is not None
    tags = lv_tags(old.name, disk.name)
    spare = replace(root, name=disk.lv, device="253:99", opened=True, tags=tags)
    facts = replace(facts, volumes=(*facts.volumes, spare))
    assert plan_start(more, facts, ("lone",)).refusals == ()


def _asked(host: FakeHost) -> list[Command]:
    return [call for call in host.calls if "lv_device_open!=open" in call.argv]


def _opened(facts: Facts, name: str) -> Facts:
    volumes = tuple(replace(one, opened=True) if one.name == name else one for one in facts.volumes)
    return replace(facts, volumes=volumes)
