"""What is wanted of a change to a disk from outside: checked values, from flags or from a file."""

from __future__ import annotations

from dataclasses import dataclass, field

from kvmkeep.model.spec import Nic

OLD_DIR = "/var/lib/kvmkeep-old"
"""Inside a guest: where the old ones of replaced files lie, in a directory for each change.

Not beside the new ones: NetworkManager, sudo, cron and others read whatever lies in their
directories, under whatever name.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A user's password as a hash in crypt(5) form."""

    user: str
    hash: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKeys:
    """Keys with which one may log in as a user; they are added to those that are there."""

    user: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file with its content; `owner` is a user's name."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644
    owner: str = "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tweak:
    """All that is to be changed; what is absent stays as it is.

    `nics` are all of the guest's interfaces that its system sets up, each matched by its MAC.
    `cloud_init` switches it on or off; `datasources` is the list that it is to look through.
    `commands` run in the guest's tree, by its own shell. `replace` allows to overwrite `files`.
    """

    passwords: tuple[Password, ...] = ()
    ssh_keys: tuple[SshKeys, ...] = ()
    sudo: tuple[str, ...] = ()
    hostname: str = ""
    serial_console: bool = False
    nics: tuple[Nic, ...] = ()
    cloud_init: bool | None = None
    datasources: tuple[str, ...] = ()
    files: tuple[NewFile, ...] = ()
    commands: tuple[str, ...] = ()
    replace: bool = False

    @property
    def secret(self) -> bool:
        """Whether it holds what must not be shown: hashes, and contents of files."""
        return bool(self.passwords or self.files)
