"""A look that has to end: what hangs costs its part, and not more."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.host.environment import environment
from kvmkeep.host.hurried import HASTY, HurriedDoor
from kvmkeep.host.libvirt import Hypervisor
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.host.run import not_run
from kvmkeep.host.silent import Silent, answer_within
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.way import Way
from kvmkeep.observe.machine import observe
from kvmkeep.observe.vitals import observe_vitals

HANGS = Command(argv=("sh", "-c", "trap '' TERM; sleep 60 & wait; wait"), why="see what hangs")


class NoLibvirt:
    """A libvirt that is not there."""

    def look(self) -> Hypervisor:
        raise Unready("it is not there")


class Clocked(FakeHost):
    """A host on which each command uses all the time that it is given."""

    def run(self, command: Command, watch: object = None) -> object:  # type: ignore[override]
        del watch
        self.calls.append(command)
        self.now += command.timeout
        return not_run(1, "it hung", timed_out=command.timeout > 0.5)


def test_each_gets_a_part_of_what_is_left_and_all_of_them_not_more_than_the_limit() -> None:
    host = Clocked()
    door = HurriedDoor(host, 20)  # type: ignore[arg-type]
    quick = Command(argv=("true",), why="be quick", timeout=0.5)
    door.run(quick)
    for number in range(50):
        last = door.run(Command(argv=(f"program{number}",), why="see what hangs"))
    assert host.now <= 20
    given = [command.timeout for command in host.calls]
    assert given[0] == 0.5
    assert given[1] == pytest.approx(6.5)
    assert all(part >= 1 for part in given[1:-1])
    assert (last.timed_out, last.ok) == (True, False)
    assert "no time was left" in last.tail


def test_what_hung_once_gets_little_time_from_then_on() -> None:
    host = Clocked()
    door = HurriedDoor(host, 20)  # type: ignore[arg-type]
    for program in ("lvs", "vgs", "lvs", "df"):
        door.run(Command(argv=(program,), why="see what hangs"))
    assert [round(command.timeout, 1) for command in host.calls] == [6.7, 1.0, 1.0, 3.8]


def test_files_of_the_kernel_are_read_as_ever_and_others_in_time() -> None:
    never = threading.Event()

    class Stuck(FakeHost):
        def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
            if path == "/mnt/nfs/disk.raw":
                never.wait(60)
            return super().read(path, limit)

        def device(self, path: str) -> str:
            never.wait(60)
            return path

        def secret(self, path: str) -> SecretFile:
            never.wait(60)
            return SecretFile(path=path)

        def way(self, directory: str) -> Way:
            never.wait(60)
            return Way(path=directory)

    host = Stuck()
    host.put("/proc/mdstat", b"none")
    host.put("/etc/x", b"here")
    host.put("/mnt/nfs/disk.raw", b"")
    door = HurriedDoor(host, 1)
    began = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        door.read("/mnt/nfs/disk.raw")
    assert (caught.value.filename, caught.value.strerror) == (
        "/mnt/nfs/disk.raw", "it did not answer in time",
    )  # fmt: skip
    assert door.device("/mnt/nfs/block") == ""
    assert door.way("/mnt/nfs/out").error == "it did not answer in time"
    assert door.secret("/mnt/nfs/pw").error == "it did not answer in time"
    assert time.monotonic() - began < 5
    assert door.read("/etc/x", 2) == b"he"
    assert door.names("/etc") == ("x",)
    assert door.look("/etc/none") is None
    host.now += 2
    assert door.read("/proc/mdstat") == b"none"
    assert door.read("/run/libvirt/qemu/web.pid") is None
    with pytest.raises(TimeoutError):
        door.read("/etc/x")
    never.set()


def test_the_rest_passes_as_it_is() -> None:
    host = FakeHost()
    door = HurriedDoor(host, 5)
    door.write(WriteFile(path="/x", content=b"y", why="keep it"))
    assert host.files["/x"].content == b"y"
    assert door.secret("/root/pw") == host.secret("/root/pw")
    door.sleep(60)
    assert door.clock() == host.clock() == 5
    assert door.which("nmcli") == host.which("nmcli")


def test_an_answer_comes_back_as_it_is_and_so_does_what_was_raised() -> None:
    assert answer_within(5, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        answer_within(5, lambda: 1 // 0)
    with pytest.raises(Silent):
        answer_within(0.01, lambda: time.sleep(1))


@pytest.mark.machine
def test_what_hangs_is_left_and_what_comes_after_it_is_asked() -> None:
    door = HurriedDoor(MachineDoor(HASTY), 4)
    began = time.monotonic()
    assert door.run(HANGS).timed_out
    here = Command(argv=("echo", "here"), why="see who is there")
    assert door.run(here).text == "here\n"
    first, second = door.run_all([HANGS, here], limit=60, at_once=2)
    assert (first.timed_out, second.text) == (True, "here\n")
    assert time.monotonic() - began < 6


@pytest.mark.machine
def test_a_whole_look_ends_in_time_and_names_what_did_not_answer(tmp_path: Path) -> None:
    for name in ("lvs", "vgs", "df", "nmcli"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\ntrap '' TERM\nsleep 60 & wait; wait\n")
        program.chmod(0o755)
    setting = replace(HASTY, environment=environment((str(tmp_path), "/usr/bin", "/bin")))
    door = HurriedDoor(MachineDoor(setting), 6)
    began = time.monotonic()
    facts, vitals = observe(door, NoLibvirt(), None), observe_vitals(door, "/etc/kvmkeep")
    assert time.monotonic() - began < 60, "one of them alone would take as long"
    problems = {one.what: one.reason for one in (*facts.problems, *vitals.problems)}
    for what in ("volume groups", "logical volumes", "filesystems"):
        assert "did not answer" in problems[what]
    assert facts.memory.bytes > 0, "what can be seen is seen"
