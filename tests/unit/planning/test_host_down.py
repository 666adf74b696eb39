"""The host goes down: guests in the reverse order of their needs, and none for good."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.facts import Problem
from kvmkeep.planning.host_down import plan_host_down
from kvmkeep.planning.look_after import plan_look_after
from kvmkeep.planning.recover import plan_recover, recovery
from tests.unit.planning.rounds import reach
from tests.unit.planning.test_recover import cut, site


def test_who_is_needed_is_asked_when_nobody_needs_it_any_more() -> None:
    host, wanted = site()
    reach(host, wanted, plan_recover)
    plan = plan_host_down(wanted, host.facts(wanted))
    steps = [f"{s.what.split()[0]} {s.subject.removeprefix('guest ')}" for s in plan.steps]
    assert steps == [
        "ask web", "ask lone", "wait web", "ask db", "wait db", "ask dns", "wait lone", "wait dns",
    ]  # fmt: skip
    assert plan.once
    assert all(step.alone and not step.after for step in plan.steps)
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
        replace(one, kept=replace(one.kept, starts=True)) for one in host.facts(fewer).domains
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
