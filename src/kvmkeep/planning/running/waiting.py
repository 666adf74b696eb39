"""How a guest is waited for: until it is ready, has done its first boot, or is off."""

from __future__ import annotations

from typing import assert_never
from xml.etree import ElementTree as ET

from msgspec.structs import replace

from kvmkeep.model.agent import agent_argv
from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.console import line_argv
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.names import READY_KEY, READY_URI, console_log
from kvmkeep.model.run import ReadyAgent, ReadyConsole, ReadyDelay, ReadyTcp
from kvmkeep.model.spec import Guest
from kvmkeep.planning.commands import has_state
from kvmkeep.planning.first_boot.seed import done_line
from kvmkeep.planning.scene import Known


def first_boot_done(guest: Guest) -> Poll:
    """Wait for the last line of the first boot; virtlogd may have begun a new file since."""
    log = console_log(guest.name)
    command = Command(
        argv=("grep", "-aqsF", "-e", done_line(guest), "--", log, f"{log}.0"),
        why="see whether the guest said that its first boot is done",
    )
    return _poll(guest, command, "to finish its first boot")


def ready(guest: Guest) -> tuple[Action, ...]:
    """Wait until the guest is ready, as its spec defines that, and keep that it was."""
    return _wait(guest), was_ready(guest)


def was_ready(guest: Guest) -> Command:
    """Return what keeps that a running guest was seen to be ready.

    A line on the console tells of a moment: virtlogd drops it with old logs (max_backups in
    virtlogd.conf). Which one it was is kept with it, as the spec may soon ask for another.
    """
    wanted = guest.run.ready
    line = {"line": wanted.pattern} if isinstance(wanted, ReadyConsole) else {}
    element = ET.tostring(ET.Element("ready", line), encoding="unicode")
    return Command(
        argv=(
            "virsh", "metadata", "--domain", guest.name, "--uri", READY_URI, "--key", READY_KEY,
            "--set", element, "--live",
        ),
        why="have its QEMU process remember that it was ready",
    )  # fmt: skip


def _wait(guest: Guest) -> Action:
    wanted = guest.run.ready
    match wanted:
        case ReadyAgent():
            poll = _poll(guest, agent_ping(guest), "to answer through its agent")
            other = '`ready: "console:login:"`'
            hint = f"without an agent in it, its spec needs another `ready`, as {other}"
            return replace(poll, otherwise=f"{poll.otherwise}; {hint}")
        case ReadyTcp():
            text = f"to take connections on port {wanted.port}"
            return _poll(guest, tcp_try(guest, wanted), text)
        case ReadyConsole():
            return _poll(guest, console_try(guest, wanted), "to say so on its console")
        case ReadyDelay():
            seconds = wanted.seconds
            return Command(
                argv=("sleep", str(seconds)),
                why=f"give it {seconds} s, as the spec says",
                timeout=seconds + 30.0,
            )
        case _:  # pragma: no cover - the type checker proves it
            assert_never(wanted)


def up(guest: Guest, question: Command) -> Poll:
    """Wait until the guest answers a question."""
    return _poll(guest, question, "to answer again")


def agent_ping(guest: Guest, *, patience: int = 5) -> Command:
    """Ask the guest agent for a sign of life; `patience` is in seconds."""
    argv = agent_argv(guest.name, "guest-ping", patience)
    return Command(argv=argv, why="ask the guest agent", timeout=25.0 + patience)


def tcp_try(guest: Guest, wanted: ReadyTcp) -> Command:
    """Connect to a port of the guest's first static address."""
    address = next(
        (str(address.ip) for nic in guest.nics for address in nic.addresses), guest.hostname
    )
    argv = ("nc", "-z", "-w", "3", address, str(wanted.port))
    return Command(argv=argv, why="try to connect", timeout=30.0)


def console_try(guest: Guest, wanted: ReadyConsole) -> Command:
    """See whether the guest has said on its console that it is ready."""
    argv = line_argv(guest.name, wanted.pattern)
    return Command(argv=argv, why="look at the serial console's log")


def set_aside(log: str) -> Command:
    """Return what keeps a console's old log apart from what the next boot will say."""
    return Command(
        argv=("mv", "--no-target-directory", "--", log, f"{log}.before"),
        why="keep the console's old log apart from the new one",
        ok=(0, 1),  # 1 also where there is none: virtlogd begins a new one
    )


def off(guest: Known, limit: int, *, agent: bool) -> Poll:
    """Wait until the guest is off; `limit` is in seconds.

    `agent` tells whether it was asked through its agent, or only by its ACPI power button.
    """
    ignores = (
        "the guest was asked through its agent and is not off yet"
        if agent
        else "the guest has no agent connected, and ignores the ACPI power button or is slow"
    )
    return Poll(
        command=has_state(guest, DomainState.SHUTOFF, "see whether it is off"),
        limit=float(limit),
        message=f"guest {guest.name} to shut down",
        otherwise=(
            f"{ignores}; it goes on running; see why: kvmkeep console {guest.name} "
            f"(pulling its plug is up to you: kvmkeep poweroff {guest.name})"
        ),
        every=1.0,
    )


def let_go(guest: Guest, what: str, kind: str, device: str) -> Poll:
    """Wait until a running guest has let go of a device; virsh ends before it has (virsh(1)).

    `device` is the XPath by which its element among the `devices` is known.
    """
    gone = f"/domain[not(devices/{device})]/name"
    return Poll(
        command=Command(
            argv=("virsh", "dumpxml", "--domain", guest.name, "--xpath", gone),
            why="see whether the guest has let go of it",
            expect=f"<name>{guest.name}</name>",
        ),
        limit=60.0,
        message=f"the guest to let go of {what}",
        otherwise=(
            f"its definition has the {kind} no more, so it is gone after a shutdown and start; or "
            "run this again once the guest has booted"
        ),
    )


def _poll(guest: Guest, command: Command, until: str) -> Poll:
    return Poll(
        command=command,
        limit=float(guest.run.start_timeout),
        message=f"guest {guest.name} {until}",
        otherwise=f"see what it says: kvmkeep console {guest.name}, {console_log(guest.name)}",
    )
