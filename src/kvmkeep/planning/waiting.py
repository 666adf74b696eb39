"""How a guest is waited for: until it is ready, has done its first boot, or is off."""

from __future__ import annotations

from typing import assert_never

from kvmkeep.model.command import Action, Command, Poll
from kvmkeep.model.names import console_log
from kvmkeep.model.spec import Guest, ReadyAgent, ReadyConsole, ReadyDelay, ReadyTcp
from kvmkeep.planning.seed import done_line


def first_boot_done(guest: Guest) -> Poll:
    """Wait for the last line of the first boot; virtlogd may have begun a new file since."""
    log = console_log(guest.name)
    command = Command(
        argv=("grep", "-aqsF", "-e", done_line(guest), "--", log, f"{log}.0"),
        why="see whether the guest said that its first boot is done",
    )
    return _poll(guest, command, "to finish its first boot")


def ready(guest: Guest) -> tuple[Action, ...]:
    """Wait until the guest is ready, as its spec defines that."""
    wanted = guest.run.ready
    argv: tuple[str, ...]
    match wanted:
        case ReadyAgent():
            ping = '{"execute":"guest-ping"}'
            argv = ("virsh", "qemu-agent-command", "--timeout", "5", "--", guest.name, ping)
            command = Command(argv=argv, why="ask the guest agent", timeout=30.0)
            return (_poll(guest, command, "to answer through its agent"),)
        case ReadyTcp():
            address = next(
                (str(address.ip) for nic in guest.nics for address in nic.addresses), guest.hostname
            )
            argv = ("nc", "-z", "-w", "3", address, str(wanted.port))
            command = Command(argv=argv, why="try to connect", timeout=30.0)
            return (_poll(guest, command, f"to take connections on port {wanted.port}"),)
        case ReadyConsole():
            log = console_log(guest.name)
            argv = ("grep", "-aqsE", "-e", wanted.pattern, "--", log)
            command = Command(argv=argv, why="look at the serial console's log")
            return (_poll(guest, command, "to say so on its console"),)
        case ReadyDelay():
            seconds = wanted.seconds
            return (
                Command(
                    argv=("sleep", str(seconds)),
                    why=f"give it {seconds} s, as the spec says",
                    timeout=seconds + 30.0,
                ),
            )
        case _:  # pragma: no cover - the type checker proves it
            assert_never(wanted)


def off(guest: Guest, limit: int) -> Poll:
    """Wait until the guest is off; `limit` is in seconds."""
    return Poll(
        command=Command(
            argv=("virsh", "domstate", "--", guest.name),
            why="see whether it is off",
            expect="shut off",
        ),
        limit=float(limit),
        message=f"guest {guest.name} to shut down",
        otherwise=(
            f"the guest goes on running; see why: virsh console {guest.name} "
            f"(pulling its plug is up to you: virsh destroy {guest.name})"
        ),
    )


def _poll(guest: Guest, command: Command, until: str) -> Poll:
    return Poll(
        command=command,
        limit=float(guest.run.start_timeout),
        message=f"guest {guest.name} {until}",
        otherwise=f"see what it says: kvmkeep console {guest.name}, {console_log(guest.name)}",
    )
