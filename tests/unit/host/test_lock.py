"""One run at a time, with real other processes."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess  # noqa: TID251 - a second process
import sys
import threading
from pathlib import Path

import pytest

from kvmkeep.errors import Busy, Declined, Unready
from kvmkeep.host.lock import HeldLock, Lock, locked
from kvmkeep.host.machine_door import MachineDoor

pytestmark = pytest.mark.machine

HOLDER = """
import sys
from kvmkeep.host.lock import Lock
with Lock(sys.argv[1]).hold(sys.argv[2], ("kvmkeep", sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path, verb: str = "apply") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), verb],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "src", "SUDO_USER": "alice"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def listed(process: subprocess.Popen[str]) -> str:
    """Return how the kernel's list names it."""
    return rf"at work: pid {process.pid} \({re.escape(sys.executable)} -c .* apply\)$"


def test_the_second_is_told_who_is_first(tmp_path: Path) -> None:
    path = tmp_path / "run" / "lock"
    with holder(path) as process:
        who = rf"apply, pid {process.pid}, since \d+-\d\d-\d\d \d\d:\d\d, by alice"
        with pytest.raises(Busy, match=who), Lock(str(path)).hold("start"):
            pytest.fail("both hold it")
        process.communicate("")
    with Lock(str(path)).hold("start"):
        assert "start" in path.read_text()
    assert path.read_text() == ""


def test_a_patient_one_waits_for_the_first_to_end(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        with pytest.raises(Busy), Lock(str(path)).hold("recover", patience=0.3):
            pytest.fail("both hold it")
        timer = threading.Timer(0.5, lambda: process.communicate(""))
        timer.start()
        with Lock(str(path)).hold("recover", patience=30):
            assert "recover" in path.read_text()
        timer.join()


@pytest.mark.parametrize("passing", ["watch", "snapshot watch"])
def test_a_look_that_is_soon_over_is_waited_for(tmp_path: Path, passing: str) -> None:
    path = tmp_path / "lock"
    told: list[str] = []

    def waits(message: str, seconds: float, limit: float) -> None:
        told.append(message)
        assert 0 <= seconds < limit

    with holder(path, passing) as process:
        timer = threading.Timer(0.5, lambda: process.communicate(""))
        timer.start()
        with Lock(str(path)).hold("apply", waits=waits):
            assert "apply" in path.read_text()
        timer.join()
    assert told[0].startswith(
        f"another run of kvmkeep to end: {passing}, pid {process.pid}, since "
    )


def test_who_only_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    timer = threading.Timer(0.4, os.close, (descriptor,))
    timer.start()
    with Lock(str(path)).hold("backup run"):
        assert "backup run" in path.read_text()
    timer.join()


def test_nobody_else_can_take_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(0o644)
    with Lock(str(path)).hold("apply"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_waiting_can_be_given_up(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def waits(message: str, seconds: float, limit: float) -> None:
        raise Declined(f"{message} {seconds} {limit}")

    with holder(path, "watch") as process:
        with pytest.raises(Declined), Lock(str(path)).hold("apply", waits=waits):
            pytest.fail("both hold it")
        process.communicate("")


def test_the_kernel_releases_a_killed_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
    assert "apply" in path.read_text()
    with Lock(str(path)).hold("start"):
        assert "apply" not in path.read_text()


def test_commands_do_not_inherit_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(str(path)).hold("apply"):
        sleeper = subprocess.Popen(["/bin/sleep", "60"], close_fds=False)
    try:
        with Lock(str(path)).hold("apply"):
            pass
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize("content", ["", "garbage", "{}", '{"pid": 0, "since": "x"}', "[1]"])
def test_a_holder_that_has_not_signed_is_still_respected(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        path.write_text(content)
        with pytest.raises(Busy, match=listed(process)), Lock(str(path)).hold("start"):
            pytest.fail("both hold it")
        process.communicate("")


def test_the_signature_of_a_dead_process_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        path.write_text('{"pid": 4194304, "since": 0, "verb": "apply", "user": "bob"}')
        with pytest.raises(Busy, match=listed(process)), Lock(str(path)).hold("start"):
            pytest.fail("both hold it")
        process.communicate("")


def test_an_exception_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(RuntimeError), Lock(str(path)).hold("apply"):
        raise RuntimeError
    with Lock(str(path)).hold("apply"):
        pass


def test_a_place_that_can_not_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = Lock(str(tmp_path / "file" / "lock"))
    with pytest.raises(Unready, match="can't be opened"), lock.hold("apply"):
        pytest.fail("it was held")


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(Unready), Lock(str(tmp_path / "lock")).hold("apply"):
        pytest.fail("it was held")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_lock_that_is_held_around_several_runs(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Lock(str(path)).hold("backup run"):
        for _ in range(2):
            with HeldLock(str(path)).hold("backup run"):
                assert locked(str(path))
        assert locked(str(path))
    assert not locked(str(path))


def test_whether_it_is_held_can_be_asked_without_holding_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not locked(str(path))
    with holder(path) as process:
        assert MachineDoor().locked(str(path))
        process.communicate("")
    assert not locked(str(path))


def test_those_who_share_a_lock_hold_it_together_and_keep_the_one_off_who_wants_it_alone(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "reading.lock")
    first, second = (Lock(path, shared=True) for _ in range(2))
    with first.hold("backup restore"):
        with second.hold("backup prove"):
            pass
        with (
            pytest.raises(Busy, match=rf"backup prove, pid {os.getpid()}"),
            Lock(path).hold("backup prune"),
        ):
            pytest.fail("a prune runs beside a restore")
    with (
        Lock(path).hold("backup prune"),
        pytest.raises(Busy, match="backup prune"),
        first.hold("backup restore"),
    ):
        pytest.fail("a restore runs beside a prune")
    with first.hold("backup restore"):
        pass


def test_of_those_who_share_a_lock_one_that_still_holds_it_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "reading.lock")
    with Lock(path, shared=True).hold("backup restore"):
        Path(path).write_text('{"pid": 4194304, "since": 0, "verb": "backup prove", "user": "bob"}')
        with (
            pytest.raises(Busy, match=rf"at work: pid {os.getpid()} \("),
            Lock(path).hold("backup prune"),
        ):
            pytest.fail("a prune runs beside a restore")
