from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from kvmkeep.host.crowd import run_all
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.host.run import Setting
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Command

pytestmark = pytest.mark.machine


def shell(line: str, timeout: float = 60.0) -> Command:
    return Command(argv=("sh", "-c", line), why="try", timeout=timeout)


def test_results_have_the_order_of_the_commands_whatever_ends_first() -> None:
    commands = [shell(f"sleep 0.{9 - n}; echo {n}; exit {n}") for n in range(5)]
    commands.append(Command(argv=("/nonexistent/program",), why="try"))
    results = MachineDoor().run_all(commands, limit=20, at_once=3)
    assert [result.text.strip() for result in results] == ["0", "1", "2", "3", "4", ""]
    assert [result.code for result in results] == [0, 1, 2, 3, 4, 127]
    assert [result.ok for result in results] == [True] + [False] * 5


def test_the_silent_ones_cost_the_limit_once() -> None:
    commands = [shell("trap '' TERM; sleep 60 & wait; wait"), *[shell("echo here")] * 20]
    commands += [shell("sleep 60")] * 4
    limit, silent = 6.0, 5
    began = time.monotonic()
    results = run_all(commands, Setting(), limit=limit, at_once=6)
    assert time.monotonic() - began < limit * silent, "they cost it one after the other"
    assert [result.text for result in results[1:21]] == ["here\n"] * 20
    assert all(result.timed_out for result in (results[0], *results[21:]))


def test_what_had_no_turn_is_never_begun(tmp_path: Path) -> None:
    commands = [shell("sleep 60"), shell(f"touch {tmp_path}/begun")]
    results = run_all(commands, Setting(), limit=0.5, at_once=1)
    assert [result.timed_out for result in results] == [True, True]
    assert "no time was left" in results[1].tail
    assert list(tmp_path.iterdir()) == []


def test_a_commands_own_limit_counts_as_well() -> None:
    first, second = run_all(
        [shell("sleep 60", 0.3), shell("sleep 0.6; echo on")], Setting(), limit=20, at_once=2
    )
    assert first.timed_out
    assert second.ok


def test_an_answer_without_end_is_cut() -> None:
    (result,) = run_all([shell("yes | head -c 64000000")], Setting(), limit=30, at_once=1)
    assert len(result.stdout) < 2 << 20
    assert b"bytes left out" in result.stdout


def test_no_descriptor_and_no_process_is_left() -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    run_all([shell("echo x")] * 50 + [shell("sleep 70.7")] * 2, Setting(), limit=2, at_once=8)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert gone("sleep 70.7")


def test_an_exception_in_the_middle_ends_what_runs() -> None:
    def fall(_urgent: bool) -> None:  # noqa: FBT001 - shape of announce
        raise KeyboardInterrupt

    stop = Stop()
    stop.announce = fall
    stop.press()
    with pytest.raises(KeyboardInterrupt):
        run_all([shell("sleep 71.7")] * 3, Setting(stop=stop), limit=20, at_once=3)
    assert gone("sleep 71.7")


def gone(line: str) -> bool:
    """Whether no process has this command line any more: the kernel needs a moment to kill it."""
    end = time.monotonic() + 20
    while line in running():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def running() -> str:
    found = ""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += process.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace") + "\n"
        except OSError:
            continue
    return found


def test_a_dead_command_is_reported_with_its_signal() -> None:
    (result,) = run_all([shell("kill -KILL $$")], Setting(), limit=20, at_once=1)
    assert result.code == -signal.SIGKILL
