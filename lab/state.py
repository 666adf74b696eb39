"""What is known about the labs on this machine: one directory and one small file per lab."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

from lab import cache
from lab.errors import LabError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
SOCKET_LIMIT = 100


def state_root() -> Path:
    """Return the directory for the sockets and the state of running labs."""
    default = (
        Path("/run")
        if os.geteuid() == 0
        else Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    )
    root = Path(os.environ.get("KVMKEEP_LAB_STATE") or default / "kvmkeep-lab").absolute()
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"can't make the state directory {root}: {error.strerror}"
        raise LabError(message, "set KVMKEEP_LAB_STATE to a directory you may write to") from error
    return root


@dataclasses.dataclass
class State:
    """One lab: where its disks are, and which process runs it."""

    name: str
    disks: str
    port: int = 0
    pid: int = 0
    accelerator: str = ""
    images: str = ""
    forgetful: bool = False
    """Whether its disks lose at a power cut some of what was not flushed."""

    @property
    def place(self) -> Path:
        """Return the directory of the sockets and logs."""
        return state_root() / self.name

    def save(self) -> None:
        """Write the state, all or nothing."""
        self.place.mkdir(exist_ok=True, mode=0o700)
        temporary = self.place / ".lab.json"
        temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        temporary.rename(self.place / "lab.json")

    def is_running(self) -> bool:
        """Say whether the process is alive and is this lab's QEMU."""
        if not self.pid:
            return False
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
            zombie = "\nState:\tZ" in Path(f"/proc/{self.pid}/status").read_text()
            return f"kvmkeep-lab-{self.name}".encode() in words and not zombie
        return False

    def remove(self) -> None:
        """Remove the disks and the directory."""
        shutil.rmtree(self.disks, ignore_errors=True)
        shutil.rmtree(self.place, ignore_errors=True)


def check_name(name: str) -> None:
    """Refuse a name that can't be a file name, or that makes a socket's path too long."""
    if not NAME_PATTERN.fullmatch(name):
        message = f"{name!r} can't be the name of a lab"
        raise LabError(message, "use up to 32 lower-case letters, digits and hyphens")
    if len(str(state_root() / name / "ssh-master.sock.0123456789abcdef")) > SOCKET_LIMIT:
        message = f"the path of the state directory {state_root()} is too long for sockets"
        raise LabError(message, "set KVMKEEP_LAB_STATE to a shorter path")


def new_state(name: str) -> State:
    """Make the place for the disks of a new lab."""
    running = cache.cache_root() / "running"
    running.mkdir(exist_ok=True)
    # Noted before it is made: so whoever comes after a kill in between knows what to remove.
    state = State(name, str(running / f"{name}-{secrets.token_hex(4)}"))
    state.save()
    Path(state.disks).mkdir(mode=0o700)
    return state


def load_state(name: str) -> State | None:
    """Return the state of a lab, or nothing if there is no such lab."""
    try:
        return State(**json.loads((state_root() / name / "lab.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        message = f"the state of the lab {name!r} can't be read: {error}"
        raise LabError(message, f"remove {state_root() / name}") from error


def all_states() -> list[State]:
    """Return all labs, by name."""
    found = [load_state(path.parent.name) for path in sorted(state_root().glob("*/lab.json"))]
    return [state for state in found if state]
