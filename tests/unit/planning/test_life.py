"""Reboot, poweroff, suspend, resume and autostart on a host in memory."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.facts import Facts
from kvmkeep.model.names import console_log
from kvmkeep.model.plan import Plan
from kvmkeep.model.run import ReadyConsole, ReadyDelay, ReadyTcp
from kvmkeep.model.spec import Place, Spec
from kvmkeep.planning.running.autostart import plan_autostart
from kvmkeep.planning.running.poweroff import plan_poweroff
from kvmkeep.planning.running.reboot import plan_cold_reboot, plan_reboot
from kvmkeep.planning.running.shutdown import plan_shutdown
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.suspend_resume import plan_resume, plan_suspend
from tests.unit.planning.build import guest, spec
from tests.unit.planning.rounds import StepError, reach
from tests.unit.planning.test_start import off, site


def reboot(host: FakeHost, wanted: Spec, *names: str, cold: bool = False) -> None:
    before = host.facts(wanted)
    plan = plan_cold_reboot if cold else plan_reboot

    def planner(spec: Spec, facts: Facts) -> Plan:
        return plan(spec, facts, before, names, 60)

    reach(host, wanted, planner)


def told(plan: Plan) -> str:
    return "\n".join(f"{one.subject}: {one.reason} -> {one.hint}" for one in plan.refusals)


def virsh(host: FakeHost, verb: str) -> list[str]:
    return [call.argv[-1] for call in host.calls if call.argv[:2] == ("virsh", verb)]


def with_ready(wanted: Spec, name: str, **changes: object) -> Spec:
    guests = tuple(
        replace(one, run=replace(one.run, **changes)) if one.name == name else one
        for one in wanted.guests
    )
    return replace(wanted, guests=guests)


def test_reboot_sees_the_guest_go_down_and_keeps_its_process() -> None:
    host, wanted = site()
    runs = {name: one.run for name, one in host.libvirt.domains.items()}
    reboot(host, wanted, "web", "db")
    assert virsh(host, "reboot") == ["db", "web"]
    assert [host.libvirt.domains[name].boots for name in ("web", "db", "dns")] == [2, 2, 1]
    assert {name: one.run for name, one in host.libvirt.domains.items()} == runs


def test_each_reboot_that_is_asked_for_is_one() -> None:
    host, wanted = site()
    reboot(host, wanted, "dns")
    later = replace(host.facts(wanted), time="2026-01-01T00:01:00Z")
    plan = plan_reboot(wanted, later, later, ("dns",), 60)
    assert [step.subject for step in plan.steps] == ["guest dns"]
    assert plan.notes[0].text == "it goes on running, and needs dns"


def test_who_was_rebooted_is_marked_as_ready() -> None:
    host, wanted = site()
    host.libvirt.domains["dns"].was_ready = False
    reboot(host, wanted, "dns")
    assert host.libvirt.domains["dns"].was_ready


def test_guest_that_does_not_reboot_is_no_success_and_goes_on_running() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].ignores_reboot = True
    with pytest.raises(StepError, match="guest web to go down"):
        reboot(host, wanted, "web")
    assert host.libvirt.domains["web"].state == "running"
    assert virsh(host, "destroy") == []


def test_silent_guest_is_not_asked_to_reboot() -> None:
    host, wanted = site()
    host.libvirt.silent_agents.add("web")
    with pytest.raises(StepError, match="to answer before it is asked"):
        reboot(host, wanted, "web")
    assert virsh(host, "reboot") == []


def test_console_of_the_boot_before_does_not_count() -> None:
    host, wanted = site()
    wanted = with_ready(wanted, "web", ready=ReadyConsole(pattern="first boot done"))
    log = console_log("web")
    host.put(f"{log}.0", b"of long ago: first boot done\n")
    with pytest.raises(StepError, match="to say so on its console"):
        reboot(host, wanted, "web")
    assert b"first boot done" in host.files[f"{log}.before"].content
    assert b"of long ago" in host.files[f"{log}.0.before"].content


def test_guest_without_agent_is_refused_unless_something_else_tells() -> None:
    host, wanted = site()
    delay = with_ready(wanted, "web", ready=ReadyDelay(seconds=5))
    facts = host.facts(delay)
    assert "reboot --cold web" in told(plan_reboot(delay, facts, facts, ("web",), 60))
    tcp = with_ready(wanted, "web", ready=ReadyTcp(port=22))
    (step,) = plan_reboot(tcp, facts, facts, ("web",), 60).steps
    assert "nc -z -w 3 10.223.0.20 22" in str(step.actions[0].command)
    reboot(host, delay, "web", cold=True)
    assert host.libvirt.domains["web"].boots == 2


def test_cold_reboot_gives_new_processes_and_starts_what_is_off() -> None:
    host, wanted = site()
    runs = {name: one.run for name, one in host.libvirt.domains.items()}
    off(host, "db")
    reboot(host, wanted, "web", "db", cold=True)
    assert virsh(host, "shutdown") == ["web"]
    assert virsh(host, "start") == ["db", "web"]
    assert host.libvirt.domains["web"].run != runs["web"]
    assert host.libvirt.domains["dns"].run == runs["dns"]


def test_guest_that_was_started_meanwhile_has_rebooted() -> None:
    host, wanted = site()
    before = host.facts(wanted)
    off(host, "web")
    reach(host, wanted, lambda s, f: plan_start(s, f, ("web",)))
    assert plan_reboot(wanted, host.facts(wanted), before, ("web",), 60).empty


def test_reboot_refuses_what_is_off_new_strange_or_still() -> None:
    host, wanted = site()
    off(host, "web")
    host.libvirt.domains["db"].paused = True
    host.libvirt.domains["dns"].asleep = True
    more = spec(*wanted.guests, guest("new"))
    facts = host.facts(more)
    names = ("web", "db", "dns", "new", "nobody")
    text = told(plan_reboot(more, facts, facts, names, 60))
    for one in (
        "guest web: it is off -> start it: kvmkeep start web",
        "guest db: it is paused (user), so it can't hear anything -> let it go on: "
        "kvmkeep resume db",
        "guest dns: it has put itself to sleep",
        "guest new: libvirt does not know it yet",
        "guest nobody: there is no such guest",
    ):
        assert one in text
    assert "kvmkeep resume db" in told(plan_shutdown(wanted, facts, ("db",), 60))
    assert "kvmkeep resume db" in told(plan_cold_reboot(wanted, facts, facts, ("db",), 60))
    assert "it is paused (user) -> let it go on: kvmkeep resume db" in told(
        plan_start(wanted, facts, ("db",))
    )


def test_fresh_guest_is_left_to_apply() -> None:
    host, wanted = site()
    host.lvm.volumes["vm-web"].tags.add("kvmkeep.state=fresh")
    facts = host.facts(wanted)
    assert "kvmkeep apply" in told(plan_reboot(wanted, facts, facts, ("web",), 60))
    plan = plan_poweroff(wanted, facts, ("web",))
    assert "left incomplete" in plan.notes[0].text


def test_poweroff_asks_qemu_first_and_goes_the_other_way() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].ignores_sigterm = True
    with pytest.raises(StepError, match="SIGTERM"):
        reach(host, wanted, lambda s, f: plan_poweroff(s, f, ("db", "web")))
    assert host.libvirt.domains["db"].state == "running"
    reach(host, wanted, lambda s, f: plan_poweroff(s, f, ("db", "web"), kill=True))
    assert virsh(host, "destroy") == ["web", "web", "db"]
    assert host.libvirt.domains["dns"].state == "running"
    (step,) = plan_poweroff(wanted, host.facts(wanted), ("dns",)).steps
    assert "plug" in step.what
    assert told(plan_poweroff(spec(guest("new")), host.facts(spec(guest("new"))), ("new",)))


def test_suspended_guests_keep_their_process_and_go_on() -> None:
    host, wanted = site()
    runs = {name: one.run for name, one in host.libvirt.domains.items()}
    reach(host, wanted, lambda s, f: plan_suspend(s, f, ("db", "web")))
    assert virsh(host, "suspend") == ["web", "db"]
    assert host.libvirt.domains["web"].state == "paused"
    assert plan_suspend(wanted, host.facts(wanted), ("web",)).empty
    reach(host, wanted, lambda s, f: plan_resume(s, f, ("web", "db", "dns")))
    assert virsh(host, "resume") == ["db", "web"]
    assert {one.state for one in host.libvirt.domains.values()} == {"running"}
    assert {name: one.run for name, one in host.libvirt.domains.items()} == runs


def test_guest_that_put_itself_to_sleep_is_woken_up() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].asleep = True
    run = host.libvirt.domains["web"].run
    reach(host, wanted, lambda s, f: plan_resume(s, f, ("web",)))
    assert virsh(host, "dompmwakeup") == ["web"]
    assert virsh(host, "resume") == []
    assert (host.libvirt.domains["web"].state, host.libvirt.domains["web"].run) == ("running", run)


def test_what_can_not_be_suspended_or_resumed_is_refused() -> None:
    host, wanted = site()
    off(host, "web")
    more = spec(*wanted.guests, guest("new"))
    facts = host.facts(more)
    assert "it is shut off" in told(plan_suspend(more, facts, ("web",)))
    assert "kvmkeep start web" in told(plan_resume(more, facts, ("web",)))
    assert "guest new" in told(plan_suspend(more, facts, ("new",)))
    assert "guest new" in told(plan_resume(more, facts, ("new",)))


def test_guest_that_a_disk_stopped_goes_on_with_a_warning() -> None:
    host, wanted = site()
    host.libvirt.domains["web"].paused = True
    host.libvirt.domains["web"].why = "I/O error"
    plan = plan_resume(wanted, host.facts(wanted), ("web", "db"))
    assert [note.subject for note in plan.notes] == ["guest web"]
    assert "virsh domblkerror web" in plan.notes[0].text


def test_autostart_does_not_edit_the_spec_and_says_so() -> None:
    host, wanted = site()
    place = Place(file="/etc/kvmkeep/guests/web.yaml", line=12, column=3)
    guests = (replace(o, autostart_place=place) if o.name == "web" else o for o in wanted.guests)
    wanted = replace(wanted, guests=tuple(guests))
    plan = plan_autostart(wanted, host.facts(wanted), ("web", "db"), on=False)
    notes = {note.subject: note.text for note in plan.notes}
    assert "web.yaml:12:3" in notes["guest web"]
    assert "`kvmkeep apply` would undo this" in notes["guest web"]
    reach(host, wanted, lambda s, f: plan_autostart(s, f, ("web", "db"), on=False))
    on = {name for name, one in host.libvirt.domains.items() if one.autostart}
    assert on == {"dns"}
    assert plan_autostart(wanted, host.facts(wanted), ("web",), on=False).steps == ()
    back = plan_autostart(wanted, host.facts(wanted), ("web", "dns"), on=True)
    assert (len(back.steps), back.notes) == (1, ())
    (unknown,) = plan_autostart(wanted, host.facts(wanted), ("ghost",), on=True).refusals
    assert unknown.subject == "guest ghost"
    new = spec(guest("new", autostart=False))
    other = plan_autostart(new, host.facts(new), ("new",), on=True)
    assert "guest new" in told(other)
    assert "autostart: true` at host.yaml:1:1" in other.notes[0].text


def test_guest_that_ignores_acpi_is_told_as_such() -> None:
    host, wanted = site()
    for agent, words in ((True, "asked through its agent"), (False, "ignores the ACPI power")):
        host.libvirt.domains["web"].agent = agent
        (step,) = plan_shutdown(wanted, host.facts(wanted), ("web",), 60).steps
        assert words in step.actions[-1].otherwise
        assert "kvmkeep poweroff web" in step.actions[-1].otherwise
