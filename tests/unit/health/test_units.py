"""Units that would be missed at a boot, and files of the spec that others may write."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from kvmkeep.health.judge import judge
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import LIBVIRT, Problem
from kvmkeep.model.health import Severity
from kvmkeep.model.host_units import (
    ALWAYS,
    ENABLED,
    GUESTS,
    LISTENERS,
    RECOVER,
    SYSTEMD,
    TIMER,
    UNIT_DIR,
    WATCH,
    HostUnits,
    UnitFile,
)
from kvmkeep.model.plan import Plan
from kvmkeep.model.run_mark import RunMark
from kvmkeep.model.vitals import Service, SpecFileStat
from kvmkeep.planning.units.install import wanted_texts
from tests.unit.health.build import FACTS, SPEC, VITALS, domain, findings, only

CRITICAL = Severity.CRITICAL
PROGRAM = "/usr/bin/kvmkeep"
TEXTS = wanted_texts(SPEC, replace(FACTS, units=HostUnits(program=PROGRAM)), ())
WELL = tuple(
    UnitFile(name=name, text=TEXTS[name], enabled=name in ENABLED, active=True) for name in ALWAYS
)


def units(name: str, **changes: object) -> HostUnits:
    return HostUnits(
        files=tuple(replace(one, **changes) if one.name == name else one for one in WELL),
        program=PROGRAM,
    )


def test_units_that_are_well_and_none_at_all() -> None:
    assert findings(units=HostUnits(files=WELL, program=PROGRAM)) == ()
    assert findings(units=units(LISTENERS[0], active=False)) == (), "it pauses between two events"
    assert findings(units=units(RECOVER, active=False)) == ()
    others = HostUnits(files=(UnitFile(name=TIMER, text="[Timer]"),))
    assert findings(units=others) == ()


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (TIMER, {"active": False}, "is not at work"),
        (TIMER, {"enabled": False}, "does not begin with the host"),
        (RECOVER, {"enabled": False}, "does not begin with the host"),
        (LISTENERS[0], {"enabled": False}, "does not begin with the host"),
        (RECOVER, {"stale": True}, "was changed since systemd read it"),
    ],
)
def test_units_that_are_off(name: str, changes: dict[str, object], words: str) -> None:
    found = only(CRITICAL, "units-off", units=units(name, **changes))
    assert found.what == f"{name} {words}"
    assert found.todo.startswith("kvmkeep install-units")


def test_a_unit_that_is_gone() -> None:
    files = tuple(one for one in WELL if one.name != TIMER)
    found = only(CRITICAL, "units-off", units=HostUnits(files=files, program=PROGRAM))
    assert found.what == f"{TIMER} is not there"


def test_of_a_systemd_that_does_not_answer_nothing_follows() -> None:
    files = tuple(replace(one, active=False) for one in WELL)
    silent = (Problem(what=SYSTEMD, reason="systemctl: no time was left to begin it", hint="wait"),)
    told = findings(units=HostUnits(files=files, program=PROGRAM), problems=silent)
    assert [one.name for one in told] == ["not-seen"]
    seen = units(RECOVER, enabled=False, active=False)
    told = findings(units=seen, problems=silent)
    assert {one.name for one in told} == {"not-seen", "units-off"}, "a file tells without systemd"


def test_of_files_that_can_not_be_read_nothing_follows() -> None:
    files = tuple(
        replace(one, enabled=False, text="" if one.name == WATCH else one.text)
        for one in WELL
        if one.name != TIMER
    )
    closed = Problem(what=f"{UNIT_DIR}/{WATCH}", reason="Input/output error", hint="look at it")
    told = findings(units=HostUnits(files=files, program=PROGRAM), problems=(closed,))
    assert [one.name for one in told] == ["not-seen"]


def test_units_of_a_kvmkeep_that_moved() -> None:
    found = only(CRITICAL, "units-off", units=HostUnits(files=WELL, program="/opt/new/kvmkeep"))
    assert f"{WATCH} does not run /opt/new/kvmkeep as it should" in found.what
    assert LISTENERS[0] not in found.what, "it runs virsh"
    found = only(CRITICAL, "units-off", units=HostUnits(files=WELL))
    assert f"{WATCH} does not run kvmkeep as it should" in found.what
    moved = judge(SPEC, replace(FACTS, units=units(TIMER)), Plan(), VITALS, ("--spec", "/srv/spec"))
    assert [one.name for one in moved] == ["units-off"], "they look after another spec"


def test_a_unit_that_somebody_edited() -> None:
    seldom = TEXTS[TIMER].replace("1min", "1month")
    found = only(Severity.WARNING, "units-off", units=units(TIMER, text=seldom))
    assert found.what == f"{TIMER} is not as install-units would write it now"
    nothing = TEXTS[WATCH].replace(PROGRAM, "/bin/true")
    only(CRITICAL, "units-off", units=units(WATCH, text=nothing))


def test_units_may_give_more_time_than_the_spec_needs_by_now() -> None:
    bare = replace(SPEC, guests=())
    installed = HostUnits(files=WELL, program=PROGRAM)
    assert "units-off" not in {one.name for one in findings(bare, units=installed)}
    less = TEXTS[GUESTS].replace("TimeoutStopSec=", "TimeoutStopSec=1 #")
    only(Severity.WARNING, "units-off", units=units(GUESTS, text=less))
    less = re.sub("TimeoutStopSec=.*", "TimeoutStopSec=1", TEXTS[GUESTS])
    only(Severity.WARNING, "units-off", units=units(GUESTS, text=less))


@pytest.mark.parametrize("line", ["TimeoutStopSec", "TimeoutStopSec=", "TimeoutStopSec=1min"])
def test_a_limit_that_is_no_number_is_another_one(line: str) -> None:
    text = re.sub("TimeoutStopSec=.*", line, TEXTS[GUESTS])
    only(Severity.WARNING, "units-off", units=units(GUESTS, text=text))


def test_a_unit_that_somebody_changed_by_a_drop_in_is_told_without_alarm() -> None:
    path = f"{UNIT_DIR}/{GUESTS}.d/override.conf"
    found = only(Severity.OK, "unit-changed", units=units(GUESTS, drop_ins=(path,)))
    assert (found.subject, found.what) == (GUESTS, f"somebody changed it by {path}")
    assert found.todo.endswith(f"systemctl revert {GUESTS}")


@pytest.mark.parametrize("name", [WATCH, RECOVER])
def test_a_look_or_a_recovery_that_failed(name: str) -> None:
    found = only(CRITICAL, "unit-failed", units=units(name, failed=True, active=False))
    assert found.subject == name
    assert found.todo == f"systemctl status {name}; kvmkeep journal; then: systemctl start {name}"


FAILED = units(RECOVER, failed=True, active=False)


def test_a_recovery_that_failed_is_told_no_more_once_all_that_are_to_run_are_up() -> None:
    up = domain(was_ready=True)
    assert findings(units=FAILED, domains=(up,)) == ()
    off = replace(up, state=DomainState.SHUTOFF, run_mark=RunMark(wanted=False))
    assert "unit-failed" not in names(units=FAILED, domains=(off,)), "it is to be off"
    failed = units(WATCH, failed=True, active=False)
    only(CRITICAL, "unit-failed", units=failed, domains=(up,))


@pytest.mark.parametrize(
    "changes",
    [
        {"was_ready": False},
        {"state": DomainState.SHUTOFF},
        {"state": DomainState.PAUSED},
        {"uuid": "of another one"},
    ],
)
def test_a_recovery_that_failed_is_told_as_long_as_one_is_not_up(
    changes: dict[str, object],
) -> None:
    one = replace(domain(was_ready=True), **changes)
    assert "unit-failed" in names(units=FAILED, domains=(one,))


def test_a_recovery_that_failed_is_told_where_no_guest_is_seen() -> None:
    silent = (Problem(what=LIBVIRT, reason="it does not answer", hint="wait"),)
    assert "unit-failed" in names(units=FAILED, domains=(), problems=silent)


def names(**changes: object) -> set[str]:
    return {one.name for one in findings(**changes)}


def services(**states: str) -> tuple[Service, ...]:
    return tuple(
        Service(name=name.replace("_", "."), state=state) for name, state in states.items()
    )


def test_services_that_begin_with_the_host() -> None:
    assert findings(services=services(NetworkManager_service="enabled")) == ()
    either = services(libvirtd_service="disabled", virtqemud_socket="enabled")
    assert findings(services=either) == ()


def test_services_that_do_not() -> None:
    found = only(
        CRITICAL, "service-not-enabled", services=services(NetworkManager_service="disabled")
    )
    assert (found.subject, found.todo) == (
        "NetworkManager",
        "systemctl enable NetworkManager.service",
    )
    states = services(libvirtd_service="masked-runtime", libvirtd_socket="disabled")
    found = only(CRITICAL, "service-not-enabled", services=states)
    assert found.subject == "libvirtd"
    assert found.what.endswith("it is masked")
    assert found.todo.startswith("systemctl unmask libvirtd.service; ")


@pytest.mark.parametrize(
    ("libvirtd", "todo"),
    [
        (
            "disabled",
            "systemctl enable libvirtd.service; or, where that is the one in use: "
            "virtqemud.service",
        ),
        ("masked", "systemctl enable virtqemud.service"),
    ],
)
def test_the_daemon_that_is_in_use_is_to_be_enabled(libvirtd: str, todo: str) -> None:
    states = services(libvirtd_service=libvirtd, virtqemud_service="disabled")
    found = only(CRITICAL, "service-not-enabled", services=states)
    assert found.todo == todo


def test_without_guests_libvirt_need_not_begin_with_the_host() -> None:
    bare = replace(SPEC, guests=())
    found = findings(bare, services=services(libvirtd_service="disabled"))
    assert "service-not-enabled" not in {one.name for one in found}


@pytest.mark.parametrize(
    ("owner", "mode", "words", "todo"),
    [
        (0, 0o646, "everybody on this host", "chmod o-w /etc/kvmkeep/host.yaml"),
        (1000, 0o644, "the user 1000", "chown root:root /etc/kvmkeep/host.yaml"),
    ],
)
def test_a_spec_that_others_may_write(owner: int, mode: int, words: str, todo: str) -> None:
    files = (SpecFileStat(path="/etc/kvmkeep/host.yaml", owner=owner, mode=mode),)
    found = only(CRITICAL, "spec-writable", spec_files=files)
    assert found.what.startswith(words)
    assert found.todo.endswith(todo)


@pytest.mark.parametrize(
    ("one", "words", "todo"),
    [
        (
            SpecFileStat(path="/srv/t.xml", owner=0, mode=0o666),
            "root does what it says",
            "look at what it says, then: chmod o-w /srv/t.xml",
        ),
        (
            SpecFileStat(path="/srv", owner=1000, mode=0o755, kind="directory", above=True),
            "or what it leads to, lies below it",
            "look at what lies there, then: chown root:root /srv",
        ),
        (
            SpecFileStat(path="/srv", owner=0, mode=0o1777, kind="directory"),
            "root does what it says",
            "look at what it says, then: chmod o-w /srv",
        ),
        (
            SpecFileStat(path="/etc/kvmkeep", owner=1000, mode=0o777, kind="symlink", above=True),
            "or what it leads to, lies below it",
            "look at what lies there, then: chown --no-dereference root:root /etc/kvmkeep",
        ),
    ],
)
def test_what_leads_to_the_spec_or_where_it_leads_that_others_may_write(
    one: SpecFileStat, words: str, todo: str
) -> None:
    found = only(CRITICAL, "spec-writable", spec_ways=(one,))
    assert found.subject == f"file {one.path}"
    assert words in found.why
    assert found.todo == todo


def test_a_link_of_root_and_a_sticky_directory_above_are_nobody_elses() -> None:
    ways = (
        SpecFileStat(path="/tmp", owner=0, mode=0o1777, kind="directory", above=True),
        SpecFileStat(path="/etc/kvmkeep", owner=0, mode=0o777, kind="symlink", above=True),
        SpecFileStat(path="/srv/guests/t.xml", owner=0, mode=0o644),
    )
    assert findings(spec_ways=ways) == ()


def test_a_spec_that_root_alone_or_a_group_may_write() -> None:
    files = (
        SpecFileStat(path="/etc/kvmkeep", owner=0, mode=0o755),
        SpecFileStat(path="/etc/kvmkeep/host.yaml", owner=0, mode=0o664),
    )
    assert findings(spec_files=files) == ()
