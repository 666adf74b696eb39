"""Commands and files into the lab and out of it, over one SSH connection that stays open."""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.qemu import LOCALHOST
from lab.tools import tool_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.state import State

LOST = 255
PREFIX = "lab:"


def write_config(state: State, host: Path) -> None:
    """Write the files for `ssh -F`: configuration and known hosts."""
    place = state.place
    (place / "known_hosts").write_text(f"build {(host / 'host.pub').read_text()}")
    lines = [
        "Host lab",
        f"HostName {LOCALHOST}",
        f"Port {state.port}",
        "User root",
        f"IdentityFile {host / 'login'}",
        "IdentitiesOnly yes",
        "IdentityAgent none",
        "HostKeyAlias build",
        "StrictHostKeyChecking yes",
        f"UserKnownHostsFile {place / 'known_hosts'}",
        "GlobalKnownHostsFile /dev/null",
        "BatchMode yes",
        "LogLevel ERROR",
        "ConnectTimeout 30",
        "ServerAliveInterval 15",
        "ServerAliveCountMax 8",
        "KexAlgorithms curve25519-sha256",
        "GSSAPIAuthentication no",
        "ControlMaster auto",
        f"ControlPath {place / 'ssh-master.sock'}",
        "ControlPersist yes",
    ]
    (place / "ssh_config").write_text("\n".join(lines) + "\n")


def ssh_command(state: State, *options: str) -> list[str]:
    """Return the start of an ssh command."""
    return ["ssh", "-F", str(state.place / "ssh_config"), *options, "lab"]


def banner_answers(port: int) -> bool:
    """Say whether the lab's SSH server greets."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((LOCALHOST, port), timeout=2) as probe,
    ):
        return probe.recv(4) == b"SSH-"
    return False


def close_master(state: State) -> None:
    """End the connection that stays open."""
    if (state.place / "ssh-master.sock").exists():
        argv = ["ssh", "-F", str(state.place / "ssh_config"), "-O", "exit", "lab"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
            )
        (state.place / "ssh-master.sock").unlink(missing_ok=True)


def open_master(state: State, *, limit: float) -> None:
    """Open the connection that all commands share."""
    close_master(state)
    end = time.monotonic() + limit
    while True:
        # The connection goes to the background; it must not hold our caller's pipes open.
        with (state.place / "ssh.log").open("wb") as sink:
            done = subprocess.run(
                ssh_command(state, "-f", "-N", "-M"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=sink,
                check=False,
                start_new_session=True,
                env=tool_environment(),
            )
        if done.returncode == 0:
            return
        if time.monotonic() > end:
            text = (state.place / "ssh.log").read_text(errors="replace").strip()
            message = f"no SSH connection to the lab {state.name!r} within {limit:.0f} s: {text}"
            raise LabError(message, f"the lab's console is in {state.place}/console.log")
        time.sleep(0.5)


def remote_line(argv: Sequence[str]) -> str:
    """Quote a command for the lab's shell, so that it ends as the command did.

    A command that a signal ended gives 128 plus the signal's number, as in a shell, and not
    ssh's own 255. What the shell itself would say to that ("Killed") goes nowhere.
    """
    return f"exec 3>&2 2>/dev/null; {shlex.join(argv)} 2>&3 3>&-; exit $?"


def run_captured(
    state: State,
    argv: Sequence[str],
    *,
    data: bytes | None = None,
    limit: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in the lab, and return what it printed and how it ended."""
    line = ["--", remote_line(argv)]
    if data is None:
        command = [*ssh_command(state, "-T"), *line]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
        )
    return subprocess.run(
        [*ssh_command(state, "-T"), *line],
        input=data,
        capture_output=True,
        timeout=limit,
        check=False,
    )


def run_through(state: State, argv: Sequence[str], *, terminal: bool = False) -> int:
    """Run a command in the lab with our own stdin, stdout and stderr; return its exit code."""
    line = ["--", remote_line(argv)] if argv else []
    command = [*ssh_command(state, "-t" if terminal else "-T"), *line]
    return subprocess.run(command, check=False).returncode


def pipe(source: Sequence[str], target: Sequence[str], what: str, *, limit: float) -> None:
    """Let one command's output run into another, and check both."""
    with subprocess.Popen(source, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as first:
        done = subprocess.run(
            target, stdin=first.stdout, capture_output=True, timeout=limit, check=False
        )
        if first.stdout:
            first.stdout.close()
        code = first.wait(timeout=30)
    if code or done.returncode:
        message = f"copying {what} failed: {done.stderr.decode(errors='replace').strip()}"
        raise LabError(message)


def copy_in(state: State, sources: Sequence[Path], target: str, *, limit: float = 600) -> None:
    """Copy files and directories into a directory of the lab, or one file to a name there."""
    for path in sources:
        if not path.exists():
            message = f"{path} does not exist"
            raise LabError(message)
    if len(sources) == 1 and sources[0].is_file() and not target.endswith("/"):
        quoted = shlex.quote(target)
        line = f"if [ -d {quoted} ]; then exec tar -C {quoted} -xSf -; else exec tar -xSOf - > {quoted}; fi"
    else:
        line = f"mkdir -p {shlex.quote(target)} && exec tar -C {shlex.quote(target)} -xSf -"
    tar = ["tar", "-cSf", "-", "--owner=0", "--group=0"]
    for path in sources:
        tar += ["-C", str(path.absolute().parent), path.absolute().name]
    pipe(tar, [*ssh_command(state, "-T"), "--", line], f"to {target}", limit=limit)


def copy_out(state: State, sources: Sequence[str], target: Path, *, limit: float = 600) -> None:
    """Copy files and directories of the lab into a directory here, or one file to a name here."""
    for source in sources:
        name = Path(source)
        line = f"exec tar -C {shlex.quote(str(name.parent))} -cSf - {shlex.quote(name.name)}"
        remote = [*ssh_command(state, "-T"), "--", line]
        if target.is_dir():
            pipe(
                remote,
                ["tar", "-C", str(target), "-xSf", "-", "--no-same-owner"],
                f"from {source}",
                limit=limit,
            )
            continue
        if len(sources) > 1 or os.fspath(target).endswith("/"):
            message = f"{target} is not a directory"
            raise LabError(message)
        temporary = target.absolute().parent / f".{target.name}.{os.getpid()}"
        temporary.mkdir()
        try:
            pipe(
                remote,
                ["tar", "-C", str(temporary), "-xSf", "-", "--no-same-owner"],
                f"from {source}",
                limit=limit,
            )
            (temporary / name.name).rename(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.rmdir()
