"""What undoes a change of the network when nobody is left to do it.

NetworkManager's checkpoint is gone once NetworkManager is restarted or the power was cut, and it
activates devices anew that a `reapply` leaves in service. So before a change, a unit of systemd is
written that has the profiles be as they were, to the byte, and activates them, or takes them down.
kvmkeep itself starts it when the change proved bad; a timer does when kvmkeep was killed, and the
next boot. The unit's file is the mark: as long as it is there, the change was not kept.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import NM_NOT_FOUND, UNIT_NOT_LOADED, Command, Undo, WriteFile
from kvmkeep.model.host_units import UNIT_DIR
from kvmkeep.model.names import UNDO_BOOT, UNDO_DIR, UNDO_FILE, UNDO_LINK, UNDO_TIMER, UNDO_UNIT
from kvmkeep.model.network_facts import Profile, Undoing
from kvmkeep.model.plan import Noun, Risk, Step
from kvmkeep.model.store import part_path
from kvmkeep.planning.commands import synced
from kvmkeep.planning.scene import Scene
from kvmkeep.planning.units.quoting import unit_word

MARGIN = 15
"""Seconds by which NetworkManager's checkpoint comes first: where it works, it is enough."""

_THIS_BOOT = f"test -e {UNDO_BOOT}"
_OTHER_BOOT = f"test ! -e {UNDO_BOOT}"

_UNIT = f"""\
# Written by kvmkeep before it changes the network, and removed once the change is kept or undone.
[Unit]
Description=Undo a network change that was not proven good
Documentation=man:kvmkeep(1)
After=NetworkManager.service
Before=libvirtd.service virtqemud.service kvmkeep-recover.service
RequiresMountsFor={UNDO_DIR}
ConditionPathExists={UNDO_FILE}
StartLimitIntervalSec=0
"""
_SERVICE = """
[Service]
Type=oneshot
Restart=on-failure
RestartSec=3s
TimeoutStartSec=90s
"""
_INSTALL = """
[Install]
WantedBy=multi-user.target
"""


class Touched(Struct, frozen=True, kw_only=True):
    """What a change does to an interface: `profile` is the one from before, if there was one.

    `changed` when the profile is modified, `activated` when it was not active before. `there`
    tells whether the kernel had the interface. `asks_vlan` asks the kernel whether a VLAN
    interface is the one that its profile says; it was not where that was `pending`. `was` is what
    the kernel told of a bridge: files below the interface's folder, and what they hold.
    """

    uuid: str
    interface: str
    kind: str
    profile: Profile | None
    changed: bool
    activated: bool
    there: bool
    asks_vlan: tuple[str, ...] = ()
    pending: bool = False
    was: tuple[tuple[str, str], ...] = ()


def network_undo(touched: tuple[Touched, ...], after: int) -> Undo:
    """Return what undoes a change of a bridge and its port, given in this order."""
    kept = [one.profile for one in touched if one.changed and one.profile is not None]
    at_boot = _lasts(touched)
    lines = [_line(command) for command in (*_undone(touched), *_forget())]
    unit = _UNIT + _SERVICE + "\n".join(lines) + "\n" + _INSTALL
    return Undo(
        arm=(
            *_keep_files(kept),
            *((_of_this_boot(),) if _asks_for_boot(touched) else ()),
            WriteFile(
                path=UNDO_FILE,
                content=unit.encode(),
                mode=0o644,
                why="have the change undone by systemd unless it proves good",
            ),
            Command(
                argv=("systemctl", "--quiet", "enable", UNDO_UNIT),
                why="have it undone at the next boot, if the power goes out now",
            )
            if at_boot
            else _reload(),
            Command(
                argv=(
                    "systemd-run", "--quiet", f"--on-active={after}s",
                    "--timer-property=AccuracySec=1s", f"--unit={UNDO_UNIT}",
                ),
                why=f"have it undone after {after} s, if nobody is left to say that it is good",
            ),
        ),
        after=after,
        run=_run(),
        disarm=_forget(),
        settle=_reload(),
    )  # fmt: skip


def undo_steps(scene: Scene) -> tuple[Step, ...]:
    """Return what ends an unfinished change of the network; it must come before another one."""
    undoing = scene.facts.nm.undoing
    if undoing is Undoing.NOTHING:
        return ()
    armed = undoing is Undoing.ARMED
    # Since the look, a timer may have done it, and the unit has taken itself away.
    run = replace(_run(), ok=(0, UNIT_NOT_LOADED))
    return (
        Step(
            noun=Noun.NETWORK,
            subject="networks",
            what="undo the unfinished change" if armed else "remove what is left of an undo",
            why=f"a run was stopped in it: {UNDO_FILE} is still there"
            if armed
            else "a change was kept or undone before, and nothing is there to be put back",
            actions=(_reload(), *((run,) if armed else ()), *_forget(), _reload()),
            risk=Risk.NETWORK,
        ),
    )


def _lasts(touched: tuple[Touched, ...]) -> bool:
    """Whether the change is more than an activation, which the next boot does anyhow."""
    return any(one.changed or one.profile is None for one in touched)


def _asks_for_boot(touched: tuple[Touched, ...]) -> bool:
    """Whether another boot undoes less of the change than this one."""
    return any(one.activated or one.changed for one in touched)


def _of_this_boot() -> WriteFile:
    return WriteFile(path=UNDO_BOOT, content=b"", why="the next boot activates what it can anyhow")


def _reload() -> Command:
    return Command(argv=("systemctl", "daemon-reload"), why="reload systemd")


def _run() -> Command:
    return Command(
        argv=("systemctl", "start", UNDO_UNIT),
        why="undo the change of the network",
        timeout=95.0,
    )


def _keep_files(profiles: list[Profile]) -> tuple[Command, ...]:
    if not profiles:
        return ()
    files = tuple(profile.filename for profile in profiles)
    copies = tuple(_copy(profile) for profile in profiles)
    return (
        Command(
            argv=("mkdir", "--parents", "--mode=0755", UNDO_DIR),
            why="make the folder of what is kept",
        ),
        *(
            Command(
                argv=("cp", "--archive", "--", file, copy),
                why=f"keep the profile {file} as it is",
            )
            for file, copy in zip(files, copies, strict=True)
        ),
        Command(argv=("sync", "--", *copies, UNDO_DIR), why="flush the copies to disk"),
    )


def _copy(profile: Profile) -> str:
    return f"{UNDO_DIR}/{profile.uuid}"


def _undone(touched: tuple[Touched, ...]) -> Iterator[Command]:
    """Yield what has all be as it was, in this order: ports before bridges, then the other way.

    What was down goes down again, but not at another boot: that has activated what connects by
    itself, as it would have without the change, and guests may be on it.
    """
    for one in reversed(touched):
        if one.profile is None:
            yield _unless_gone(_nmcli("connection", "delete", "uuid", one.uuid))
        elif one.activated:
            down = _nmcli("connection", "down", "uuid", one.uuid)
            yield _unless_gone(down, f"{_OTHER_BOOT} || ")
    for one in touched:
        if one.changed and one.profile is not None:
            file = one.profile.filename
            yield _plain("cp", "--archive", "--", _copy(one.profile), file)
            yield _loaded(file)
    yield from (_as_it_says(one) for one in touched if one.changed and not one.pending)
    for one in touched:
        if one.profile is None or (one.activated and not one.there):
            yield _no_device(one)
    files = [one.profile.filename for one in touched if one.changed and one.profile is not None]
    if files:
        yield _plain("sync", "--", *files)


def _as_it_says(one: Touched) -> Command:
    """Return what has an interface be as its profile says; one that was down, only if it is up.

    Another boot may have made none of it: the uplink's NIC may be the one that is dead by now. A
    VLAN interface that has become another VLAN is made anew, as the change has made it.
    """
    gone = f"test ! -e {_device(one)}"
    idle = f"{_THIS_BOOT} || {gone}" if one.activated else f"{_OTHER_BOOT} && {gone}"
    active = _active_again(one, gone=one.activated)
    if one.was and not one.activated:
        # A profile that was changed by hand in what can't be reapplied (nm_device_reapply() checks
        # all of it) was refused to the change as well: then the kernel is as it was.
        files = " ".join(f"{_device(one)}/{file}" for file, _ in one.was)
        told = " ".join(text for _, text in one.was)
        as_it_was = f'''test "$(paste -d ' ' {files})" = "{told}"'''
        return replace(active, argv=("sh", "-c", f"{idle} || {active} || {as_it_was}"))
    if not one.asks_vlan:
        return _unless(idle, active)
    down = _nmcli("connection", "down", "uuid", one.uuid)
    anew = f"{{ {shlex.join(one.asks_vlan)} || {down}; exec {active}; }}"
    return replace(active, argv=("sh", "-c", f"{idle} || {anew}"))


def _no_device(one: Touched) -> Command:
    """Return what sees that an interface is gone that was not there before the change."""
    gone = _plain("test", "!", "-e", _device(one))
    return gone if one.profile is None else _unless(_OTHER_BOOT, gone)


def _device(one: Touched) -> str:
    return f"/sys/class/net/{one.interface}"


def _active_again(one: Touched, *, gone: bool = False) -> Command:
    """Return what has the kernel be as the profile says, with the guests on their bridge."""
    if one.kind == "bridge":
        return _nmcli("device", "reapply", one.interface, gone=gone)
    return _nmcli("connection", "up", "uuid", one.uuid, gone=gone)


def _unless(condition: str, command: Command) -> Command:
    """Return a command that does nothing where a condition of the shell holds."""
    return replace(command, argv=("sh", "-c", f"{condition} || exec {command}"))


def _unless_gone(command: Command, condition: str = "") -> Command:
    """Return a command of nmcli that is right as well where there is nothing of that name.

    Where NetworkManager does not answer, it is not: a profile that is left would come up with it.
    """
    return replace(command, argv=("sh", "-c", f"{condition}{command} || test $? = {NM_NOT_FOUND}"))


def _loaded(file: str) -> Command:
    """Return what has NetworkManager read a file, and fails where it does not.

    It names the file then, in the host's language, and nmcli ends well all the same.
    """
    load = _nmcli("connection", "load", file)
    named = f"case $told in *{shlex.quote(file)}*) exit 1; esac"
    text = f'told=$({load} 2>&1); code=$?; echo "$told"; {named}; exit $code'
    return replace(load, argv=("sh", "-c", text))


def _nmcli(*words: str, gone: bool = False) -> Command:
    return _plain("nmcli", "--wait", "20", *words, ok=(0, NM_NOT_FOUND) if gone else (0,))


def _plain(*argv: str, ok: tuple[int, ...] = (0,)) -> Command:
    return Command(argv=argv, why="", ok=ok)


def _stop_timer() -> Command:
    return Command(
        argv=("systemctl", "stop", UNDO_TIMER),
        why="stop the timer of the undo",
        ok=(0, UNIT_NOT_LOADED),
    )


def _forget() -> tuple[Command, ...]:
    """Return what keeps the state that there is: first the mark goes, then what it needs.

    They may be on filesystems of their own, and nothing orders what two of them write. A mark that
    came back after a power cut, without the copies, would undo a half of what was kept.
    """
    return (
        _stop_timer(),
        Command(
            argv=("rm", "--force", "--", UNDO_FILE, part_path(UNDO_FILE), UNDO_LINK),
            why="remove the undo: the network stays as it is now",
        ),
        synced(UNIT_DIR, "have it gone for good"),
        Command(
            argv=("rm", "--recursive", "--force", "--", UNDO_DIR, UNDO_BOOT),
            why="remove what it would have put back",
        ),
    )


def _line(command: Command) -> str:
    """Return a command as a line of a unit; a dash lets it fail (systemd.service(5))."""
    dash = "" if command.ok == (0,) else "-"
    return f"ExecStart={dash}{' '.join(map(unit_word, command.argv))}"
