"""What a step does: commands, files, waits. Values, built purely and run in one place."""

from __future__ import annotations

import shlex
from enum import StrEnum

from msgspec import Struct

from kvmkeep.model.names import LOCK_FILE, UNDO_FILE
from kvmkeep.model.units import Size

NOT_FOUND = 127
"""What a command ends with whose program is missing; a shell says it so."""
NOT_STARTED = 126
"""The same where the program is there, or its output file should be, but can't be used."""
UNIT_NOT_LOADED = 5
"""What systemctl ends with for a unit that is not there: systemctl(1), "EXIT STATUS"."""
NM_NOT_FOUND = 10
"""nmcli(1), "EXIT STATUS": connection, device, or access point does not exist."""


SPARE = Size(512 << 20)
"""What stays free of a filesystem: the journal, libvirt and guests' consoles write there too."""


class Progress(StrEnum):
    """How the progress of a long command is read from its output."""

    NONE = "none"
    QEMU_IMG = "qemu-img"
    """`qemu-img convert -p`: `(12.34/100%)` with carriage returns, on stdout."""
    BLOCKS = "blocks"
    """`kvmkeep blocks`: lines `123 of 456 bytes`, on stdout."""
    FILE_SIZE = "file-size"
    """The size of the file that is being written, compared with the expected size."""


class Meaning(Struct, frozen=True, kw_only=True):
    """What it means when a command ends badly and `words` are among its last lines.

    No words are always among them.
    """

    words: str
    sentence: str


class Command(Struct, frozen=True, kw_only=True):
    """A command line, and how its end is judged.

    `argv` never holds a secret; secrets go through `stdin`. `timeout` is in seconds. `stdout_to`
    names a file that receives stdout (mode 0600, written beside it and renamed when the command
    ended well). `expect` is, if not empty, the exact stdout (stripped) that counts as success.
    `meanings` are for ends that the tool's own words leave in the dark. `most` are the bytes of
    stdout that are kept, where those are more than usual; of `stdout_to`, those that it may have:
    a command that gives more is ended. So is one that leaves less than `SPARE` free on the
    filesystem of `spares`. One that is `proxied` gets the proxies of our own environment, and says
    nothing of who logs in there.
    """

    argv: tuple[str, ...]
    why: str
    timeout: float = 60.0
    ok: tuple[int, ...] = (0,)
    stdin: bytes = b""
    secret_stdin: bool = False
    stdout_to: str = ""
    expect: str = ""
    progress: Progress = Progress.NONE
    total_bytes: int = 0
    meanings: tuple[Meaning, ...] = ()
    most: int = 0
    spares: str = ""
    proxied: bool = False

    def __str__(self) -> str:
        return shlex.join(self.argv)


def innermost(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command line without the words that only give it an environment (env(1))."""
    if argv[1:2] == ("with-environment",):
        argv = argv[argv.index("--") + 1 :]
    if argv[0] == "env":
        argv = argv[next(at for at, word in enumerate(argv) if at and "=" not in word) :]
    return argv


class WriteFile(Struct, frozen=True, kw_only=True):
    """Write a file whole: beside it, synced, then renamed over it.

    Parent directories are made with `dir_mode`.
    """

    path: str
    content: bytes
    why: str
    mode: int = 0o600
    dir_mode: int = 0o755
    secret: bool = False


class Poll(Struct, frozen=True, kw_only=True):
    """Run a harmless command again and again until it succeeds.

    `limit` and `every` are in seconds. `message` says what is being waited for; `otherwise` what
    to look at when the limit is reached.
    """

    command: Command
    limit: float
    message: str
    otherwise: str = ""
    every: float = 2.0


class Undo(Struct, frozen=True, kw_only=True):
    """What undoes a change of the network when all else is gone: kvmkeep, checkpoints, power.

    `arm` is done before the change; from then on it happens by itself `after` so many seconds,
    and at the host's next boot. `run` has it happen now, and does not return before it did.
    `disarm` keeps the change; it may be done again, and where nothing is armed. `settle` is done
    after it: until systemd is reloaded it could still start the unit that is gone.
    """

    arm: tuple[Command | WriteFile, ...]
    after: int
    run: Command
    disarm: tuple[Command, ...]
    settle: Command


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Changes of the network that are undone unless they prove good.

    `body` makes the change. It is kept when `verify` held after it, and also each of `keeps` that
    held before it. Otherwise, `undo` is run. `own` are those of `keeps` that ask in the network
    itself; the others ask whether the host is reached. NetworkManager holds a checkpoint of
    `devices` (D-Bus object paths) meanwhile, and rolls back by itself after `timeout` seconds.
    """

    devices: tuple[str, ...]
    timeout: int
    body: tuple[Command, ...]
    verify: tuple[Poll, ...]
    undo: Undo
    why: str
    keeps: tuple[Poll, ...] = ()
    own: tuple[Poll, ...] = ()

    def create(self) -> Command:
        """Return the command that makes the checkpoint; it prints `o "/its/object/path"`.

        Flag 2 is DELETE_NEW_CONNECTIONS (nm-dbus-interface.h). The devices of a deleted profile
        go with it; DISCONNECT_NEW_DEVICES is refused for a checkpoint of named devices
        (nm_checkpoint_manager_create() in nm-checkpoint-manager.c). One of all devices would take
        it, but its rollback may activate those anew that others rest on.
        """
        count = str(len(self.devices))
        arguments = ("aouu", count, *self.devices, str(self.timeout), "2")
        return _to_nm("CheckpointCreate", *arguments, why="make a checkpoint of the network")

    def watch(self, checkpoint: str) -> Command:
        """Return what has the change undone as soon as this run is dead, however it died.

        The kernel gives its lock free then, which is waited for. Where the undo's unit is gone by
        then, the condition does not hold and nothing is done (systemd.service(5),
        "ExecCondition="). The checkpoint goes after it: its end would activate devices anew.
        """
        mark = f"flock --shared {LOCK_FILE} test -e {UNDO_FILE}"
        after = " ".join(self.destroy(checkpoint).argv)
        return Command(
            argv=(
                "systemd-run", "--quiet", "--collect", "--no-block", "--service-type=oneshot",
                f"--property=ExecCondition={mark}", f"--property=ExecStartPost=-{after}",
                *self.undo.run.argv,
            ),
            why="have it undone at once, should this run be killed",
        )  # fmt: skip

    def destroy(self, checkpoint: str) -> Command:
        """Return the command that keeps the changes made since the checkpoint."""
        why = "keep the changes: remove the checkpoint of the network"
        return _to_nm("CheckpointDestroy", "o", checkpoint, why=why)

    def roll_back(self, checkpoint: str) -> Command:
        """Return the command that undoes the changes made since the checkpoint.

        It prints how that went for each device: `a{su} 1 "/its/object/path" 0`.
        """
        why = "undo the changes of the network"
        return _to_nm("CheckpointRollback", "o", checkpoint, why=why)


def _to_nm(method: str, *arguments: str, why: str) -> Command:
    name = "org.freedesktop.NetworkManager"
    path = "/org/freedesktop/NetworkManager"
    return Command(argv=("busctl", "call", name, path, name, method, *arguments), why=why)


Action = Command | WriteFile | Poll | Checkpoint
"""What a step is made of; each is shown, journaled and faulted alike."""
