"""Commands on this machine: how they end, and what is left of them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess  # noqa: TID251 - a second process
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvmkeep.host import excess
from kvmkeep.host.run import Bounded, Setting, run
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import NOT_FOUND, NOT_STARTED, Command, Progress

pytestmark = pytest.mark.machine


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


SOON = 10.0
"""No test of this file may take longer, whatever the command wanted."""


def command(*argv: str, **more: object) -> Command:
    return Command(argv=argv, why="try it", **more)  # type: ignore[arg-type]


def shell(line: str, **more: object) -> Command:
    return command("sh", "-c", line, **more)


def quick(**more: object) -> Setting:
    return Setting(tick=0.02, grace=0.3, linger=0.2, **more)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that still waits for its parent has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2][1] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(holds: object) -> None:
    until = time.monotonic() + SOON
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)


def test_both_streams_and_the_exit_code_are_kept() -> None:
    result = run(shell("echo out; echo err >&2; exit 3"), quick())
    assert (result.code, result.stdout, result.stderr) == (3, b"out\n", b"err\n")
    assert not result.ok
    assert not result.timed_out
    assert result.tail == "err"


def test_other_exit_codes_can_be_accepted() -> None:
    assert run(shell("exit 5", ok=(0, 5)), quick()).ok
    assert not run(shell("exit 0", ok=(5,)), quick()).ok


def test_an_expected_answer_is_compared_without_the_space_around_it() -> None:
    assert run(shell("echo '  yes  '", expect="yes"), quick()).ok
    assert not run(shell("echo no", expect="yes"), quick()).ok


def test_a_missing_program_is_127_as_in_a_shell() -> None:
    result = run(command("no-such-program-here"), quick())
    assert result.code == NOT_FOUND == 127
    assert b"not found" in result.stderr


@pytest.mark.parametrize("argv", [("/etc/passwd",), ("true", "nul\0byte")])
def test_what_can_not_be_started_is_126(argv: tuple[str, ...]) -> None:
    result = run(command(*argv), quick())
    assert result.code == NOT_STARTED == 126
    assert result.stderr
    assert not result.ok


def test_a_signal_is_a_negative_code() -> None:
    assert run(shell("kill -9 $$"), quick()).code == -9


def test_stdin_is_empty_unless_given() -> None:
    assert run(command("cat"), quick()).stdout == b""
    assert run(command("readlink", "/proc/self/fd/0"), quick()).stdout == b"/dev/null\n"


def test_much_input_passes_while_much_output_comes_back() -> None:
    content = bytes(range(256)) * 20_000
    assert run(command("cat", stdin=content), quick()).stdout == content


def test_a_program_that_does_not_read_its_input_is_no_failure() -> None:
    assert run(command("true", stdin=b"x" * 5_000_000), quick()).ok
    assert run(shell("exec 0<&-; sleep 0.1", stdin=b"x" * 5_000_000), quick()).ok


def test_closed_output_is_no_end() -> None:
    result = run(shell("exec 1>&- 2>&-; sleep 0.2; exit 4"), quick())
    assert result.code == 4


def test_a_process_that_dies_leaves_input_unsent() -> None:
    result = run(shell("kill -9 $$", stdin=b"x" * 5_000_000), quick())
    assert result.code == -9


def test_the_environment_is_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu:///session")
    monkeypatch.setenv("VIRSH_DEFAULT_CONNECT_URI", "qemu:///session")
    monkeypatch.setenv("LIBGUESTFS_PATH", "/opt/appliance")
    monkeypatch.delenv("LIBGUESTFS_BACKEND_SETTINGS", raising=False)
    found = dict(
        line.split("=", 1) for line in run(command("env"), Setting(tick=0.02)).text.splitlines()
    )
    assert found == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "LIBGUESTFS_BACKEND": "direct",
        "LIBVIRT_DEFAULT_URI": "qemu:///system",
        "LIBGUESTFS_PATH": "/opt/appliance",
    }


def test_only_what_is_to_has_the_proxies_and_nobody_is_told_who_logs_in_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:CANARY/@proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    text = 'echo "$https_proxy $NO_PROXY" >&2'
    assert run(shell(text), Setting(tick=0.02)).stderr == b" \n"
    found = run(shell(text, proxied=True), Setting(tick=0.02))
    assert found.stderr == b"http://(secret)@proxy.example.org:3128 example.org\n"


def test_a_command_has_its_own_session_a_private_umask_and_the_root_directory() -> None:
    result = run(shell("umask; pwd; ps -o sid= -p $$; echo $$"), quick())
    umask, where, session, pid = result.text.split()
    assert (umask, where) == ("0077", "/")
    assert session == pid


def test_only_the_beginning_and_the_end_of_much_output_are_kept() -> None:
    line = "printf BEGIN; head -c 30000000 /dev/zero; printf END"
    result = run(shell(line), quick(limit=1 << 16))
    assert result.stdout.startswith(b"BEGIN")
    assert result.stdout.endswith(b"END")
    assert len(result.stdout) < (1 << 16) + 100
    assert b"bytes left out" in result.stdout
    assert result.cut == 30000008 - (1 << 16)


def test_a_command_may_say_how_much_of_its_output_is_kept() -> None:
    line = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"
    result = run(shell(line, most=300_000), quick(limit=1 << 16))
    assert (len(result.stdout), result.cut) == (300_000, 0)
    assert len(result.stderr) < 1 << 17
    assert run(shell(line, most=299_998), quick(limit=1 << 16)).cut == 2


def test_what_fits_is_kept_whole() -> None:
    kept = Bounded(10)
    for piece in (b"abc", b"defgh", b"ij"):
        kept.add(piece)
    assert kept.bytes() == b"abcdefghij"
    kept.add(b"k")
    assert kept.bytes() == b"abcde\n[... 1 bytes left out ...]\nghijk"


def test_a_time_limit_ends_the_whole_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = f"sleep 60 & echo $! > {pids}; echo $$ >> {pids}; sleep 60"
    result = run(shell(line, timeout=0.3), quick())
    assert result.timed_out
    assert not result.ok
    assert result.code == -signal.SIGTERM
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: gone(int(pid)))


def test_what_ignores_sigterm_is_killed() -> None:
    result = run(shell("trap '' TERM; while :; do sleep 1; done", timeout=0.2), quick())
    assert result.timed_out
    assert result.code == -signal.SIGKILL


def test_one_that_ends_well_when_told_to_stop_still_was_too_slow() -> None:
    result = run(shell("trap 'exit 0' TERM; sleep 60 & wait", timeout=0.2), quick())
    assert (result.code, result.timed_out, result.ok) == (0, True, False)


def test_a_process_left_in_the_background_does_not_hold_us_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    result = run(shell(f"sleep 60 & echo $! > {pids}; echo done"), quick())
    assert time.monotonic() - began < SOON
    assert result.ok
    assert result.text == "done\n"
    os.kill(int(pids.read_text()), signal.SIGKILL)


def test_a_process_that_the_kernel_does_not_end_is_given_up() -> None:
    """As one in uninterruptible sleep on a dead disk: signals do not reach it."""
    reached: list[int] = []

    def deaf(group: int, _number: int) -> None:
        reached.append(group)

    result = run(
        command("sleep", "60", timeout=0.1),
        quick(kill_group=deaf, patience=0.2),
    )
    assert result.timed_out
    assert not result.ok
    assert b"does not end" in result.stderr
    os.killpg(reached[0], signal.SIGKILL)
    os.waitpid(reached[0], 0)


def test_no_zombies_are_left() -> None:
    for line in ("exit 0", "kill -9 $$", "sleep 60"):
        run(shell(line, timeout=0.1), quick())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_first_request_to_stop_lets_a_command_finish() -> None:
    stop = Stop()
    stop.press()
    assert run(shell("sleep 0.1; echo whole"), quick(stop=stop)).text == "whole\n"
    assert not stop.ended_command


def test_the_first_request_ends_a_long_command_that_is_safe_to_repeat() -> None:
    stop = Stop()
    stop.press()
    result = run(command("sleep", "60", progress=Progress.QEMU_IMG), quick(stop=stop))
    assert result.code == -signal.SIGTERM
    assert not result.ok
    assert not result.timed_out
    assert stop.ended_command


def test_the_second_request_ends_any_command() -> None:
    stop = Stop()
    stop.press()
    threading.Timer(0.1, stop.press).start()
    result = run(command("sleep", "60"), quick(stop=stop))
    assert result.code == -signal.SIGTERM
    assert stop.ended_command


def test_what_undoes_a_change_is_not_ended_by_requests() -> None:
    stop = Stop()
    stop.press()
    stop.press()
    with stop.shield():
        assert run(shell("sleep 0.1; echo undone"), quick(stop=stop)).ok


def test_an_exception_of_ours_ends_the_command(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def interrupted(_done: int, _total: int) -> None:
        if pids.exists() and pids.read_text().endswith("\n"):
            raise KeyboardInterrupt

    line = f"echo $$ > {pids}; exec sleep 60"
    with pytest.raises(KeyboardInterrupt):
        run(shell(line, progress=Progress.QEMU_IMG), quick(), interrupted)
    assert gone(int(pids.read_text()))
    with pytest.raises(KeyboardInterrupt):
        run(
            shell(f"trap '' TERM; {line}", progress=Progress.QEMU_IMG, stdout_to=f"{tmp_path}/o"),
            quick(),
            interrupted,
        )
    assert gone(int(pids.read_text()))
    assert names(tmp_path) == ["pids"]


def test_output_goes_to_a_private_file_when_all_went_well(tmp_path: Path) -> None:
    target = tmp_path / "new" / "answer.txt"
    result = run(shell("echo 42; ls -A new", stdout_to=str(target), ok=(0, 2)), quick())
    assert result.ok
    assert result.stdout == b""
    assert target.read_text() == "42\n"
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700
    assert names(target.parent) == ["answer.txt"]


def test_a_failure_leaves_the_old_output_file(tmp_path: Path) -> None:
    target = tmp_path / "answer.txt"
    target.write_text("old")
    result = run(shell("echo half; exit 1", stdout_to=str(target)), quick())
    assert result.code == 1
    assert target.read_text() == "old"
    assert names(tmp_path) == ["answer.txt"]


def test_an_output_file_that_can_not_be_made_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(shell("echo no", stdout_to=f"{tmp_path}/file/answer"), quick())
    assert result.code == NOT_STARTED
    assert not result.ok


def test_an_output_file_that_can_not_get_its_name_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "answer").mkdir()
    result = run(shell("echo no", stdout_to=f"{tmp_path}/answer"), quick())
    assert result.code == NOT_STARTED
    assert b"directory" in result.stderr
    assert names(tmp_path) == ["answer"]


def test_the_progress_of_qemu_img_is_read_even_when_cut_in_two() -> None:
    seen: list[tuple[int, int]] = []
    line = "printf '    (1.00/100%%)\\r    (50.'; sleep 0.4; printf '00/100%%)\\r'; sleep 0.3"
    run(
        shell(line, progress=Progress.QEMU_IMG, total_bytes=1000),
        quick(),
        lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (500, 1000)
    assert (10, 1000) in seen


@pytest.mark.parametrize("option", ["-o", "--output", ""])
def test_the_size_of_the_written_file_is_progress(tmp_path: Path, option: str) -> None:
    seen: list[int] = []
    target = tmp_path / "file"
    words = (option, str(target), "more") if option else ("more", str(target))
    line = f"printf 12345 > {target}; sleep 0.4"
    run(
        command("sh", "-c", line, "sh", *words, progress=Progress.FILE_SIZE, total_bytes=10),
        quick(),
        lambda done, _total: seen.append(done),
    )
    assert seen[-1] == 5


def test_the_size_of_the_output_file_is_progress(tmp_path: Path) -> None:
    seen: list[int] = []
    run(
        shell("printf 1234; sleep 0.4", stdout_to=f"{tmp_path}/f", progress=Progress.FILE_SIZE),
        quick(),
        lambda done, _total: seen.append(done),
    )
    assert seen[-1] == 4


def test_a_file_that_is_not_there_yet_is_no_progress() -> None:
    seen: list[int] = []
    run(
        command("true", "/no/such/file", progress=Progress.FILE_SIZE),
        quick(),
        lambda done, _total: seen.append(done),
    )
    assert seen[-1] == 0


def test_a_command_without_progress_tells_none() -> None:
    seen: list[int] = []
    run(shell("sleep 0.3"), quick(), lambda done, _total: seen.append(done))
    assert seen == []


def test_without_free_descriptors_a_command_fails_and_leaves_nothing() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    codes = []
    try:
        for more in range(40, 0, -1):
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + more, hard))
            result = run(command("/bin/true"), quick())
            codes.append(result.code)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(codes) == {0, NOT_STARTED}
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


PROGRAM = """
import sys
from kvmkeep.host.run import Setting, run
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Command
stop = Stop()
stop.announce = lambda urgent: print("urgent" if urgent else "asked", flush=True)
with stop.listening():
    line = "echo $$ >&2; echo begun > %s; sleep 1; echo whole" % sys.argv[1]
    result = run(Command(argv=("sh", "-c", line), why="try"), Setting(stop=stop, tick=0.02))
print(result.code, result.text.strip(), flush=True)
"""


def program(tmp_path: Path) -> tuple[subprocess.Popen[str], Path]:
    begun = tmp_path / "begun"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(begun)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "src"},
        start_new_session=True,
    )
    wait_until(begun.exists)
    return process, begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_our_whole_group_does_not_reach_the_command(
    tmp_path: Path, number: signal.Signals
) -> None:
    process, _ = program(tmp_path)
    os.killpg(process.pid, number)
    out, _ = process.communicate(timeout=SOON)
    assert out.split() == ["asked", "0", "whole"]


def test_a_second_ctrl_c_ends_the_command(tmp_path: Path) -> None:
    process, _ = program(tmp_path)
    assert process.stdout is not None
    os.kill(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "asked\n"
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=SOON)
    assert out.split() == ["urgent", "-15"]


ORPHAN = """
import sys
from kvmkeep.host.run import Setting, run
from kvmkeep.model.command import Command
run(Command(argv=("sh", "-c", "echo $$ > %s; exec sleep 60" % sys.argv[1]), why="try"), Setting())
"""


def test_a_command_dies_with_us_even_by_kill_9(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(pids)], env={**os.environ, "PYTHONPATH": "src"}
    )
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    process.kill()
    process.wait(SOON)
    wait_until(lambda: gone(int(pids.read_text())))


@pytest.mark.parametrize("line", ["cat /dev/zero", "head -c 2000000 /dev/zero; sleep 60"])
def test_what_gives_more_than_its_file_may_have_is_ended_and_leaves_nothing(
    line: str, tmp_path: Path
) -> None:
    target = f"{tmp_path}/list"
    result = run(shell(line, stdout_to=target, most=1 << 20), quick())
    assert not result.ok
    assert f"more for {target} than 1048576 bytes" in result.tail
    assert names(tmp_path) == []


def test_what_gave_more_before_anybody_looked_does_not_count_either(tmp_path: Path) -> None:
    both = (f"{tmp_path}/some", f"{tmp_path}/more")
    results = [run(shell("echo 123", stdout_to=one, most=len(one) - 1), quick()) for one in both]
    assert [result.ok for result in results] == [True, True]
    result = run(shell("echo 1234", stdout_to=both[1], most=4), quick())
    assert (result.code, result.ok) == (0, False)
    assert "than 4 bytes" in result.tail


def test_what_takes_the_last_room_of_a_filesystem_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("/", "/no/such/place", "/proc"):  # the last has no size
        assert run(shell("sleep 0.3", spares=one), quick()).ok
    full = SimpleNamespace(f_blocks=1 << 30, f_bavail=100, f_frsize=4096)
    monkeypatch.setattr(excess, "os", SimpleNamespace(statvfs=lambda _: full))
    result = run(shell("sleep 60", spares="/srv"), quick())
    assert not result.ok
    assert "ended: less than 512 MiB would stay free at /srv" in result.tail


def test_a_filesystem_that_does_not_answer_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(excess, "os", SimpleNamespace(statvfs=lambda _: never.wait(60)))
    assert run(shell("sleep 0.3", spares="/mnt/nfs"), quick()).ok
    never.set()
