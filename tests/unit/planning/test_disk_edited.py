"""A guest whose disks were changed with `virsh edit`: refused, with what to type."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost

from kvmkeep.model.plan import Plan
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.start import plan_start
from tests.unit.planning.build import GIB, guest, spec
from tests.unit.planning.rounds import plan_recover
from tests.unit.planning.test_disk_change import site

WANTED = spec(guest(data=GIB))


def edit(host: FakeHost, target: str, path: str, **attributes: str) -> None:
    """Change an element of a disk in the definition."""
    for disk in host.libvirt.domains["web"].xml.findall("devices/disk"):
        if disk.find("target").get("dev") == target:
            disk.find(path).attrib.update(attributes)


def reasons(plan: Plan) -> list[str]:
    return [one.reason for one in plan.refusals if one.subject == "guest web"]


@pytest.mark.parametrize("off", [True, False])
@pytest.mark.parametrize(
    ("told", "words"), [("qcow2", "as qcow2, not as raw"), ("", "as whatever it looks like")]
)
def test_a_disk_that_would_be_read_as_another_format(told: str, words: str, *, off: bool) -> None:
    host = site(off=off)
    assert reasons(make_plan(WANTED, host.facts(WANTED))) == []
    edit(host, "vdb", "driver", type=told)
    plan = make_plan(WANTED, host.facts(WANTED))
    (reason,) = reasons(plan)
    assert reason.startswith("its disk vdb reads /dev/rl_build/vm-web-data as ")
    assert words in reason
    (refusal,) = plan.refusals
    assert refusal.hint.startswith("virsh edit web: <driver name='qemu' type='raw'/>")
    assert [step.what for step in plan.steps if "attach" in str(step.actions)] == []


def test_such_a_guest_is_not_started_nor_recovered() -> None:
    host = site(off=True)
    edit(host, "vda", "driver", type="qcow2")
    assert len(reasons(plan_start(WANTED, host.facts(WANTED), ["web"]))) == 1
    plan = plan_recover(WANTED, host.facts(WANTED))
    assert plan.steps == ()
    assert any("as qcow2" in note.text for note in plan.notes)


@pytest.mark.parametrize("source", ["/dev/rl_build/root", ""])
def test_something_else_in_a_disks_place(source: str) -> None:
    host = site()
    host.lvm.add("root", GIB)
    edit(host, "vda", "source", dev=source)
    (reason,) = reasons(make_plan(WANTED, host.facts(WANTED)))
    named = source or "nothing"
    assert reason == f"its definition has {named} as vda, where /dev/rl_build/vm-web was"


def test_a_difference_that_the_spec_has_no_words_for_gives_no_disk_twice() -> None:
    host = site()
    edit(host, "vdb", "driver", cache="writeback")
    edit(host, "vdb", "target", bus="scsi")
    plan = make_plan(WANTED, host.facts(WANTED))
    assert (reasons(plan), [s.what for s in plan.steps if "give it" in s.what]) == ([], [])
