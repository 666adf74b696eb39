"""What is wanted of a change to a disk from outside: checked values, from flags or from a file."""

from __future__ import annotations

from msgspec import Struct

from kvmkeep.model.spec import Nic

OLD_DIR = "/var/lib/kvmkeep-old"
"""Inside a guest: where the old ones of replaced files lie, in a directory for each change.

Not beside the new ones: NetworkManager, sudo, cron and others read whatever lies in their
directories, under whatever name.
"""


class Password(Struct, frozen=True, kw_only=True):
    """A user's password as a hash in crypt(5) form."""

    user: str
    hash: str

    def __repr__(self) -> str:
        return f"Password(user={self.user!r})"


class SshKeys(Struct, frozen=True, kw_only=True):
    """Keys with which one may log in as a user; they are added to those that are there."""

    user: str
    keys: tuple[str, ...]


class NewFile(Struct, frozen=True, kw_only=True):
    """A file with its content; `owner` is a user's name."""

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root"

    def __repr__(self) -> str:
        return f"NewFile(path={self.path!r}, mode={self.mode:#o}, owner={self.owner!r})"


class Tweak(Struct, frozen=True, kw_only=True):
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
