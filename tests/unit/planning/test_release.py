"""Letting go: the marks go, all else stays."""

from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.facts import Problem
from kvmkeep.model.host_units import GUESTS, UNIT_DIR
from kvmkeep.model.names import GOOD_SPEC
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.adoption.release import Letting, plan_release
from kvmkeep.planning.units.install import plan_install, plan_uninstall
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import carry_out, reach

WEB = guest(data=GIB, needs=(GuestName("db"),))
DB = guest("db")
ALL = Letting(guests=(), everything=True, host_file="/etc/kvmkeep/host.yaml")


def site() -> tuple[FakeHost, Spec]:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(
        replace(WEB, place=replace(WEB.place, file="/etc/kvmkeep/guests/web.yaml")),
        replace(DB, place=replace(DB.place, file="/etc/kvmkeep/guests/db.yaml")),
    )
    reach(host, wanted)
    for name in ("host", "guests/web", "guests/db"):
        host.put(f"/etc/kvmkeep/{name}.yaml", name.encode())
    return host, wanted


def letting(*names: str, **changes: object) -> Letting:
    return replace(Letting(guests=names, everything=False), **changes)


def planned(host: FakeHost, wanted: Spec | None, what: Letting = ALL) -> Plan:
    return plan_release(wanted, host.facts(wanted), what)


def reasons(plan: Plan) -> list[str]:
    return [f"{refusal.subject}: {refusal.reason}" for refusal in plan.refusals]


def test_one_guest_is_let_go_and_goes_on() -> None:
    host, wanted = site()
    before = host.libvirt.domains["web"].run
    host.put("/etc/kvmkeep/guests/web.yaml.released", b"of an earlier time")
    plan = planned(host, wanted, letting("web"))
    assert plan.refusals == ()
    for step in plan.steps:
        carry_out(host, step)
    domain = host.libvirt.domains["web"]
    assert (domain.run, domain.ours) == (before, False)
    assert host.libvirt.domains["db"].ours
    assert host.lvm.volumes["vm-web"].tags == host.lvm.volumes["vm-web-data"].tags == set()
    assert host.files["/etc/kvmkeep/guests/web.yaml.released"].content == b"guests/web"
    earlier = host.files["/etc/kvmkeep/guests/web.yaml.released.~1~"].content
    assert earlier == b"of an earlier time"
    assert b"kvmkeep" not in host.files["/root/kvm/web.xml"].content.replace(b"kvmkeep-", b"")
    rest = replace(wanted, guests=tuple(one for one in wanted.guests if one.name == "db"))
    assert planned(host, rest, letting("web")).empty
    assert planned(host, rest, letting("web", released=frozenset(["web"]))).empty


def test_guests_go_before_those_that_they_need_and_the_host_goes_last() -> None:
    host, wanted = site()
    files = [step.what for step in planned(host, wanted).steps if step.what.startswith("put ")]
    assert [what.split()[1].rpartition("/")[2] for what in files] == [
        "web.yaml", "db.yaml", "host.yaml",
    ]  # fmt: skip


def test_with_the_host_the_last_good_spec_goes() -> None:
    host, wanted = site()
    host.put(GOOD_SPEC, b"{}")
    *guests, last = planned(host, wanted).steps
    for step in guests:
        carry_out(host, step)
    assert GOOD_SPEC in host.files
    carry_out(host, last)
    assert GOOD_SPEC not in host.files
    assert "/etc/kvmkeep/host.yaml.released" in host.files


def test_what_is_needed_by_others_is_not_let_go() -> None:
    host, wanted = site()
    assert reasons(planned(host, wanted, letting("db"))) == ["guest db: it is needed by web"]


def test_the_units_go_before_all_that_they_look_after() -> None:
    host, wanted = site()
    reach(host, wanted, plan_install)
    plan = planned(host, wanted)
    assert reasons(plan) == [
        "host: its units still look after the guests: kvmkeep-guests.service and 6 more"
    ]
    assert plan.refusals[0].hint == "take them away first: kvmkeep uninstall-units"
    assert planned(host, wanted, letting("web")).refusals == ()
    reach(host, wanted, plan_uninstall)
    host.put(f"{UNIT_DIR}/{GUESTS}", b"[Unit]\nDescription=mine\n")
    assert planned(host, wanted).refusals == ()


def test_without_a_spec_the_marks_tell_what_is_left() -> None:
    host, wanted = site()
    plan = planned(host, None, replace(ALL, host_file=""))
    assert {step.subject for step in plan.steps} == {
        "guest web", "guest db", "profile virbr1.223", "profile uplink0.223",
    }  # fmt: skip
    for step in plan.steps:
        carry_out(host, step)
    assert planned(host, None, replace(ALL, host_file="")).empty
    del wanted


def test_snapshots_stay_without_their_marks() -> None:
    host, wanted = site()
    made = host.lvm.add("vm-web-20260102T1200Z", GIB, "kvmkeep", "kvmkeep.guest=web", "a")
    made.origin = "vm-web"
    plan = planned(host, wanted, letting("web"))
    assert "its snapshots stay, and are yours from then on: vm-web-2026" in plan.notes[0].text
    for step in plan.steps:
        carry_out(host, step)
    assert made.tags == {"a"}


@pytest.mark.parametrize("tag", ["kvmkeep.state=fresh", "kvmkeep.revert=x", "kvmkeep.held=crash"])
def test_what_is_not_done_yet_is_finished_first(tag: str) -> None:
    host, wanted = site()
    host.lvm.volumes["vm-web"].tags.add(tag)
    found = reasons(planned(host, wanted, letting("web")))
    assert found == [f"guest web: something is not done yet: rl_build/vm-web wears {tag}"]


def test_the_trash_is_emptied_first() -> None:
    host, wanted = site()
    host.lvm.add(
        "vm-old-trash", GIB, "kvmkeep", "kvmkeep.guest=old", "kvmkeep.trash=20260102T1200Z"
    )
    assert "trash: there is something in the trash: vm-old-trash" in reasons(planned(host, wanted))


def test_what_is_nowhere_or_can_not_be_seen_or_done() -> None:
    host, wanted = site()
    assert reasons(planned(host, wanted, letting("nobody"))) == [
        "guest nobody: there is no guest of that name"
    ]
    problem = Problem(what="volumes", reason="lvs failed", hint="")
    facts = replace(host.facts(wanted), problems=(problem,))
    assert plan_release(wanted, facts, letting("web")).refusals[0].unready
    host.tools["lvchange"] = ""
    assert "program lvchange" in reasons(planned(host, wanted, letting("web")))[0]


def test_a_guest_without_its_domain_or_its_kept_file() -> None:
    host, wanted = site()
    del host.files["/root/kvm/web.xml"]
    whats = [step.what for step in planned(host, wanted, letting("web")).steps]
    assert not [what for what in whats if "keep its definition" in what]
    del host.libvirt.domains["web"]
    whats = [step.what for step in planned(host, wanted, letting("web")).steps]
    assert whats[0] == "take our marks from LV rl_build/vm-web"


def test_a_run_that_was_killed_keeps_the_definition_once_more() -> None:
    host, wanted = site()
    plan = planned(host, wanted, letting("web"))
    carry_out(host, plan.steps[0])
    rest = planned(host, wanted, letting("web")).steps
    keep = next(step for step in rest if step.what == "keep its definition in /root/kvm/web.xml")
    carry_out(host, keep)
    whats = [step.what for step in planned(host, wanted, letting("web")).steps]
    assert keep.what not in whats
