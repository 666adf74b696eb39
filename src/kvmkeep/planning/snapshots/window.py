"""The moment in which a guest stands still, and what ends it even if kvmkeep is killed in it.

A timer of systemd is started before the guest is touched, and stopped once the guest runs again.
The guest's root LV wears a tag meanwhile, so that the next run knows what a killed one left.
"""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.agent import agent_argv
from kvmkeep.model.command import UNIT_NOT_LOADED, Action, Command
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.names import LIBVIRT_URI, TAG_HELD
from kvmkeep.model.snapshot import Level
from kvmkeep.model.spec import Guest
from kvmkeep.planning.commands import has_state
from kvmkeep.planning.scene import Scene

_STATUS = "guest-fsfreeze-status"
_FREEZE = "guest-fsfreeze-freeze"
_THAW = "guest-fsfreeze-thaw"


class Window(Struct, frozen=True, kw_only=True):
    """What makes a guest stand still (`before`), proves it (`still`), and lets it go (`after`)."""

    before: tuple[Action, ...]
    still: Command
    after: tuple[Command, ...]


def window(scene: Scene, guest: Guest, level: Level, disks: int) -> Window:
    """Return the window in which so many snapshots are taken."""
    # One lvcreate takes a second or two on a slow host; the agent gets 15 s for the freeze.
    guard = _guard(guest, level, 60 + 15 * disks)
    freeze = (freeze_command(guest),) if level is Level.FROZEN else ()
    suspend = Command(
        argv=("virsh", "suspend", "--", guest.name),
        why="stop the guest's CPUs: QEMU ends all writes that are under way",
        timeout=20.0,
    )
    still = has_state(guest, DomainState.PAUSED, "see that the guest stood still all the time")
    return Window(
        before=(_hold(scene, guest, level), guard, *freeze, suspend),
        still=still,
        after=thaw_commands(scene, guest, level),
    )


def thaw_commands(scene: Scene, guest: Guest, level: str) -> tuple[Command, ...]:
    """Return what lets a guest run again and ends the guard; without effect if it already runs."""
    thaw = Command(
        argv=agent_argv(guest.name, _THAW, 5), why="thaw the guest's filesystems", timeout=20.0
    )
    return (
        # virsh(1) ends with 1 also where the guest is not suspended.
        Command(
            argv=("virsh", "resume", "--", guest.name),
            why="let the guest's CPUs run",
            ok=(0, 1),
            timeout=20.0,
        ),
        has_state(guest, DomainState.RUNNING, "see that the guest runs"),
        *((thaw,) if level == Level.FROZEN else ()),
        *forget(scene, guest),
    )


def forget(scene: Scene, guest: Guest) -> tuple[Command, ...]:
    """Return what ends the guard, and takes away the tag of a guest that was held."""
    return (
        Command(
            argv=("systemctl", "stop", f"{_unit(guest)}.timer", f"{_unit(guest)}.service"),
            why="stop the guard",
            ok=(0, UNIT_NOT_LOADED),
        ),
        Command(
            argv=(
                "lvchange",
                *(word for level in Level for word in ("--deltag", TAG_HELD + level)),
                scene.full_name(guest.root.lv),
            ),
            why="the guest is not held any more",
        ),
    )


def freeze_command(guest: Guest) -> Command:
    """Return what freezes a guest's filesystems (qemu-ga-ref(7))."""
    return Command(
        argv=agent_argv(guest.name, _FREEZE, 15), why="freeze the guest's filesystems", timeout=30.0
    )


def thaw_again(guest: Guest) -> Command:
    """Return what has an agent forget that it froze the filesystems, if there is one.

    qemu-ga notes the freeze in a file of its state directory (qga/main.c, "isfrozen"). Where that
    is on a disk and not in memory, the file is in the snapshot too, and after a revert the agent
    takes nearly no command any more.
    """
    return Command(
        argv=agent_argv(guest.name, _THAW, 5),
        why="an agent may believe that its filesystems are still frozen, as they were in the set",
        ok=(0, 1),
        timeout=20.0,
    )


def agent_answers(guest: Guest) -> Command:
    """Succeed only while the guest's agent answers, and nobody has frozen the filesystems."""
    return Command(
        argv=agent_argv(guest.name, _STATUS, 5),
        why="see that the guest's agent answers and nothing is frozen",
        expect='{"return":"thawed"}',
        timeout=20.0,
    )


def _hold(scene: Scene, guest: Guest, level: Level) -> Command:
    return Command(
        argv=(
            "lvchange", "--addtag", TAG_HELD + level,
            scene.full_name(guest.root.lv),
        ),
        why="note that the guest is held: if this run is killed, the next one lets it go",
    )  # fmt: skip


def _guard(guest: Guest, level: Level, seconds: int) -> Command:
    """Return a timer that lets the guest go by itself (systemd-run(1), systemd.service(5)).

    It tries again for two minutes where the agent does not answer at once.
    """
    look = has_state(guest, DomainState.RUNNING).argv
    last = agent_argv(guest.name, _THAW, 5) if level is Level.FROZEN else look
    return Command(
        argv=(
            "systemd-run", "--quiet", "--collect", f"--unit={_unit(guest)}",
            f"--on-active={seconds}s", "--timer-property=AccuracySec=1s",
            "--service-type=oneshot", f"--setenv=LIBVIRT_DEFAULT_URI={LIBVIRT_URI}",
            "--property=Restart=on-failure", "--property=RestartSec=5s",
            "--property=StartLimitIntervalSec=1h", "--property=StartLimitBurst=24",
            f"--property=ExecStartPre=-virsh resume -- {guest.name}", "--", *last,
        ),
        why=f"let the guest go after {seconds} s, even if this run is killed",
    )  # fmt: skip


def _unit(guest: Guest) -> str:
    return f"kvmkeep-thaw-{guest.name}"
