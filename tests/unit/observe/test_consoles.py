"""Lines on consoles are looked for where somebody may want to keep that they are there."""

from __future__ import annotations

from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.names import console_log
from kvmkeep.model.run import ReadyConsole
from kvmkeep.observe.consoles import said
from tests.unit.planning.cut_off import site


def test_who_has_said_the_line_is_told_as_long_as_nobody_keeps_it() -> None:
    host, wanted = site()
    guests = tuple(
        replace(one, run=replace(one.run, ready=ReadyConsole(pattern="is (up|ready)")))
        if one.name in {"db", "dns", "lone"}
        else one
        for one in wanted.guests
    )
    spec, everyone = replace(wanted, guests=guests), frozenset(one.name for one in guests)
    running = [
        replace(one, state=DomainState.RUNNING)
        for one in host.facts(wanted).domains
        if one.name != "lone"
    ]
    assert said(host, spec, running, everyone) == ()
    for name in ("db", "lone", "web"):
        host.put(f"{console_log(name)}.0", b"it is ready")
    assert said(host, spec, running, everyone) == ("db",)
    assert said(host, spec, running, frozenset({"dns"})) == ()
    kept = [replace(one, ready_line="is (up|ready)") for one in running]
    host.calls.clear()
    assert said(host, spec, kept, everyone) == ()
    assert host.calls == []
    assert said(FakeHost(), wanted, running, everyone) == ()
