"""`watch`: who died is started again, but not for ever; the rest is told."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from kvmkeep.model.agent import AgentFacts
from kvmkeep.model.command import Poll
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Plan
from kvmkeep.model.run import OnFail, Ready, ReadyConsole, ReadyDelay, ReadyTcp
from kvmkeep.model.run_mark import NO_RUN_MARK
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning.running.reboot import plan_cold_reboot
from kvmkeep.planning.running.shutdown import plan_shutdown
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.watch import PAUSES, WELL, plan_look_after
from kvmkeep.planning.snapshots.create import plan_create
from tests.unit.planning.cut_off import cut, site
from tests.unit.planning.rounds import StepError, carry_out, plan_recover, reach
from tests.unit.planning.sets import wish

STAYS_OFF = "it needs db, which is off and is to stay so (kvmkeep start db)"


class Watched:
    """A host whose guests are up, and its clock."""

    def __init__(self, **of_db: object) -> None:
        self.host, self.spec = site(**of_db)
        reach(self.host, self.spec, plan_recover)
        self.time = datetime.fromisoformat("2026-01-01T00:00:00Z")

    def facts(self) -> Facts:
        return replace(self.host.facts(self.spec), time=self.time.isoformat())

    def plan(self) -> Plan:
        return plan_look_after(self.spec, self.facts())

    def look(self) -> None:
        time = self.time.isoformat()
        reach(self.host, self.spec, lambda s, f: plan_look_after(s, replace(f, time=time)))

    def later(self, seconds: int) -> None:
        self.time += timedelta(seconds=seconds)

    def dies(self, name: str, why: str = "crashed") -> None:
        self.host.libvirt.domains[name].end(why)

    def state(self, name: str) -> str:
        return self.host.libvirt.domains[name].state

    @property
    def told(self) -> dict[str, str]:
        return {note.subject.removeprefix("guest "): note.text for note in self.plan().notes}


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_where_all_is_well_nothing_is_done_or_told(watched: Watched) -> None:
    assert watched.plan() == Plan(once=True)


def test_the_dead_are_started_again_in_the_order_of_their_needs(watched: Watched) -> None:
    watched.dies("web")
    watched.dies("db")
    steps = [f"{s.what.split()[0]} {s.subject.split()[1]}" for s in watched.plan().steps]
    assert steps == ["start db", "wait db", "start web", "wait web"]
    watched.look()
    assert watched.plan().empty
    assert watched.facts().domain("web").run_mark.restarts == 1  # type: ignore[union-attr]


def test_who_has_put_itself_to_sleep_is_told(watched: Watched) -> None:
    watched.host.libvirt.domains["web"].asleep = True
    assert watched.plan().empty
    assert watched.told["web"] == "it has put itself to sleep (let it go on: kvmkeep resume web)"


def test_whose_kernel_panicked_is_told_until_it_has_a_new_process(watched: Watched) -> None:
    watched.host.libvirt.domains["web"].panicked = True
    assert watched.plan().empty
    told = "its kernel panicked, and libvirt has reset it: see kvmkeep check"
    assert watched.told["web"] == told
    before = watched.facts()
    reach(watched.host, watched.spec, lambda s, f: plan_cold_reboot(s, f, before, ("web",)))
    assert watched.plan() == Plan(once=True)


@pytest.mark.parametrize("why", ["shutdown", "destroyed"])
def test_who_was_shut_down_by_others_is_told_and_left_alone(watched: Watched, why: str) -> None:
    watched.dies("web", why)
    assert watched.plan().empty
    assert f"is off ({why}), but not by kvmkeep" in watched.told["web"]
    assert "kvmkeep shutdown web" in watched.told["web"]


def test_who_was_shut_down_by_kvmkeep_is_not_even_told(watched: Watched) -> None:
    reach(watched.host, watched.spec, lambda s, f: plan_shutdown(s, f, ("web",)))
    assert watched.state("web") == "shut off"
    assert watched.plan() == Plan(once=True)


def test_a_guest_that_dies_again_and_again_is_started_ever_later_and_then_held(
    watched: Watched,
) -> None:
    for number, pause in enumerate(PAUSES):
        watched.dies("web")
        if pause:
            assert watched.plan().empty
            assert f"died again after {number} restarts; the next" in watched.told["web"]
        watched.later(pause)
        watched.look()
        assert watched.state("web") == "running"
    watched.dies("web")
    watched.look()
    assert watched.state("web") == "shut off"
    assert "held: it died again after 4 restarts" in watched.told["web"]
    watched.later(10 * WELL)
    assert watched.plan().empty
    assert "then: kvmkeep start web" in watched.told["web"]
    reach(watched.host, watched.spec, lambda s, f: plan_start(s, f, ("web",)))
    watched.dies("web")
    watched.look()
    assert watched.state("web") == "running"


def crash_loop(watched: Watched) -> None:
    for pause in PAUSES:
        watched.dies("web")
        watched.later(pause)
        watched.look()
    watched.dies("web")
    watched.look()
    assert watched.told["web"].startswith("held: it died again after 4 restarts")


@pytest.mark.parametrize("how", ["boot", "virsh start"])
def test_who_was_held_and_runs_again_is_looked_after_as_before(watched: Watched, how: str) -> None:
    crash_loop(watched)
    if how == "boot":
        cut(watched.host)
        reach(watched.host, watched.spec, plan_recover)
    else:
        watched.host.libvirt.virsh(("start", "--", "web"))
    (step, *_) = watched.plan().steps
    assert (step.what, step.subject, step.isolated) == (
        "forget that it was held", "guest web", True,
    )  # fmt: skip
    watched.look()
    assert watched.facts().domain("web").run_mark == NO_RUN_MARK  # type: ignore[union-attr]
    for _ in range(2):
        watched.dies("web")
        watched.later(PAUSES[1])
        watched.look()
        assert watched.state("web") == "running"


def test_who_could_not_be_started_did_not_die(watched: Watched) -> None:
    watched.host.libvirt.boots = lambda domain: "no bridge" if domain.name == "web" else ""
    watched.dies("web")
    for pause in (*PAUSES, *PAUSES[-1:] * 3):
        watched.later(pause)
        (start, _) = watched.plan().steps
        with pytest.raises(StepError, match="no bridge"):
            carry_out(watched.host, start)
    assert (
        watched.told["web"] == "it could not be started after 3 restarts; the next one is in 900 s"
    )
    watched.host.libvirt.boots = lambda _: ""
    watched.later(900)
    watched.look()
    assert watched.state("web") == "running"
    for _ in PAUSES[1:]:
        watched.later(max(PAUSES))
        watched.dies("web")
        watched.look()
        assert watched.state("web") == "running"
    watched.dies("web")
    watched.look()
    assert "held: it died again after 4 restarts" in watched.told["web"]


def test_who_needs_one_that_is_not_started_now_waits_for_it(watched: Watched) -> None:
    watched.dies("db")
    watched.look()
    watched.dies("db")
    watched.dies("web")
    assert watched.plan().empty
    assert watched.told["web"] == "held back: it needs db, which is off"
    watched.later(PAUSES[1])
    watched.look()
    assert watched.state("web") == "running"


def test_who_needs_one_that_is_not_ready_waits_for_it(watched: Watched) -> None:
    watched.dies("web")
    watched.host.libvirt.domains["db"].was_ready = False
    assert watched.told["web"] == "held back: it needs db, whose agent is silent"
    facts = replace(watched.facts(), agents=(AgentFacts(guest="db", problem=""),))
    steps = plan_look_after(watched.spec, facts).steps
    assert [step.subject for step in steps] == ["guest web", "guest web", "guest db"]


def test_who_was_seen_to_be_ready_keeps_that_whoever_started_it(watched: Watched) -> None:
    watched.host.libvirt.domains["db"].was_ready = False
    facts = replace(watched.facts(), agents=(AgentFacts(guest="db", problem=""),))
    (step,) = plan_look_after(watched.spec, facts).steps
    assert step.what == "remember that it is ready"
    carry_out(watched.host, step)
    assert watched.plan().empty
    watched.dies("web")
    assert [step.subject for step in watched.plan().steps] == ["guest web", "guest web"]


def test_a_line_on_the_console_is_kept_while_it_is_there_whoever_started_the_guest() -> None:
    watched = Watched()
    guests = tuple(
        replace(one, run=replace(one.run, ready=ReadyConsole(pattern="db ready")))
        if one.name == "db"
        else one
        for one in watched.spec.guests
    )
    watched.spec = replace(watched.spec, guests=guests)
    db = watched.host.libvirt.domains["db"]
    db.was_ready, db.ready_line = False, ""
    assert watched.plan().empty
    for _ in ("never kept", "another line was kept"):
        (step,) = plan_look_after(watched.spec, replace(watched.facts(), said=("db",))).steps
        assert (step.what, step.isolated) == ("remember that it is ready", True)
        carry_out(watched.host, step)
        assert (db.was_ready, db.ready_line) == (True, "db ready")
        db.ready_line = "up"
    watched.dies("web")
    assert [one.subject for one in watched.plan().steps] == ["guest web", "guest web"]
    gone = replace(watched.facts(), said=("db",), domains=())
    assert plan_look_after(watched.spec, gone).steps == ()


@pytest.mark.parametrize(
    ("ready", "first"), [(ReadyDelay(seconds=900), "guest web"), (ReadyTcp(port=1), "guest db")]
)
def test_whose_readiness_no_agent_tells_is_waited_for_a_little(ready: Ready, first: str) -> None:
    watched = Watched(ready=ready)
    watched.dies("web")
    watched.host.libvirt.domains["db"].was_ready = False
    steps = watched.plan().steps
    assert steps[0].subject == first
    assert all(a.limit <= 30 for a in steps[0].actions if isinstance(a, Poll))
    assert "guest db" in steps[-1].after


def test_two_who_need_the_same_one_wait_for_it_once() -> None:
    watched = Watched(ready=ReadyTcp(port=1))
    guests = tuple(
        replace(one, run=replace(one.run, needs=(GuestName("db"),))) if one.name == "lone" else one
        for one in watched.spec.guests
    )
    watched.spec = replace(watched.spec, guests=guests)
    watched.dies("web")
    watched.dies("lone")
    watched.host.libvirt.domains["db"].was_ready = False
    assert [one.subject for one in watched.plan().steps].count("guest db") == 1


def test_a_snapshot_that_can_not_grow_keeps_nobody_off(watched: Watched) -> None:
    reach(
        watched.host,
        watched.spec,
        lambda s, f: plan_create(s, f, wish(guests=("lone",), size=Size(400 << 20))),
    )
    watched.dies("web")
    for volume in watched.host.lvm.volumes.values():
        volume.filled = 75.0
    assert "extend snapshot" in watched.plan().steps[-1].what
    facts = watched.facts()
    (group,) = facts.groups
    plan = plan_look_after(watched.spec, replace(facts, groups=(replace(group, missing_pvs=1),)))
    assert [step.subject for step in plan.steps] == ["guest web", "guest web"]
    (note,) = plan.notes
    assert note.text.startswith("1 of its physical volumes are missing (bring the disks back")


def test_whose_wait_fails_each_time_has_its_snapshots_grow_all_the_same() -> None:
    watched = Watched(ready=ReadyTcp(port=1))
    reach(
        watched.host,
        watched.spec,
        lambda s, f: plan_create(s, f, wish(guests=("db",), size=Size(400 << 20))),
    )
    for volume in watched.host.lvm.volumes.values():
        volume.filled = 75.0
    watched.host.libvirt.domains["db"].was_ready = False
    watched.dies("web")
    wait, start, up, grow = watched.plan().steps
    assert grow.what.startswith("extend snapshot")
    assert (grow.subject, grow.isolated) == ("snapshots of guest db", True)
    assert not {wait.subject, start.subject, up.subject} & {grow.subject, *grow.after}


def test_a_snapshot_that_can_not_grow_keeps_no_others_from_it(watched: Watched) -> None:
    reach(
        watched.host,
        watched.spec,
        lambda s, f: plan_create(s, f, wish(guests=("db", "web"), size=Size(400 << 20))),
    )
    for volume in watched.host.lvm.volumes.values():
        volume.filled = 75.0
    grow = [step for step in watched.plan().steps if step.what.startswith("extend snapshot")]
    assert {step.subject for step in grow} == {"snapshots of guest db", "snapshots of guest web"}
    assert all(step.isolated for step in grow)


def test_who_ran_well_for_long_begins_anew(watched: Watched) -> None:
    for _ in range(2 * len(PAUSES)):
        watched.dies("web")
        watched.look()
        assert watched.state("web") == "running"
        watched.later(WELL)
    assert watched.facts().domain("web").run_mark.restarts == 1  # type: ignore[union-attr]


def test_a_clock_that_went_back_holds_nobody(watched: Watched) -> None:
    watched.dies("web")
    watched.look()
    watched.dies("web")
    watched.later(-86400)
    watched.look()
    assert watched.state("web") == "running"


def test_what_holds_a_guest_back_is_told(watched: Watched) -> None:
    watched.dies("web")
    reach(watched.host, watched.spec, lambda s, f: plan_shutdown(s, f, ("db",)))
    assert watched.plan().empty
    assert watched.told == {"web": f"held back: {STAYS_OFF}"}
    watched = Watched()
    watched.dies("web")
    del watched.host.lvm.volumes["vm-web"]
    assert "held back: " in watched.told["web"]
    assert "gone" in watched.told["web"]


@pytest.mark.parametrize("how", ["by kvmkeep", "shutdown"])
def test_who_can_do_without_one_that_is_off_is_started_again(how: str) -> None:
    watched = Watched(on_fail=OnFail.CONTINUE)
    if how == "by kvmkeep":
        reach(watched.host, watched.spec, lambda s, f: plan_shutdown(s, f, ("db",)))
    else:
        watched.dies("db", how)
    watched.dies("web")
    watched.look()
    assert watched.state("web") == "running"


def without_word() -> Watched:
    """What web needs doesn't start with the host by itself, and needs a mount."""
    return Watched(autostart=False, mounts=("/data",))


def test_what_a_guest_needs_is_started_too_once_its_late_mount_is_there() -> None:
    watched = without_word()
    cut(watched.host)
    watched.host.mounts.discard("/data")
    reach(watched.host, watched.spec, plan_recover)
    assert (watched.state("db"), watched.state("web")) == ("shut off", "shut off")
    assert watched.told["db"].startswith("held back: it needs /data, where nothing is mounted")
    assert watched.told["web"].startswith("held back: it needs db, which is held back")
    watched.host.mounts.add("/data")
    steps = [f"{s.what.split()[0]} {s.subject.split()[1]}" for s in watched.plan().steps]
    assert steps == ["start db", "wait db", "start web", "wait web"]
    watched.look()
    assert (watched.state("db"), watched.state("web")) == ("running", "running")
    watched.dies("db")
    watched.later(PAUSES[1])
    watched.look()
    assert watched.state("db") == "running", "web runs, and needs it"


def test_what_a_guest_needs_stays_off_where_kvmkeep_shut_it_down() -> None:
    watched = without_word()
    reach(watched.host, watched.spec, lambda s, f: plan_shutdown(s, f, ("db",)))
    assert watched.plan() == Plan(once=True)
    watched.dies("web")
    watched.host.libvirt.domains["db"].why = ""  # libvirt was restarted
    assert watched.plan().empty
    assert watched.told["web"] == f"held back: {STAYS_OFF}"
    assert "db" not in watched.told
    reach(watched.host, watched.spec, lambda s, f: plan_start(s, f, ("web",)))
    assert watched.state("db") == "running"


def test_what_a_guest_needs_stays_off_where_others_shut_it_down_and_is_told() -> None:
    watched = without_word()
    watched.dies("db", "destroyed")
    watched.dies("web")
    assert watched.plan().empty
    assert watched.told["web"] == "held back: it needs db, which is off (kvmkeep start)"
    assert "is off (destroyed), but not by kvmkeep" in watched.told["db"]


def test_what_a_guest_needs_is_told_where_libvirt_has_lost_it() -> None:
    watched = without_word()
    del watched.host.libvirt.domains["db"]
    assert watched.told["db"].startswith("held back: libvirt has lost its definition")


def test_what_only_those_need_that_are_to_stay_off_is_left_alone() -> None:
    watched = without_word()
    reach(watched.host, watched.spec, lambda s, f: plan_shutdown(s, f, ("web", "db")))
    watched.host.libvirt.domains["db"].why = ""
    assert watched.plan() == Plan(once=True)


def test_a_definition_that_libvirt_has_lost_is_told(watched: Watched) -> None:
    del watched.host.libvirt.domains["db"]
    assert watched.told["db"].startswith("held back: libvirt has lost its definition (have it back")
    assert watched.plan().steps == ()


def test_who_stands_still_or_fell_silent_is_told(watched: Watched) -> None:
    for name, why in (("web", "I/O error"), ("lone", "user")):
        watched.host.libvirt.domains[name].paused = True
        watched.host.libvirt.domains[name].why = why
    facts = replace(
        watched.facts(),
        agents=(
            AgentFacts(guest="db", problem="it did not answer"),
            AgentFacts(guest="dns", problem=""),
        ),
    )
    plan = plan_look_after(watched.spec, facts)
    assert [(note.subject, note.text.partition(":")[0]) for note in plan.notes] == [
        ("guest db", "it was ready, but now its agent is silent"),
        ("guest web", "it stands still since one of its disks gave an error"),
    ]
