"""Memory and CPUs: changed while the guest runs where that can be, else for its next start."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.command import Poll
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.plan import Risk
from kvmkeep.model.units import Size
from tests.unit.planning.build import GIB
from tests.unit.planning.rounds import StepError, reach
from tests.unit.planning.served import commands, notes, planned, serving, site

ROOMY = {"memory_headroom": Size(2 * GIB), "vcpus_headroom": 2}


def shape(host: FakeHost, *, live: bool = False) -> tuple[str, str, str, str]:
    """Return memory and its most in GiB, CPUs and their most."""
    domain = host.libvirt.domains["web"]
    xml = domain.live if live else domain.xml
    vcpu = xml.find("vcpu")
    sizes = (int(xml.findtext(name)) >> 20 for name in ("currentMemory", "memory"))
    return (*(str(size) for size in sizes), vcpu.get("current", vcpu.text), vcpu.text)


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize(("memory", "vcpus"), [(3, 4), (1, 1), (1, 4)])
def test_without_headroom_more_waits_for_the_next_start(
    memory: int, vcpus: int, *, runs: bool
) -> None:
    host, web = serving()
    if not runs:
        host.libvirt.domains["web"].live = None
    more = replace(web, memory=Size(memory * GIB), vcpus=vcpus)
    reach(host, site(more))
    assert shape(host) == (str(memory), str(memory), str(vcpus), str(vcpus))
    plan = planned(host, more)
    assert plan.empty
    assert len(plan.notes) == 2 * runs
    assert all(note.pending for note in plan.notes)
    if runs:
        # The balloon takes memory at once; what QEMU may have stays until then.
        assert shape(host, live=True) == ("1" if memory == 1 else "2", "2", "2", "2")
        host.libvirt.domains["web"].live = None
        assert notes(planned(host, more)) == []


def test_within_its_headroom_a_guest_gets_more_and_less_while_it_runs() -> None:
    host, web = serving(**ROOMY)
    assert shape(host) == shape(host, live=True) == ("2", "4", "2", "4")
    host.libvirt.domains["web"].agent = True
    more = replace(web, memory=Size(4 * GIB), memory_headroom=Size(0), vcpus=3, vcpus_headroom=1)
    plan = planned(host, more)
    assert [step.what for step in plan.steps[:2]] == [
        "give it 4 GiB of memory", "give it 3 CPUs (up to 4)",
    ]  # fmt: skip
    assert plan.steps[0].why == "the spec says so, and it has 2 GiB of memory (up to 4 GiB)"
    assert {step.risk for step in plan.steps[:2]} == {Risk.GUEST}
    texts = commands(plan)
    assert texts[0] == "setmem --domain web --size 4194304 --config --live"
    assert texts[2] == "setvcpus --domain web --count 3 --config --live"
    assert '"logical-id":2,"online":true' in texts[3]
    assert plan.notes == ()
    run_agentless(host, more)
    assert shape(host) == shape(host, live=True) == ("4", "4", "3", "4")
    reach(host, site(replace(more, memory=Size(1 * GIB), memory_headroom=Size(3 * GIB))))
    assert shape(host, live=True)[:2] == ("1", "4")


def run_agentless(host: FakeHost, web: object) -> None:
    host.libvirt.domains["web"].agent = False
    reach(host, site(web))


def test_cpus_are_not_taken_from_a_running_guest() -> None:
    host, web = serving()
    fewer = replace(web, vcpus=1, vcpus_headroom=3)
    plan = planned(host, fewer)
    assert commands(plan) == [
        "setvcpus --domain web --count 1 --config",
        "setvcpus --domain web --count 4 --config --maximum",
    ]
    assert notes(plan) == [
        "when it is shut down and started again, it has 1 CPU (up to 4) (now 2 CPUs)"
    ]
    assert plan.steps[0].what == "give it 1 CPU (up to 4), from its next start on"
    reach(host, site(fewer))


def test_what_somebody_else_set_is_undone_and_named() -> None:
    host, web = serving(**ROOMY)
    domain = host.libvirt.domains["web"]
    domain.live.find("currentMemory").text = str(1 << 20)
    domain.xml.find("vcpu").set("current", "1")
    plan = planned(host, web)
    assert commands(plan)[0] == "setmem --domain web --size 2097152 --live"
    assert [step.why for step in plan.steps[:2]] == [
        "the spec says so, and it has 1 GiB of memory (up to 4 GiB)",
        "the spec says so, and its definition says 1 CPU (up to 4)",
    ]
    reach(host, site(web))
    assert shape(host) == shape(host, live=True) == ("2", "4", "2", "4")


def test_a_guest_that_does_not_let_go_of_memory_is_told() -> None:
    host, web = serving(**ROOMY)
    host.libvirt.stiff.add("web")
    less = replace(web, memory=Size(1 * GIB))
    with pytest.raises(StepError, match="the guest to have 1 GiB of memory"):
        reach(host, site(less))
    poll = planned(host, less).steps[0].actions[-1]
    assert isinstance(poll, Poll)
    assert "virtio_balloon" in poll.otherwise
    host.libvirt.stiff.clear()
    reach(host, site(less))


@pytest.mark.parametrize("state", [DomainState.PAUSED, DomainState.SUSPENDED])
def test_a_guest_that_stands_still_is_changed_later(state: DomainState) -> None:
    host, web = serving(**ROOMY)
    more = replace(web, memory=Size(3 * GIB), vcpus=3)
    plan = planned(host, more, state=state)
    assert not [text for text in commands(plan) if "--live" in text]
    assert len(plan.notes) == 2


def test_a_guest_without_a_balloon_keeps_its_memory_until_its_next_start() -> None:
    host, web = serving(**ROOMY)
    (domain,) = host.facts(site(web)).domains
    live = replace(domain.live, balloon=False)
    more = replace(web, memory=Size(3 * GIB), memory_headroom=Size(GIB))
    plan = planned(host, more, live=live)
    assert commands(plan) == ["setmem --domain web --size 3145728 --config"]
    assert notes(plan) == [
        "when it is shut down and started again, it has 3 GiB of memory (up to 4 GiB) "
        "(now 2 GiB of memory (up to 4 GiB))"
    ]


def test_sizes_that_qemu_rounds_are_the_same() -> None:
    host, web = serving()
    odd = replace(web, memory=Size(2 * GIB - 500 * 1024))
    assert planned(host, odd).empty


def test_a_domain_whose_shape_can_not_be_read_is_left_alone() -> None:
    host, web = serving()
    more = replace(web, memory=Size(3 * GIB), vcpus=3)
    plan = planned(host, more, defined=None, live=None)
    assert plan.empty
    assert plan.notes == ()
