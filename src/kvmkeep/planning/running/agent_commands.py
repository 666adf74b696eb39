"""Commands to a running guest's agent that end well only where it did as it was asked."""

from __future__ import annotations

from collections.abc import Mapping

from kvmkeep.model.agent import agent_argv
from kvmkeep.model.command import Command
from kvmkeep.model.spec import Guest


def runs_script(guest: Guest, words: tuple[str, ...], why: str) -> Command:
    """Return what has the guest's shell run a script: its text, its name, its arguments.

    It does not wait for its end, and answers with a number that no plan can hold.
    """
    return _agent(guest, "guest-exec", {"path": "/bin/sh", "arg": ["-c", *words]}, why)


def opens(guest: Guest, path: str, why: str) -> Command:
    """Succeed only where the guest has that file: the agent opens it for reading."""
    return _agent(guest, "guest-file-open", {"path": path, "mode": "r"}, why)


def _agent(guest: Guest, execute: str, arguments: Mapping[str, object], why: str) -> Command:
    argv = agent_argv(guest.name, execute, 10, arguments)
    return Command(argv=argv, why=why, timeout=30.0)
