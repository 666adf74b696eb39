"""Requests to stop, and who asked."""

from __future__ import annotations

import os
import pwd
import signal
from pathlib import Path

import pytest

from kvmkeep.host.environment import invoker
from kvmkeep.host.stop import Stop
from kvmkeep.model.command import Command, Progress

SHORT = Command(argv=("true",), why="try")
LONG = Command(argv=("true",), why="try", progress=Progress.QEMU_IMG)


def test_each_kind_of_request_is_told_once() -> None:
    stop = Stop()
    told: list[bool] = []
    stop.announce = told.append
    stop.tick()
    stop.press()
    stop.tick()
    stop.tick()
    stop.press()
    stop.tick()
    stop.press()
    stop.tick()
    assert told == [False, True]


def test_nobody_needs_to_be_told() -> None:
    stop = Stop()
    stop.press()
    stop.tick()
    assert stop.requested


def test_what_a_request_ends() -> None:
    stop = Stop()
    assert (stop.ends(SHORT), stop.ends(LONG)) == (False, False)
    stop.press()
    assert (stop.ends(SHORT), stop.ends(LONG)) == (False, True)
    stop.press()
    assert stop.urgent
    assert (stop.ends(SHORT), stop.ends(LONG)) == (True, True)
    with stop.shield():
        assert (stop.ends(SHORT), stop.ends(LONG)) == (False, False)
    assert stop.ends(SHORT)


def test_signals_count_only_while_listening() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_ignored_hang_up_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = Stop()
        with stop.listening():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_question_can_be_left_with_ctrl_c() -> None:
    stop = Stop()
    with stop.listening():
        with pytest.raises(KeyboardInterrupt), stop.deaf():
            os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested


def test_the_user_behind_sudo_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert invoker() == "alice"


def test_a_user_without_sudo_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert invoker()
    monkeypatch.setenv("SUDO_USER", "\x1b[2J")
    assert invoker().isprintable()


@pytest.mark.parametrize("content", ["0", "4294967295", "garbage", None])
def test_the_login_session_tells_who_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    file = tmp_path / "loginuid"
    if content is not None:
        file.write_text(content)
    assert invoker(str(file)) == pwd.getpwuid(os.geteuid()).pw_name
