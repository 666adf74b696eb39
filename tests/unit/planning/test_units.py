"""systemd's units: written, taken over from libvirt, given back, and refused where not ours."""

from __future__ import annotations

import re
from fcntl import LOCK_EX, flock
from pathlib import Path

from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts, Problem
from kvmkeep.model.host_units import (
    BACKUP,
    BACKUP_TIMER,
    GUESTS,
    LISTENERS,
    NO_UNITS,
    PROVE_TIMER,
    PRUNE,
    PRUNE_TIMER,
    RECOVER,
    TIMER,
    UNIT_DIR,
    UNITS,
    WATCH,
)
from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.units.files import Program, start_seconds, stop_seconds, unit_texts
from kvmkeep.planning.units.install import plan_install, plan_uninstall
from tests.unit.planning.build import POLICY, VAULT, guest, spec
from tests.unit.planning.cut_off import site
from tests.unit.planning.rounds import carry_out, reach

BASE = (GUESTS, RECOVER, WATCH, TIMER, *LISTENERS)


def installed() -> tuple[FakeHost, Spec]:
    host, wanted = site()
    reach(host, wanted, plan_install)
    return host, wanted


def test_guests_are_taken_over_after_the_units_are_there_and_given_back_before_they_go() -> None:
    host, wanted = installed()
    facts = host.facts(wanted)
    assert facts.units.take_over
    assert {(one.autostart, one.starts, one.wanted) for one in facts.domains} == {
        (False, True, True)
    }
    (last,) = {step.subject for step in plan_uninstall(wanted, facts).steps[-1:]}
    assert last == "host"
    reach(host, wanted, plan_uninstall)
    facts = host.facts(wanted)
    assert {(one.autostart, one.run_mark.starts) for one in facts.domains} == {(True, False)}
    assert facts.units.files == ()
    assert make_plan(wanted, facts).empty


def test_no_look_is_begun_while_another_run_is_at_work(tmp_path: Path) -> None:
    lock = tmp_path / "absent" / "lock"
    text = unit_texts(Program(path="/usr/bin/kvmkeep"), start=1, stop=1)[WATCH]
    (line,) = re.findall(r'^ExecCondition=/bin/sh -c "(.*)"$', text, re.MULTILINE)
    condition = line.replace("$$", "$").replace("/run/kvmkeep/lock", str(lock))

    def begins() -> bool:
        argv = ("sh", "-c", condition)
        return MachineDoor().run(Command(argv=argv, why="as systemd does")).ok

    assert begins(), "kvmkeep makes the directory"
    lock.parent.mkdir()
    assert begins(), "a lock that was never made is held by nobody"
    assert lock.stat().st_mode & 0o777 == 0o600, "whoever may open it may lock it"
    with lock.open() as handle:
        flock(handle, LOCK_EX)
        assert not begins()
    assert begins()


def backed_up(wanted: Spec, *schedules: str) -> Spec:
    """Return the spec with a backup for its first guests."""
    first = tuple(
        replace(one, backup=replace(POLICY, schedule=when))
        for one, when in zip(wanted.guests, schedules, strict=False)
    )
    rest = wanted.guests[len(first) :]
    return replace(wanted, guests=(*first, *rest), repositories=(VAULT,))


def test_backups_have_units_where_the_spec_asks_for_them_and_lose_them_when_it_does_not() -> None:
    host, wanted = installed()
    assert f"{UNIT_DIR}/{BACKUP}" not in host.files
    asked = backed_up(wanted, "Sat,Sun 03:00", "daily", "daily")
    reach(host, asked, plan_install)
    timer = host.files[f"{UNIT_DIR}/{BACKUP_TIMER}"].content.decode()
    assert timer.count("OnCalendar=") == 2
    assert "OnCalendar=Sat,Sun 03:00\nOnCalendar=daily\nPersistent=true\n" in timer
    # Where the clock was ahead at the boot, the calendar's next time may be years away.
    assert "\nOnActiveSec=1d\nOnUnitInactiveSec=1d\n" in timer
    service = host.files[f"{UNIT_DIR}/{BACKUP}"].content.decode()
    (run,) = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    assert run == "ExecStart=/usr/bin/kvmkeep backup run --due --forget"
    assert "KillMode=mixed" in service
    assert "OnCalendar=weekly" in host.files[f"{UNIT_DIR}/{PROVE_TIMER}"].content.decode()
    prune = host.files[f"{UNIT_DIR}/{PRUNE}"].content.decode()
    assert "ExecStart=/usr/bin/kvmkeep backup prune --verify=5\n" in prune
    assert prune.count("ExecStart=") == 1
    assert {BACKUP_TIMER, PROVE_TIMER, PRUNE_TIMER, TIMER} <= host.systemd.running
    assert plan_install(asked, host.facts(asked)).empty
    (away,) = plan_install(wanted, host.facts(wanted)).steps
    assert away.why == "the spec has nothing for them to do"
    reach(host, wanted, plan_install)
    assert {one.name for one in host.facts(wanted).units.files} == {*BASE}
    assert {GUESTS, TIMER} <= host.systemd.running
    assert BACKUP_TIMER not in host.systemd.running


def test_a_storm_of_events_does_not_run_the_look_into_a_limit() -> None:
    host, _ = installed()
    text = host.files[f"{UNIT_DIR}/{WATCH}"].content.decode()
    # systemd would call the unit failed after five starts in ten seconds.
    assert "\nStartLimitIntervalSec=0\n\n[Service]" in text


def test_a_guest_that_others_made_stays_with_libvirt() -> None:
    host, wanted = site()
    fewer = replace(wanted, guests=wanted.guests[:1])
    plan = plan_install(fewer, host.facts(fewer))
    assert {step.subject for step in plan.steps} == {"host", "guest lone"}


def test_a_file_of_somebody_else_is_refused_and_survives() -> None:
    host, wanted = site()
    host.put(f"{UNIT_DIR}/{RECOVER}", b"[Unit]\nDescription=mine\n")
    (refusal,) = plan_install(wanted, host.facts(wanted)).refusals
    assert (refusal.subject, "did not write it" in refusal.reason) == (RECOVER, True)
    host.files[f"{UNIT_DIR}/{RECOVER}"].kind = "symlink"
    facts = host.facts(wanted)
    assert plan_install(wanted, facts).refusals
    plan = plan_uninstall(wanted, facts)
    assert plan.steps == ()
    assert [note.subject for note in plan.notes] == [RECOVER]


def test_without_a_program_to_start_nothing_is_installed() -> None:
    host, wanted = site()
    host.tools["kvmkeep"] = ""
    plan = plan_install(wanted, host.facts(wanted))
    assert plan.unready
    assert "ln -s" in plan.refusals[0].hint


def test_what_a_killed_run_left_is_finished() -> None:
    host, wanted = installed()
    host.systemd.running.discard(GUESTS)
    (step,) = plan_install(wanted, host.facts(wanted)).steps
    assert [str(action) for action in step.actions] == [f"systemctl start -- {GUESTS}"]
    host.systemd.running.add(GUESTS)
    del host.files[f"{UNIT_DIR}/multi-user.target.wants/{RECOVER}"]
    (step,) = plan_install(wanted, host.facts(wanted)).steps
    assert [str(action) for action in step.actions] == [f"systemctl enable -- {RECOVER}"]
    for name in (TIMER, *LISTENERS, RECOVER):
        del host.files[f"{UNIT_DIR}/{name}"]
    plan = plan_uninstall(wanted, host.facts(wanted))
    assert plan.steps[-1].what == f"take away {GUESTS}, {WATCH}"
    assert f"systemctl stop -- {WATCH}" in map(str, plan.steps[-1].actions)
    del host.files[f"{UNIT_DIR}/{GUESTS}"]
    first = plan_uninstall(wanted, host.facts(wanted)).steps[-1].actions[1]
    assert str(first) == f"rm --force -- {UNIT_DIR}/{WATCH}"


def test_guests_that_are_not_there_or_not_named_any_more() -> None:
    host, wanted = installed()
    more = spec(*wanted.guests, guest("new"))
    assert {step.subject for step in plan_install(more, host.facts(more)).steps} == {"host"}
    fewer = replace(wanted, guests=wanted.guests[1:])
    told = [(s.subject, s.what) for s in plan_uninstall(fewer, host.facts(fewer)).steps]
    assert ("guest lone", "have it start with the host by libvirt again") in told
    reach(host, fewer, plan_uninstall)
    assert host.libvirt.domains["lone"].autostart
    domains = tuple(replace(one, ours=False) for one in host.facts(fewer).domains)
    assert plan_uninstall(fewer, replace(host.facts(fewer), domains=domains)).empty
    assert plan_uninstall(replace(wanted, guests=()), host.facts(wanted)).empty


def test_units_go_without_a_spec_and_whatever_else_cannot_be_seen() -> None:
    host, wanted = installed()
    facts = host.facts(wanted)

    def blind(what: str) -> Facts:
        return replace(facts, problems=(Problem(what=what, reason="no answer", hint="look"),))

    assert plan_uninstall(wanted, blind("logical volumes")).refusals == ()
    needed = ("libvirt", "domain web", "systemd's units", f"{UNIT_DIR}/{TIMER}")
    for what in (*needed, "/root/kvm/web.xml"):
        (refusal,) = plan_uninstall(wanted, blind(what)).refusals
        assert (refusal.subject, refusal.unready) == (what, True)
    assert plan_uninstall(None, blind("/root/kvm/web.xml")).refusals == ()
    plan = plan_uninstall(None, facts)
    assert [step.subject for step in plan.steps][-1] == "host"
    for step in plan.steps:
        carry_out(host, step)
    facts = host.facts(wanted)
    assert {(one.autostart, one.run_mark.starts) for one in facts.domains} == {(True, False)}
    assert plan_uninstall(None, facts).empty
    assert facts.units.files == ()


def test_text_that_systemd_has_not_read_is_read_again() -> None:
    host, wanted = installed()
    host.systemd.loaded[GUESTS] = b"another text"
    (step,) = plan_install(wanted, host.facts(wanted)).steps
    assert [str(action) for action in step.actions] == ["systemctl daemon-reload"]


def test_limits_are_summed_told_and_compared_with_what_is_installed() -> None:
    host, wanted = installed()
    assert not [note for note in make_plan(wanted, host.facts(wanted)).notes if "host" in note.text]
    slow = spec(*wanted.guests[1:], guest("lone", stop_timeout=3000))
    (note,) = [one for one in make_plan(slow, host.facts(slow)).notes if one.subject == "host"]
    assert "kvmkeep install-units" in note.text
    plan = plan_install(slow, host.facts(slow))
    assert "its guests (4) have up to 79 min to shut down" in plan.notes[0].text
    assert "systemd forces a reboot" in plan.notes[0].text
    assert [step.what for step in plan.steps] == [f"write {GUESTS} to {UNIT_DIR}"]
    reach(host, slow, plan_install)
    assert (
        f"TimeoutStopSec={stop_seconds(slow, host.facts(slow))}\n"
        in host.files[f"{UNIT_DIR}/{GUESTS}"].content.decode()
    )
    few = spec(guest("web", stop_timeout=10, start_timeout=20))
    facts = replace(host.facts(few), domains=())
    assert (stop_seconds(few, facts), start_seconds(few)) == (400, 1080)
    assert "forces a reboot" not in plan_install(few, facts).notes[0].text


def test_apply_gives_the_flag_back_where_somebody_removed_the_units() -> None:
    host, wanted = installed()
    for name in UNITS:
        host.files.pop(f"{UNIT_DIR}/{name}", None)
    facts = host.facts(wanted)
    assert facts.units == replace(NO_UNITS, program="/usr/bin/kvmkeep")
    assert len([one for one in make_plan(wanted, facts).steps if "with the host" in one.what]) == 4
    reach(host, wanted)
    assert {one.autostart for one in host.facts(wanted).domains} == {True}


def test_the_command_lines_name_the_spec_and_survive_systemd() -> None:
    """systemd expands `%` and `$` in quotes as well (systemd.service(5), "COMMAND LINES")."""
    program = Program(path="/usr/bin/kvmkeep", options=("--spec", "/srv/50% of $it's"))
    text = unit_texts(program, start=1, stop=2)[RECOVER]
    assert 'ExecStart=/usr/bin/kvmkeep recover --spec "/srv/50%% of $$it\'s"\n' in text


def test_no_look_comes_before_recovery_which_is_begun_until_it_has_the_lock() -> None:
    texts = unit_texts(Program(path="/usr/bin/kvmkeep"), start=1, stop=2)
    for name in (WATCH, *LISTENERS):
        after = [line for line in texts[name].splitlines() if line.startswith("After=")]
        assert RECOVER in " ".join(after)
    for line in (
        "Type=notify",
        "NotifyAccess=all",
        "TimeoutStartSec=infinity",
        "RestartForceExitStatus=5 6 SIGKILL",
        "StartLimitIntervalSec=0",
    ):
        assert f"\n{line}\n" in texts[RECOVER]


def test_no_guest_waits_for_a_clock_that_another_one_may_keep() -> None:
    """systemd-time-wait-sync.service has time-sync.target wait for ever where no server answers."""
    texts = unit_texts(Program(path="/usr/bin/kvmkeep"), start=1, stop=2)
    assert not [name for name, text in texts.items() if "time-sync" in text]


def test_a_recovery_at_work_does_not_go_on_without_its_unit() -> None:
    host, wanted = installed()
    step = plan_uninstall(wanted, host.facts(wanted)).steps[-1]
    (stop,) = [line for one in step.actions if " stop " in (line := str(one))]
    assert {RECOVER, WATCH} <= {*stop.split()}
    assert GUESTS not in stop


def test_a_look_follows_each_event_of_a_guest_and_not_too_often() -> None:
    host, _ = installed()
    texts = {name: host.files[f"{UNIT_DIR}/{name}"].content.decode() for name in LISTENERS}
    assert len(texts) == 3
    for event in ("lifecycle", "io-error", "agent-lifecycle"):
        text = texts[f"kvmkeep-event-{event}.service"]
        assert (
            f"ExecStart=virsh --connect qemu:///system --readonly --quiet event --event {event} "
            in text
        )
        assert "/run/kvmkeep/lock systemctl start --no-block kvmkeep-watch.service\n" in text
        assert "\nRestart=always\nRestartSec=5\n" in text
    assert host.systemd.running >= {*LISTENERS}


def test_units_of_an_older_version_are_told() -> None:
    host, wanted = installed()
    assert make_plan(wanted, host.facts(wanted)).notes == ()
    for name in LISTENERS[1:]:
        del host.files[f"{UNIT_DIR}/{name}"]
    (note,) = make_plan(wanted, host.facts(wanted)).notes
    assert note.text == (
        "of its units, kvmkeep-event-io-error.service, kvmkeep-event-agent-lifecycle.service are "
        "missing: kvmkeep install-units"
    )
    reach(host, wanted, plan_install)
    assert make_plan(wanted, host.facts(wanted)).notes == ()
