"""Whether a refused plan says that the host is not ready (exit code 5), or no (4)."""

from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.facts import GROUPS, LIBVIRT, VOLUMES, Facts, Problem
from kvmkeep.model.plan import Plan, Refusal
from kvmkeep.model.spec import FileDisk, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.adoption.release import Letting, plan_release
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.offline.inspect import Question, plan_inspect
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.start import plan_start
from kvmkeep.report.script import plan_script
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

FAR = FileDisk(name=Label("far"), size=Size(GIB), path="/data/far.img", mount="/data")


def site() -> tuple[FakeHost, Spec]:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest())
    reach(host, wanted)
    return host, wanted


def holed(facts: Facts, what: str) -> Facts:
    """Return facts in which something is not seen: it looks as if it were not there."""
    hole = Problem(what=what, reason="it does not answer", hint="mend it")
    gone: dict[str, tuple[object, ...]] = {
        LIBVIRT: {"domains": ()}, VOLUMES: {"volumes": ()}, GROUPS: {"groups": ()}
    }[what]  # fmt: skip
    return replace(facts, problems=(hole,), **gone)


RENAMING = Renaming(
    old=GuestName("web"), new=GuestName("shop"), file="/x/web.yaml", takes_identity=True
)


@pytest.mark.parametrize("what", [LIBVIRT, VOLUMES, GROUPS])
def test_what_is_not_seen_only_seems_to_be_missing(what: str) -> None:
    host, wanted = site()
    facts = holed(host.facts(wanted), what)
    plans = (
        make_plan(wanted, facts),
        plan_rename(wanted, facts, RENAMING),
        plan_release(wanted, facts, Letting(guests=("web",), everything=False)),
        plan_inspect(wanted, facts, Question(name="web", asked="20261123T071034Z"), None),
    )
    assert all(plan.unready for plan in plans), [plan.refusals for plan in plans]


def test_no_step_is_planned_for_guests_that_are_not_seen() -> None:
    host, wanted = site()
    host.nm.links.clear()
    host.nm.profiles.clear()
    unmade = replace(host.facts(wanted), links=site()[0].facts(wanted).links[:1])
    (step,) = make_plan(wanted, holed(unmade, LIBVIRT)).steps
    assert step.subject == "network public"


def test_a_guard_says_no_also_where_a_program_is_missing() -> None:
    missing = Refusal(subject="program xz", reason="not installed", hint="", unready=True)
    foreign = Refusal(subject="guest web", reason="not ours", hint="")
    assert Plan(refusals=(missing,)).unready
    assert not Plan(refusals=(missing, foreign)).unready
    assert not Plan().unready


def test_a_missing_mount_or_disk_makes_the_host_not_ready() -> None:
    host, wanted = site()
    host.mounts.clear()
    host.libvirt.domains["web"].live = None
    needing = spec(guest(run=replace(guest().run, mounts=("/data",))))
    lying = spec(guest(disks=(*guest().disks, FAR)))
    assert plan_start(needing, host.facts(needing), ["web"]).unready
    assert plan_start(lying, host.facts(lying), ["web"]).unready
    assert make_plan(lying, host.facts(lying)).unready
    torn = FakeHost()
    torn.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    facts = torn.facts(wanted)
    half = replace(facts, groups=(replace(facts.groups[0], missing_pvs=1),))
    assert make_plan(wanted, half).unready


def test_an_image_that_is_to_be_brought_first() -> None:
    host, wanted = site()
    facts = replace(host.facts(wanted), images=())
    plan = plan_inspect(wanted, facts, Question(name="debian", asked="20261123T071034Z"), None)
    assert plan.unready


def test_a_refused_script_ends_with_the_same_code() -> None:
    missing = Refusal(subject="program xz", reason="not installed", hint="", unready=True)
    assert plan_script(Plan(refusals=(missing,))).endswith("exit 5\n")
    foreign = replace(missing, unready=False)
    assert plan_script(Plan(refusals=(foreign,))).endswith("exit 4\n")
