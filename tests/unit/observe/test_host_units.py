"""The units of our names: what is there, and what systemd makes of it."""

from __future__ import annotations

from fakes.host import FakeHost

from kvmkeep.host.door import Result
from kvmkeep.model.command import Command
from kvmkeep.model.host_units import GUESTS, RECOVER, SIGNATURE, TIMER, UNIT_DIR, HostUnits
from kvmkeep.observe.host_units import observe_units
from kvmkeep.observe.notebook import Notebook

TEXT = f"{SIGNATURE}\n[Unit]\n"


def test_where_there_is_none_systemd_is_not_asked() -> None:
    host = FakeHost()
    assert observe_units(Notebook(host)) == HostUnits(program="/usr/bin/kvmkeep")
    assert host.calls == []


def test_a_unit_is_ours_by_its_first_line_and_nothing_else() -> None:
    host = FakeHost()
    host.put(f"{UNIT_DIR}/{GUESTS}", TEXT.encode())
    host.put(f"{UNIT_DIR}/{RECOVER}", b"[Unit]\n" + TEXT.encode())
    host.put(f"{UNIT_DIR}/{TIMER}", TEXT.encode())
    host.files[f"{UNIT_DIR}/{TIMER}"].kind = "symlink"
    for name in (GUESTS, RECOVER):
        host.put(f"{UNIT_DIR}/multi-user.target.wants/{name}", b"")
    host.systemd.running.add(GUESTS)
    host.systemd.loaded[GUESTS] = b"another"
    units = observe_units(Notebook(host))
    assert [(file.name, file.ours) for file in units.files] == [
        (GUESTS, True), (RECOVER, False), (TIMER, False),
    ]  # fmt: skip
    first = units.files[0]
    assert first.drop_ins == (), "those for all units are the distribution's"
    host.put(f"{UNIT_DIR}/{GUESTS}.d/override.conf", b"[Service]\nExecStop=\n")
    changed = observe_units(Notebook(host)).files[0]
    assert changed.drop_ins == (f"{UNIT_DIR}/{GUESTS}.d/override.conf",)
    assert (first.enabled, first.active, first.stale) == (True, True, True)
    assert not units.take_over, "the one that starts guests is not ours"
    host.put(f"{UNIT_DIR}/{RECOVER}", TEXT.encode())
    assert observe_units(Notebook(host)).take_over


def test_a_systemd_that_does_not_answer_is_a_problem() -> None:
    class Silent(FakeHost):
        def run(self, command: Command, watch: object = None) -> Result:
            del command, watch
            return Result(
                code=1, stdout=b"", stderr=b"no bus", seconds=0.0, timed_out=False, ok=False
            )

    host = Silent()
    host.put(f"{UNIT_DIR}/{GUESTS}", TEXT.encode())
    notebook = Notebook(host)
    (file,) = observe_units(notebook).files
    assert not file.active
    assert [one.what for one in notebook.problems] == ["systemd's units"]
