from __future__ import annotations

import socket

import pytest

from kvmkeep.host.service import tell_ready


def test_a_name_of_linuxs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")  # the kernel chooses one (unix(7), "Autobind feature")
        name = systemd.getsockname()
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode())
        tell_ready()
        assert systemd.recv(100) == b"READY=1"


def test_without_anybody_to_listen_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_ready()
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    tell_ready()
