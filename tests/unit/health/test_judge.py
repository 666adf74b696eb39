from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import ArrayState, Problem
from kvmkeep.model.health import Finding, Severity, worst, worst_first
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.planning.running.host_down import NO_SPEC
from tests.unit.health.build import ARRAY, domain, findings, only

SEVERITIES = st.lists(st.sampled_from(list(Severity)))


def of(severity: Severity) -> Finding:
    return Finding(name="x", severity=severity, subject="s", what="w", why="y", todo="t")


def test_a_host_that_is_well_has_no_findings() -> None:
    assert findings() == ()
    assert worst(()) is Severity.OK


def test_without_a_spec_what_nobody_has_to_want_is_judged() -> None:
    off = replace(domain(), state=DomainState.SHUTOFF)
    assert findings(NO_SPEC, domains=(off,), links=()) == ()
    sick = replace(ARRAY, state=ArrayState.FAILED)
    assert [one.name for one in findings(NO_SPEC, arrays=(sick,))] == ["array-failed"]


@given(SEVERITIES)
def test_the_whole_is_as_bad_as_the_first(severities: list[Severity]) -> None:
    order = [Severity.CRITICAL, Severity.UNKNOWN, Severity.WARNING, Severity.OK]
    found = worst_first([of(one) for one in severities])
    assert [one.severity for one in found] == sorted(severities, key=order.index)
    assert worst(found) is (found[0].severity if found else Severity.OK)


def test_exit_codes_are_those_of_plugins() -> None:
    assert [Severity(word).code for word in ("ok", "warning", "critical", "unknown")] == [
        0, 1, 2, 3,
    ]  # fmt: skip


def test_the_plan_is_told_by_subject() -> None:
    def step(what: str) -> Step:
        return Step(noun=Noun.DOMAINS, subject="guest web", what=what, why="", actions=())

    found = only(
        Severity.WARNING, "spec-differs", plan=Plan(steps=(step("define it"), step("start it")))
    )
    assert found.what == "it is not as the spec says; apply would: define it, and 1 more"
    found = only(Severity.WARNING, "spec-differs", plan=Plan(steps=(step("define it"),)))
    assert found.what.endswith("apply would: define it")
    refusal = Refusal(subject="guest web", reason="it is not ours", hint="rename it")
    found = only(Severity.WARNING, "spec-refused", plan=Plan(refusals=(refusal,)))
    assert found.todo == "rename it"


def test_what_is_not_seen_is_told_once() -> None:
    hole = Problem(what="libvirt", reason="it is silent", hint="start it")
    refusal = Refusal(subject="libvirt", reason="it is silent", hint="start it", unready=True)
    found = only(
        Severity.UNKNOWN, "not-seen", plan=Plan(refusals=(refusal,)),
        problems=(hole,),
    )  # fmt: skip
    assert found.todo == "start it"


def test_critical_comes_before_unknown() -> None:
    broken = replace(ARRAY, state=ArrayState.FAILED)
    hole = Problem(what="libvirt", reason="it is silent", hint="start it")
    assert [one.name for one in findings(arrays=(broken,), problems=(hole,))] == [
        "array-failed",
        "not-seen",
    ]
