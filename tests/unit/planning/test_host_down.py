"""The host goes down: guests in the reverse order of their needs, and none for good."""

from __future__ import annotations

import re

from msgspec.structs import replace

from kvmkeep.model.command import Poll
from kvmkeep.model.facts import Problem
from kvmkeep.model.host_units import GUESTS, UNIT_DIR
from kvmkeep.model.plan import Plan
from kvmkeep.planning.running.host_down import NO_SPEC, plan_host_down
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.watch import plan_look_after
from kvmkeep.planning.units.install import plan_install
from tests.unit.planning.cut_off import cut, site
from tests.unit.planning.rounds import plan_recover, reach


def test_who_is_needed_is_asked_when_nobody_needs_it_any_more() -> None:
    host, wanted = site()
    reach(host, wanted, plan_recover)
    plan = plan_host_down(wanted, host.facts(wanted))
    steps = [f"{s.what.split()[0]} {s.subject.removeprefix('guest ')}" for s in plan.steps]
    assert steps == [
        "ask web", "ask lone", "wait web", "ask db", "wait db", "ask dns", "wait lone", "wait dns",
    ]  # fmt: skip
    assert plan.once
    assert all(step.isolated and not step.after for step in plan.steps)
    reach(host, wanted, plan_host_down)
    assert {one.state for one in host.libvirt.domains.values()} == {"shut off"}
    assert [one.name for one in recovery(wanted, host.facts(wanted)).guests] == [
        "lone", "dns", "db", "web",
    ]  # fmt: skip


def test_who_stands_still_is_told_and_keeps_nobody() -> None:
    host, wanted = site()
    reach(host, wanted, plan_recover)
    host.libvirt.domains["web"].paused = True
    plan = plan_host_down(wanted, host.facts(wanted))
    (note,) = plan.notes
    assert (note.subject, "its power goes with the host's" in note.text) == ("guest web", True)
    assert "guest web" not in {step.subject for step in plan.steps}
    assert not plan.refusals


def test_guests_that_the_spec_names_no_more_are_shut_down_too_and_told_after_the_boot() -> None:
    host, wanted = site()
    reach(host, wanted, plan_recover)
    fewer = replace(wanted, guests=wanted.guests[1:])
    reach(host, fewer, plan_host_down)
    assert {one.state for one in host.libvirt.domains.values()} == {"shut off"}
    cut(host)
    assert plan_recover(fewer, host.facts(fewer)).notes == ()
    domains = tuple(
        replace(one, run_mark=replace(one.run_mark, starts=True))
        for one in host.facts(fewer).domains
    )
    (note,) = plan_recover(fewer, replace(host.facts(fewer), domains=domains)).notes
    assert (note.subject, "the spec does not name it" in note.text) == ("guest lone", True)


def test_what_does_not_concern_the_guests_stops_nobody_at_a_boot_or_before_the_end() -> None:
    host, wanted = site()
    cut(host)
    arrays = Problem(what="MD arrays", reason="mdadm did not answer", hint="try: mdadm")
    libvirt = Problem(what="libvirt", reason="it is not there", hint="start it")
    volumes = Problem(what="logical volumes", reason="lvs failed", hint="try: lvs")
    before = host.facts(wanted)
    reach(host, wanted, plan_recover)
    running = host.facts(wanted)
    for planner, facts in (
        (plan_recover, before), (plan_look_after, before), (plan_host_down, running),
    ):  # fmt: skip
        plan = planner(wanted, replace(facts, problems=(arrays,)))
        assert (plan.refusals, len(plan.steps) > 0) == ((), True)
        told = [note.text for note in plan.notes if note.subject == "MD arrays"]
        heard = planner is plan_host_down
        assert told == ([] if heard else ["it can't be seen: mdadm did not answer (try: mdadm)"])
        assert planner(wanted, replace(facts, problems=(libvirt,))).unready
        blind = planner(wanted, replace(facts, problems=(volumes,)))
        assert blind.unready is not heard


def test_without_a_spec_all_that_wear_the_mark_go_down_the_last_started_first() -> None:
    host, wanted = site()
    reach(host, wanted, plan_recover)
    for word in ("shutdown", "start"):
        host.libvirt.virsh((word, "--", "lone"))
    host.libvirt.virsh(("suspend", "--", "dns"))
    facts = host.facts(NO_SPEC)
    plan = plan_host_down(NO_SPEC, facts)
    steps = [f"{s.what.split()[0]} {s.subject.removeprefix('guest ')}" for s in plan.steps]
    assert steps == ["ask lone", "wait lone", "ask web", "wait web", "ask db", "wait db"]
    (note,) = plan.notes
    assert (note.subject, "virsh resume dns" in note.text) == ("guest dns", True)
    others = tuple(replace(one, ours=False) for one in facts.domains)
    assert plan_host_down(NO_SPEC, replace(facts, domains=others)) == Plan(
        steps=(), once=True, recorded=True
    )
    host.libvirt.virsh(("resume", "--", "dns"))
    reach(host, NO_SPEC, plan_host_down)
    assert {one.state for one in host.libvirt.domains.values()} == {"shut off"}


def test_without_a_spec_all_are_asked_before_the_unit_is_out_of_time() -> None:
    host, wanted = site(stop_timeout=20)
    reach(host, wanted, plan_recover)

    def limits() -> set[float]:
        plan = plan_host_down(NO_SPEC, host.facts(NO_SPEC))
        return {a.limit for step in plan.steps for a in step.actions if isinstance(a, Poll)}

    assert limits() == {300.0}
    reach(host, wanted, plan_install)
    assert limits() == {(20.0 + 3 * 300) // 4}
    unit = host.files[f"{UNIT_DIR}/{GUESTS}"]
    unit.content = re.sub(rb"TimeoutStopSec=[0-9]+", b"TimeoutStopSec=300", unit.content)
    assert limits() == {10.0}
