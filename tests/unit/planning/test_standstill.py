"""A guest that crashed has a QEMU process: it is ended before the guest is started anew."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Facts
from kvmkeep.planning.running.host_down import plan_host_down
from kvmkeep.planning.running.paused import how_to_continue
from kvmkeep.planning.running.poweroff import plan_poweroff
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.suspend_resume import plan_resume
from kvmkeep.planning.running.watch import plan_look_after
from kvmkeep.planning.snapshots.create import Level, plan_create
from tests.unit.planning.rounds import StepError
from tests.unit.planning.sets import wish
from tests.unit.planning.test_look_after import Watched

ANEW = "start it anew: kvmkeep poweroff web; kvmkeep start web"


@pytest.fixture
def crashed() -> tuple[Watched, Facts]:
    watched = Watched()
    facts = watched.facts()
    domains = tuple(
        replace(one, state=DomainState.CRASHED) if one.name == "web" else one
        for one in facts.domains
    )
    return watched, replace(facts, domains=domains)


def test_the_watch_tells_it_and_does_not_start_what_runs(crashed: tuple[Watched, Facts]) -> None:
    watched, facts = crashed
    plan = plan_look_after(watched.spec, facts)
    assert plan.steps == ()
    assert [note.text for note in plan.notes] == [f"it crashed, and stands still ({ANEW})"]


def test_each_verb_says_what_to_type(crashed: tuple[Watched, Facts]) -> None:
    watched, facts = crashed
    for plan in (
        plan_start(watched.spec, facts, ("web",)),
        plan_resume(watched.spec, facts, ("web",)),
    ):
        assert [refusal.hint for refusal in plan.refusals] == [ANEW]
    (note,) = [
        one for one in plan_host_down(watched.spec, facts).notes if one.subject == "guest web"
    ]
    assert ANEW in note.text
    (step,) = plan_poweroff(watched.spec, facts, ("web",)).steps
    assert any("destroy" in str(action) for action in step.actions)


def test_its_disks_can_be_kept_as_they_are(crashed: tuple[Watched, Facts]) -> None:
    watched, facts = crashed
    plan = plan_create(watched.spec, facts, wish())
    assert plan.refusals == ()
    assert not any("suspend" in str(action) for step in plan.steps for action in step.actions)
    (refusal,) = plan_create(watched.spec, facts, wish(level=Level.FROZEN)).refusals
    assert refusal.hint == f"{ANEW}; or leave --consistency out"


def test_one_that_is_not_ours_is_told_in_the_words_of_virsh(crashed: tuple[Watched, Facts]) -> None:
    _, facts = crashed
    domain = facts.domain("web")
    assert domain is not None
    text = how_to_continue(domain, ours=False)
    assert text == "start it anew: virsh destroy web; virsh start web"
    text = how_to_continue(replace(domain, name="my vm; reboot"), ours=False)
    assert text == "start it anew: virsh destroy 'my vm; reboot'; virsh start 'my vm; reboot'"
    paused = replace(domain, name="my vm; reboot", state=DomainState.PAUSED)
    assert how_to_continue(paused, ours=False) == "let it go on: virsh resume 'my vm; reboot'"


HELD = "kvmkeep.held=frozen"


def test_the_watch_lets_a_guest_go_that_stayed_frozen_after_the_guard_gave_up() -> None:
    watched = Watched()
    domain, tags = watched.host.libvirt.domains["web"], watched.host.lvm.volumes["vm-web"].tags
    tags.add(HELD)
    domain.frozen = True
    watched.look()
    assert not domain.frozen
    assert HELD not in tags
    assert watched.plan().empty


def test_one_whose_agent_is_silent_is_tried_again_and_costs_no_other_step() -> None:
    watched = Watched()
    domain, tags = watched.host.libvirt.domains["web"], watched.host.lvm.volumes["vm-web"].tags
    tags.add(HELD)
    domain.frozen = True
    watched.host.libvirt.silent_agents.add("web")
    watched.dies("db")
    with pytest.raises(StepError):
        watched.look()
    assert domain.frozen
    assert HELD in tags
    (step,) = [one for one in watched.plan().steps if "web" in one.subject]
    assert (step.subject, step.isolated) == ("standstill of guest web", True)
    watched.host.libvirt.silent_agents.clear()
    watched.look()
    assert (domain.frozen, watched.plan().empty) == (False, True)


@pytest.mark.parametrize(
    ("state", "why"), [(DomainState.CRASHED, ""), (DomainState.PAUSED, "I/O error")]
)
def test_one_that_can_not_go_on_is_not_tried_each_minute(state: DomainState, why: str) -> None:
    watched = Watched()
    watched.host.lvm.volumes["vm-web"].tags.add(HELD)
    facts = watched.facts()
    domains = tuple(
        replace(one, state=state, why=why) if one.name == "web" else one for one in facts.domains
    )
    assert plan_look_after(watched.spec, replace(facts, domains=domains)).steps == ()
