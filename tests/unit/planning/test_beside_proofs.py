"""A proof that runs has memory of the host: it is not promised a second time."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan
from kvmkeep.model.proof import RunningProof
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.watch import plan_look_after
from tests.unit.planning.build import GIB, guest, spec
from tests.unit.planning.cut_off import site
from tests.unit.planning.rounds import plan_recover, reach

PROOF = RunningProof(guest="web", memory=Size(GIB))


@pytest.fixture
def cut_off() -> tuple[FakeHost, Spec]:
    """Four guests of 2 GiB that are off, and just the memory for them."""
    host, wanted = site()
    host.memory = 12 * GIB
    return host, wanted


def proven(host: FakeHost, wanted: Spec, *proofs: RunningProof) -> Facts:
    return replace(host.facts(wanted), proofs=proofs or (PROOF,))


def memory(plan: Plan) -> list[str]:
    return [note.text for note in plan.notes if note.subject == "memory"]


def test_start_refuses_what_fits_only_once_the_proof_is_over(
    cut_off: tuple[FakeHost, Spec],
) -> None:
    host, wanted = cut_off
    assert plan_start(wanted, host.facts(wanted), ("lone",)).refusals == ()
    (one,) = plan_start(wanted, proven(host, wanted), ("lone",)).refusals
    assert "guests are promised 8 GiB (8589934592 bytes), but 7 GiB" in one.reason
    assert one.reason.endswith("its reserve is 4 GiB, the proof of a backup of web has 1 GiB)")
    assert "systemctl stop kvmkeep-prove.service" in one.hint
    host.memory += GIB
    assert plan_start(wanted, proven(host, wanted), ("lone",)).refusals == ()
    both = (PROOF, RunningProof(guest="db", memory=Size(1)))
    (one,) = plan_start(wanted, proven(host, wanted, *both), ("lone",)).refusals
    assert "a backup of web, db has" in one.reason


def test_what_never_fits_is_not_blamed_on_the_proof(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    host.memory -= 1
    facts = host.facts(wanted)
    alone = plan_start(wanted, facts, ("lone",)).refusals
    assert plan_start(wanted, proven(host, wanted), ("lone",)).refusals == alone
    assert "proof" not in alone[0].reason + alone[0].hint


def test_apply_promises_nothing_that_a_proof_has(cut_off: tuple[FakeHost, Spec]) -> None:
    host, wanted = cut_off
    more = spec(*wanted.guests, guest("new", memory=Size(GIB)))
    host.memory += GIB
    assert make_plan(more, host.facts(more)).refusals == ()
    (one,) = make_plan(more, proven(host, more)).refusals
    assert one.reason.startswith("with new, guests are promised 9 GiB")
    assert make_plan(wanted, proven(host, wanted)).empty


def test_recovery_and_the_watch_start_their_guests_all_the_same_and_tell(
    cut_off: tuple[FakeHost, Spec],
) -> None:
    host, wanted = cut_off
    found = recovery(wanted, proven(host, wanted))
    assert found.held_back == ()
    assert len(found.plan.steps) == 8
    (text,) = memory(found.plan)
    assert text.startswith("8 GiB of it are given to guests, and 7 GiB may be: the proof of a")
    assert "systemctl stop kvmkeep-prove.service" in text
    assert memory(recovery(wanted, host.facts(wanted)).plan) == []
    reach(host, wanted, plan_recover)
    assert memory(recovery(wanted, proven(host, wanted)).plan) == [text], "as long as it lasts"
    host.libvirt.domains["lone"].end("crashed")
    plan = plan_look_after(wanted, proven(host, wanted))
    assert [step.subject for step in plan.steps] == ["guest lone"] * 2
    assert memory(plan) == [text]
    host.memory += GIB
    assert memory(plan_look_after(wanted, proven(host, wanted))) == []
