"""After a power cut: who comes up, in which order, and who is held back, and why."""

from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.facts import GROUPS, Array, ArrayState, Facts, Problem, SeedFile
from kvmkeep.model.run import OnFail, ReadyTcp
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.lvm import WHERE_IS_IT
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.shutdown import plan_shutdown
from kvmkeep.planning.running.start import plan_start
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.cut_off import DB, cut, site
from tests.unit.planning.rounds import StepError, plan_recover, reach


def order(host: FakeHost, wanted: Spec) -> list[str]:
    steps = plan_recover(wanted, host.facts(wanted)).steps
    return [f"{step.what.split()[0]} {step.subject.removeprefix('guest ')}" for step in steps]


def held(wanted: Spec, facts: Facts) -> dict[str, str]:
    found = recovery(wanted, facts).held_back
    return {one.subject.removeprefix("guest "): one.reason for one in found}


def test_needs_come_first_and_what_needs_nobody_boots_beside_them() -> None:
    host, wanted = site()
    assert order(host, wanted) == [
        "start lone", "start dns", "wait dns", "start db", "wait db", "start web", "wait lone",
        "wait web",
    ]  # fmt: skip
    reach(host, wanted, plan_recover)
    assert {one.state for one in host.libvirt.domains.values()} == {"running"}
    assert plan_recover(wanted, host.facts(wanted)).empty


def test_not_more_boot_at_once_than_the_host_has_processors() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(*(guest(name) for name in "abcd"))
    reach(host, wanted)
    cut(host)
    facts = replace(host.facts(wanted), cpus=1, memory=replace(host.facts(wanted).memory))
    steps = [step.what.split()[0] for step in plan_recover(wanted, facts).steps]
    assert steps == ["start", "start", "wait", "start", "wait", "start", "wait", "wait"]


def test_who_does_not_run_with_the_host_stays_off_unless_needed() -> None:
    host, wanted = site()
    for name in ("lone", "dns"):
        host.libvirt.domains[name].autostart = False
    assert order(host, wanted)[0] == "start dns"
    assert "start lone" not in order(host, wanted)
    host.libvirt.domains["web"].autostart = False
    host.libvirt.domains["db"].autostart = False
    assert order(host, wanted) == []


def test_a_guest_that_boots_already_is_waited_for_before_what_needs_it() -> None:
    host, wanted = site()
    reach(host, wanted, plan_recover)
    host.libvirt.domains["web"].end()
    host.libvirt.domains["db"].was_ready = False
    assert order(host, wanted) == ["wait db", "start web", "wait web"]


def test_one_guest_that_can_not_start_holds_back_those_that_need_it() -> None:
    host, wanted = site(mounts=("/data",))
    host.mounts.clear()
    facts = host.facts(wanted)
    assert held(wanted, facts) == {
        "db": "it needs /data, where nothing is mounted",
        "web": "it needs db, which is held back",
    }
    assert order(host, wanted) == ["start lone", "start dns", "wait lone", "wait dns"]
    text = "\n".join(note.text for note in plan_recover(wanted, facts).notes)
    assert "held back: it needs db, which is held back (see what guest db lacks)" in text


def test_or_not_if_the_spec_says_so() -> None:
    host, wanted = site(mounts=("/data",), on_fail=OnFail.CONTINUE)
    host.mounts.clear()
    assert held(wanted, host.facts(wanted)) == {"db": "it needs /data, where nothing is mounted"}
    assert "start web" in order(host, wanted)
    host.mounts.add("/data")
    steps = {step.subject: step.after for step in plan_recover(wanted, host.facts(wanted)).steps}
    assert (steps["guest web"], steps["guest db"]) == ((), ("guest dns",))


def test_who_was_shut_down_stays_off_though_another_one_needs_it() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("db",)))
    cut(host)
    assert order(host, wanted) == ["start lone", "start dns", "wait lone", "wait dns"]
    (web,) = recovery(wanted, host.facts(wanted)).held_back
    assert web.subject == "guest web"
    assert web.text == "it needs db, which is off and is to stay so (kvmkeep start db)"
    del host.libvirt.domains["db"]
    assert held(wanted, host.facts(wanted)) == {"web": web.reason}, "what is kept tells so, too"
    reach(host, wanted)
    reach(host, wanted, lambda s, f: plan_start(s, f, ("db",)))
    cut(host)
    assert {"start db", "start web"} <= {*order(host, wanted)}


def test_who_can_do_without_one_that_stays_off_is_started() -> None:
    host, wanted = site(on_fail=OnFail.CONTINUE)
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("db",)))
    cut(host)
    assert held(wanted, host.facts(wanted)) == {}
    assert "start db" not in order(host, wanted)
    steps = plan_recover(wanted, host.facts(wanted)).steps
    (web,) = (one for one in steps if (one.subject, one.what) == ("guest web", "start it"))
    assert web.why == "it runs with the host"


def test_what_only_one_that_stays_off_needs_is_left_alone() -> None:
    host, wanted = site()
    host.libvirt.domains["dns"].autostart = False
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("db",)))
    assert order(host, wanted) == ["start lone", "wait lone"]


def test_who_is_to_stay_off_and_still_runs_is_waited_for() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("db",)))
    host.libvirt.virsh(("start", "--", "db"))
    assert "wait db" in order(host, wanted)
    assert held(wanted, host.facts(wanted)) == {}


def test_a_guest_whose_definition_is_lost_is_not_passed_over() -> None:
    host, wanted = site()
    del host.libvirt.domains["db"]
    found = recovery(wanted, host.facts(wanted))
    reasons = {one.subject: (one.reason, one.hint) for one in found.held_back}
    hint = "have it back from /root/kvm/db.xml: kvmkeep apply db"
    assert reasons["guest db"] == ("libvirt has lost its definition", hint)
    assert reasons["guest web"][0] == "it needs db, which is held back"
    assert {step.subject for step in found.plan.steps} == {"guest lone", "guest dns"}
    del host.libvirt.domains["lone"]
    assert "lone" in held(wanted, host.facts(wanted)), "nobody needs it"
    reach(host, wanted)
    cut(host)
    assert held(wanted, host.facts(wanted)) == {}


def test_a_lost_definition_of_a_guest_that_is_to_stay_off_holds_nobody_up() -> None:
    host, wanted = site()
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("lone",)))
    del host.libvirt.domains["lone"]
    assert held(wanted, host.facts(wanted)) == {}


def test_a_lost_lv_and_one_on_a_lost_disk_are_named() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    lost = replace(facts, volumes=tuple(v for v in facts.volumes if v.name != "vm-lone"))
    assert "its LV rl_build/vm-lone is gone" in held(wanted, lost)["lone"]
    torn = tuple(
        replace(one, attributes="-wi-----p-") if one.name == "vm-db" else one
        for one in facts.volumes
    )
    reasons = held(wanted, replace(facts, volumes=torn))
    assert "rl_build/vm-db is on a disk that is missing" in reasons["db"]
    assert set(reasons) == {"db", "web"}


def test_memory_is_given_in_the_order_of_the_needs() -> None:
    host, wanted = site()
    host.memory = 10 * GIB  # less 4 GiB of reserve: three guests of 2 GiB
    reasons = held(wanted, host.facts(wanted))
    assert set(reasons) == {"web"}
    assert "8 GiB of memory would be given to guests, and 6 GiB may be" in reasons["web"]


def test_a_paused_guest_is_held_back() -> None:
    host, wanted = site()
    reach(host, wanted, plan_recover)
    host.libvirt.domains["dns"].paused = True
    assert "it is paused" in held(wanted, host.facts(wanted))["dns"]


def test_what_is_not_well_below_the_guests_is_told() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    (group,) = (one for one in facts.groups if one.name == "rl_build")
    root = facts.volume("rl_build", "vm-web")
    assert root is not None
    full = replace(
        root, name="vm-web-s", origin="vm-web", invalid=True,
        tags=(*root.tags, "kvmkeep.set=20261123T0710Z", "kvmkeep.taken=20261123T071034Z",
              "kvmkeep.level=crash", "kvmkeep.members=1"),
    )  # fmt: skip
    sick = replace(
        facts,
        arrays=(
            Array(
                name="md0", level="raid1", state=ArrayState.DEGRADED, members=(), detail="1 of 2"
            ),
            Array(name="md1", level="raid1", state=ArrayState.CLEAN, members=(), detail=""),
        ),
        groups=(replace(group, missing_pvs=1),),
        volumes=(*facts.volumes, full),
        seeds=(SeedFile(guest="web", path="/seed"),),
    )
    told = [f"{note.subject}: {note.text}" for note in plan_recover(wanted, sick).notes]
    assert told == [
        "array md0: it is degraded (1 of 2)",
        "volume group rl_build: 1 of its physical volumes is missing",
        "guest web: its snapshot set 20261123T0710Z is lost: it was full",
        "guest web: its seed lies on the host: a first boot is not finished (kvmkeep apply)",
    ]
    two = replace(facts, groups=(replace(group, missing_pvs=2),))
    assert "2 of its physical volumes are missing" in plan_recover(wanted, two).notes[0].text


def test_a_volume_group_that_is_not_there_yet_is_named_and_no_guest_is_to_be_given_up() -> None:
    host, wanted = site()
    facts = replace(host.facts(wanted), groups=(), volumes=())
    plan = plan_recover(wanted, facts)
    told = {note.subject: note.text for note in plan.notes}
    assert told["volume group rl_build"] == f"it is not there ({WHERE_IS_IT})"
    assert told["guest dns"] == (
        f"held back: its volume group rl_build is not there ({WHERE_IS_IT})"
    )
    for refusal in (*recovery(wanted, facts).held_back, *make_plan(wanted, facts).refusals):
        assert not {"undefine", "vgcfgrestore"} & {*refusal.hint.replace("`", "").split()}
    hole = Problem(what=GROUPS, reason="vgs did not answer", hint="")
    assert "volume group rl_build" not in {
        note.subject for note in plan_recover(wanted, replace(facts, problems=(hole,))).notes
    }


def test_a_guest_that_does_not_get_ready_is_not_marked() -> None:
    host, wanted = site()
    host.libvirt.silent_agents.add("dns")
    with pytest.raises(StepError, match="to answer through its agent"):
        reach(host, wanted, plan_recover)
    assert not host.libvirt.domains["dns"].was_ready
    assert host.libvirt.domains["db"].state == "shut off"


def test_a_program_that_one_guest_needs_keeps_no_other_off() -> None:
    host, wanted = site(ready=ReadyTcp(port=443))
    host.tools["nc"] = ""
    plan = plan_recover(wanted, host.facts(wanted))
    assert plan.refusals == ()
    assert "start db" in order(host, wanted)
    (note,) = [one for one in plan.notes if one.subject == "program nc"]
    assert note.text.endswith("wait until it is ready (install the package nc-package)")
    host.tools["virsh"] = ""
    (refusal,) = plan_recover(wanted, host.facts(wanted)).refusals
    assert refusal.subject == "program virsh"


def test_needs_that_can_not_be_ordered_refuse_the_plan() -> None:
    host, _ = site()
    circle = spec(guest("db", needs=(GuestName("web"),)), guest("web", needs=DB))
    plan = plan_recover(circle, host.facts(circle))
    assert not plan.steps
    assert "in a circle" in plan.refusals[0].reason
