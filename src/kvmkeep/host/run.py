"""Run a command: the only place in the package that starts a process.

A command has its own session: no terminal to ask questions on, and no Ctrl-C or hang-up that
reaches it past us. It gets SIGTERM when kvmkeep dies, even by `kill -9` (PR_SET_PDEATHSIG,
prctl(2)), so that no forgotten `qemu-img` writes to an LV that the next run writes again. SIGTERM
rather than SIGKILL: LVM blocks it while it changes metadata (lvm-signal.c) and qemu-img and curl
die of it. The kernel delivers it to the command itself, not to its children; therefore the steps
that write an LV also probe that nobody has it open.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from msgspec import Struct, field

from kvmkeep.host import files
from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.environment import environment, proxies, without_credentials
from kvmkeep.host.excess import Excess
from kvmkeep.host.progress import ProgressReader
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import NOT_FOUND, NOT_STARTED, Command

_PR_SET_PDEATHSIG = 1
_CHUNK = 1 << 16
_WATCH_EVERY = 0.25


class Setting(Struct, frozen=True, kw_only=True):
    """How commands run. Times in seconds, `limit` in bytes kept of each stream.

    `tick` is how often a request to stop is looked for. `grace` is from SIGTERM to SIGKILL,
    `patience` from there until a process that the kernel will not end is given up, `linger` how
    long output is awaited that a process left in the background still holds open.
    """

    stop: Stop = field(default_factory=Stop)
    environment: dict[str, str] = field(default_factory=environment)
    proxies: dict[str, str] = field(default_factory=proxies)
    tick: float = 0.2
    grace: float = 5.0
    patience: float = 10.0
    linger: float = 0.5
    limit: int = 16 << 20
    kill_group: Callable[[int, int], None] = os.killpg


class Bounded:
    """Keeps the beginning and the end of a stream of bytes."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        """Take more bytes."""
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * self._half:
            self._trim()

    def bytes(self) -> bytes:
        """Return what was kept, with a note where something was left out."""
        self._trim()
        note = b"\n[... %d bytes left out ...]\n" % self._left_out if self._left_out else b""
        return bytes(self._head) + note + bytes(self._tail)

    @property
    def left_out(self) -> int:
        """How many bytes were left out."""
        self._trim()
        return self._left_out

    def _trim(self) -> None:
        surplus = len(self._tail) - self._half
        if surplus > 0:
            del self._tail[:surplus]
            self._left_out += surplus


def run(command: Command, setting: Setting, watch: ProgressWatcher | None = None) -> Result:
    """Run a command to its end and say how it ended; never raises because of that.

    KeyboardInterrupt passes through, with the command ended before.
    """
    if not command.stdout_to:
        return _run(command, setting, watch, subprocess.PIPE)
    path = command.stdout_to
    try:
        files.make_directories(os.path.dirname(path), 0o700)
        descriptor = files.open_part(path, 0o600)
    except OSError as error:
        return not_run(NOT_STARTED, f"{path}: {error.strerror}")
    try:
        result = _run(command, setting, watch, descriptor)
    except BaseException:
        os.close(descriptor)
        files.drop_part(path)
        raise
    return _keep_output(result, descriptor, path)


def _keep_output(result: Result, descriptor: int, path: str) -> Result:
    """Give the output file its name if the command ended well, else remove it."""
    if not result.ok:
        os.close(descriptor)
        files.drop_part(path)
        return result
    try:
        files.finish_part(descriptor, path)
    except OSError as error:
        files.drop_part(path)
        stderr = result.stderr + f"{path}: {error.strerror}\n".encode()
        return Result(
            code=NOT_STARTED,
            stdout=result.stdout,
            stderr=stderr,
            seconds=result.seconds,
            timed_out=False,
            ok=False,
        )
    return result


def _run(command: Command, setting: Setting, watch: ProgressWatcher | None, stdout: int) -> Result:
    began = time.monotonic()
    talk = begin(command, setting, watch, stdout)
    if isinstance(talk, Result):
        return talk
    with talk:
        while talk.goes_on(setting.tick, began + command.timeout):
            pass
        return talk.end(time.monotonic() - began)


def begin(
    command: Command,
    setting: Setting,
    watch: ProgressWatcher | None = None,
    stdout: int = subprocess.PIPE,
) -> Talk | Result:
    """Start a command, or return why it could not be started."""
    try:
        child = subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env={**setting.environment, **(setting.proxies if command.proxied else {})},
            umask=0o077,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one system call, no Python objects
        )
    except FileNotFoundError:
        return not_run(NOT_FOUND, f"{command.argv[0]}: program not found")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return not_run(NOT_STARTED, f"{command.argv[0]}: {reason}")
    try:
        return Talk(child, command, setting, watch)
    except OSError as error:  # no descriptor left
        child.kill()
        child.communicate()
        return not_run(NOT_STARTED, f"{command.argv[0]}: {error.strerror}")


def not_run(code: int, message: str, *, timed_out: bool = False) -> Result:
    """Return the result of a command that was never begun."""
    stderr = (message + "\n").encode("utf-8", "backslashreplace")
    return Result(code=code, stdout=b"", stderr=stderr, seconds=0.0, timed_out=timed_out, ok=False)


def die_with_parent(by: signal.Signals) -> Callable[[], None]:
    """Return what the child does before it becomes the program: ask to die when we do."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask() -> None:  # pragma: no cover - runs in the child, out of the tracer's sight
        prctl(_PR_SET_PDEATHSIG, int(by), 0, 0, 0)
        if os.getppid() != parent:  # we died before it could ask
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


class Talk:
    """The exchange with one running command; the caller has it go on, bit by bit."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        command: Command,
        setting: Setting,
        watch: ProgressWatcher | None,
    ) -> None:
        self._child = child
        self._command = command
        self._setting = setting
        self._watch = watch
        self._reader = ProgressReader(command)
        self._excess = Excess(command)
        self._ended_for = ""
        self._stdout = Bounded(command.most or setting.limit)
        self._stderr = Bounded(setting.limit)
        self._unsent = memoryview(command.stdin)
        self._selector = selectors.EpollSelector()
        self._pidfd = os.pidfd_open(child.pid)
        self._exited = False
        self._timed_out = False
        self._kill_at = 0.0
        self._give_up_at = 0.0
        self._watched_at = 0.0

    def __enter__(self) -> Self:
        self._selector.register(self._pidfd, selectors.EVENT_READ)
        pairs = ((self._child.stdout, self._stdout), (self._child.stderr, self._stderr))
        for stream, kept in pairs:
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, selectors.EVENT_READ, kept)
        if self._child.stdin is not None:
            os.set_blocking(self._child.stdin.fileno(), False)
            self._selector.register(self._child.stdin, selectors.EVENT_WRITE)
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._exited and not self._given_up:
            self._abandon()
        self._selector.close()
        os.close(self._pidfd)
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _abandon(self) -> None:
        """End a command in the middle, because of an exception of ours."""
        self._signal(signal.SIGTERM)
        try:
            self._child.wait(self._setting.grace)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._child.wait()

    @property
    def _given_up(self) -> bool:
        return 0.0 < self._give_up_at <= time.monotonic()

    def fileno(self) -> int:
        """Return a descriptor that is readable when the command has something to exchange."""
        return self._selector.fileno()

    def goes_on(self, wait: float, deadline: float) -> bool:
        """Exchange what there is within `wait` seconds; return whether it is not over.

        It is over when the command ended, or was ended because it should not go on.
        """
        if not self._exited and not self._given_up:
            self._exchange(wait)
            self._setting.stop.tick()
            self._judge(deadline)
            self._show()
        return not self._exited and not self._given_up

    def end(self, seconds: float) -> Result:
        """Take leave of a command that is over, and return how it ended."""
        if self._exited:
            self._drain()
            if self._kill_at:
                # The leader is not reaped yet: its group's number can't belong to others.
                self._signal(signal.SIGKILL)
            self._child.wait()
        self._watched_at = 0.0
        self._show()
        return self._result(seconds)

    def _result(self, seconds: float) -> Result:
        command = self._command
        stdout = self._stdout.bytes()
        stderr = self._stderr.bytes()
        if command.proxied:
            stderr = without_credentials(stderr, self._setting.proxies)
        code = self._child.returncode if self._exited else -int(signal.SIGKILL)
        if not self._exited:
            self._child.returncode = code  # nobody will ever wait for it
            stderr += b"pid %d does not end, not even when killed\n" % self._child.pid
        if excess := self._ended_for or self._excess.of_file():
            stderr += f"{excess}\n".encode("utf-8", "backslashreplace")
        expected = not command.expect or stdout.strip() == command.expect.encode()
        ok = code in command.ok and not self._kill_at and not excess and expected
        return Result(
            code=code,
            stdout=stdout,
            stderr=stderr,
            seconds=seconds,
            timed_out=self._timed_out,
            ok=ok,
            cut=self._stdout.left_out,
        )

    def _exchange(self, wait: float) -> None:
        """Pass on what is ready."""
        for key, _ in self._selector.select(wait):
            if key.fd == self._pidfd:
                self._exited = True
                self._selector.unregister(self._pidfd)
            elif isinstance(key.data, Bounded):
                self._receive(key.fd, key.data)
            else:
                self._send(key.fd)

    def _receive(self, descriptor: int, kept: Bounded) -> None:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:  # pragma: no cover - a spurious wake-up, select(2)
            return
        if not data:
            self._selector.unregister(descriptor)
            return
        kept.add(data)
        if kept is self._stdout:
            self._reader.saw(data)

    def _send(self, descriptor: int) -> None:
        try:
            self._unsent = self._unsent[os.write(descriptor, self._unsent[:_CHUNK]) :]
        except BlockingIOError:  # pragma: no cover - as above
            return
        except BrokenPipeError:
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._selector.unregister(descriptor)
            if self._child.stdin is not None:
                self._child.stdin.close()

    def _judge(self, deadline: float) -> None:
        """End the command if its time is over or somebody asked; each signal is sent once."""
        now = time.monotonic()
        if self._exited or self._give_up_at:
            return
        if self._kill_at:
            if now >= self._kill_at:
                self._signal(signal.SIGKILL)
                self._give_up_at = now + self._setting.patience
        elif now >= deadline:
            self._timed_out = True
            self._end(now)
        elif self._setting.stop.ends(self._command):
            self._setting.stop.ended_command = True
            self._end(now)
        elif excess := self._excess.seen():
            self._ended_for = excess
            self._end(now)

    def _end(self, now: float) -> None:
        self._signal(signal.SIGTERM)
        self._kill_at = now + self._setting.grace

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self._setting.kill_group(self._child.pid, number)

    def _drain(self) -> None:
        """Read what the ended command still left; a background process may hold its pipes open."""
        if self._unsent and self._child.stdin is not None:
            self._selector.unregister(self._child.stdin)
        until = time.monotonic() + self._setting.linger
        while self._selector.get_map() and time.monotonic() < until:
            self._exchange(self._setting.linger / 10)

    def _show(self) -> None:
        now = time.monotonic()
        if self._watch is not None and now - self._watched_at >= _WATCH_EVERY:
            self._watched_at = now
            self._reader.tell(self._watch)
