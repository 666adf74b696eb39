"""Who would be held back by the next start of the host, as long as all still runs."""

from __future__ import annotations

from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.health.differences import difference_findings
from kvmkeep.health.patient import make_patient
from kvmkeep.model.facts import LIBVIRT, Problem
from kvmkeep.model.health import Severity
from kvmkeep.model.run import OnFail
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.units import GuestName
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.next_boot import kept_down
from kvmkeep.planning.running.recover import recovery
from kvmkeep.planning.running.shutdown import plan_shutdown
from tests.unit.health.build import VITALS
from tests.unit.planning.build import guest
from tests.unit.planning.cut_off import cut, site
from tests.unit.planning.rounds import plan_recover, reach


def up(**of_db: object) -> tuple[FakeHost, Spec]:
    host, wanted = site(**of_db)
    reach(host, wanted, plan_recover)
    return host, wanted


def down(host: FakeHost, wanted: Spec) -> dict[str, str]:
    found = kept_down(wanted, host.facts(wanted))
    return {one.subject.removeprefix("guest "): one.reason for one in found}


def held_after_a_cut(host: FakeHost, wanted: Spec) -> set[str]:
    cut(host)
    found = recovery(wanted, host.facts(wanted)).held_back
    return {one.subject.removeprefix("guest ") for one in found}


def with_cache(wanted: Spec, cache: Guest) -> Spec:
    """Web needs one more guest, which is not made yet."""
    more = (
        replace(one, run=replace(one.run, needs=(*one.run.needs, GuestName("cache"))))
        if one.name == "web"
        else one
        for one in wanted.guests
    )
    return replace(wanted, guests=(*more, cache))


def as_qcow2(host: FakeHost, name: str) -> None:
    for driver in host.libvirt.domains[name].xml.findall("devices/disk/driver"):
        driver.set("type", "qcow2")


def test_where_all_can_be_started_nobody_is_named() -> None:
    host, wanted = up()
    assert down(host, wanted) == {}


def test_a_need_that_is_not_made_yet() -> None:
    host, wanted = up()
    more = with_cache(wanted, guest("cache"))
    assert down(host, more) == {"cache": "libvirt does not know it yet; it is needed by web"}
    facts = host.facts(more)
    patient = make_patient(more, facts, make_plan(more, facts), VITALS)
    (told,) = (one for one in difference_findings(patient) if one.subject == "guest cache")
    assert told.severity is Severity.CRITICAL
    reach(host, more, lambda s, f: plan_shutdown(s, f, ("web",)))
    assert down(host, more) == {}, "nobody who runs needs it"
    loose = replace(guest("cache").run, on_fail=OnFail.CONTINUE)
    host, wanted = up()
    more = with_cache(wanted, replace(guest("cache"), run=loose))
    assert down(host, more) == {}
    assert held_after_a_cut(host, more) == {"cache"}


def test_a_need_that_does_not_start_by_itself_and_can_not_be_started() -> None:
    host, wanted = up(autostart=False)
    as_qcow2(host, "db")
    (reason,) = down(host, wanted).values()
    assert reason.endswith("; it is needed by web")
    assert held_after_a_cut(host, wanted) == {"db", "web"}


def test_a_need_that_is_to_stay_off_is_not_blamed() -> None:
    host, wanted = up()
    as_qcow2(host, "db")
    reach(host, wanted, lambda s, f: plan_shutdown(s, f, ("db",)))
    assert down(host, wanted) == {}


def test_who_is_to_run_and_is_needed_by_nobody() -> None:
    host, wanted = up()
    as_qcow2(host, "lone")
    assert down(host, wanted).keys() == {"lone"}
    assert "needed" not in down(host, wanted)["lone"]


def test_what_can_not_be_seen_is_not_missed() -> None:
    host, wanted = up()
    as_qcow2(host, "lone")
    facts = host.facts(wanted)
    hole = Problem(what=LIBVIRT, reason="it does not answer", hint="")
    assert kept_down(wanted, replace(facts, problems=(hole,))) == ()
