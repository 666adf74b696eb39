"""The door to other programs: run them, time them, and stop them when this one dies."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

STARTED = time.monotonic()
NOTE_EVERY = 10.0


def say(text: str) -> None:
    """Tell the user what is happening, with the seconds since the start."""
    print(f"lab: {time.monotonic() - STARTED:5.0f} s  {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step, and say every ten seconds that it is still going on."""
    begin = time.monotonic()
    done = threading.Event()

    def remind() -> None:
        while not done.wait(NOTE_EVERY):
            say(f"  still: {text} ({time.monotonic() - begin:.0f} s)")

    say(text)
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
        reminder.join()


class Guard:
    """Kills a process group if this process dies before the guard is released.

    The watcher is a small shell that reads from a pipe. When this process ends in any way,
    also by SIGKILL, the pipe closes and the watcher kills the group.
    """

    def __init__(self, pid: int) -> None:
        """Start to watch over the process group of `pid`."""
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", f'read -r word || kill -s KILL -- "-{pid}" 2>/dev/null'],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Let the process live on."""
        with contextlib.suppress(BrokenPipeError):
            self._watcher.communicate(b"ok\n", timeout=10)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads its own group, with all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a log."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


def tool_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for tools: the user's, but in plain English and with sbin."""
    environment = dict(os.environ)
    environment.update(LC_ALL="C.UTF-8", LANGUAGE="C")
    environment["PATH"] = (
        environment.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
    )
    environment.update(extra or {})
    return environment


def run_tool(
    argv: Sequence[str],
    log: Path,
    *,
    limit: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdout: IO[bytes] | None = None,
) -> None:
    """Run a tool to its end. Its output goes to the log; a failure shows the log's end."""
    with log.open("ab") as sink:
        sink.write(f"+ {shlex.join(argv)}\n".encode())
        sink.flush()
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stdout or sink,
                stderr=sink,
                cwd=cwd,
                env=tool_environment(environment),
                start_new_session=True,
            )
        except FileNotFoundError as error:
            message = f"the program {argv[0]} is missing"
            hint = "python3 -m lab packages names the Debian packages to install"
            raise LabError(message, hint) from error
        guard = Guard(process.pid)
        try:
            code = process.wait(timeout=limit)
        except subprocess.TimeoutExpired as error:
            message = f"{argv[0]} did not end within {limit:.0f} s; its last lines:\n{tail(log)}"
            raise LabError(message) from error
        finally:
            if process.returncode is None:
                kill_group(process)
            guard.release()
    if code != 0:
        text = tail(log)
        hint = f"the command was: {shlex.join(argv)}"
        if "No space left on device" in text or "ENOSPC" in text:
            hint = "free some space, or set KVMKEEP_LAB_CACHE to a directory on a larger disk"
        raise LabError(f"{argv[0]} failed with exit code {code}; its last lines:\n{text}\n", hint)


def output_of(argv: Sequence[str], *, limit: float = 60) -> str:
    """Run a short command and return what it prints."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit,
            check=True,
            env=tool_environment(),
        )
    except FileNotFoundError as error:
        message = f"the program {argv[0]} is missing"
        hint = "python3 -m lab packages names the Debian packages to install"
        raise LabError(message, hint) from error
    except subprocess.CalledProcessError as error:
        text = error.stderr.decode(errors="replace").strip()
        message = f"{shlex.join(argv)} failed: {text}"
        raise LabError(message) from error
    except subprocess.TimeoutExpired as error:
        message = f"{shlex.join(argv)} did not end within {limit:.0f} s"
        raise LabError(message) from error
    return done.stdout.decode(errors="replace")


def wait_for(what: str, condition: Callable[[], bool], *, limit: float, pause: float = 0.2) -> None:
    """Wait until the condition holds, but not longer than the limit."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            message = f"waited {limit:.0f} s for {what}, in vain"
            raise LabError(message)
        time.sleep(pause)
