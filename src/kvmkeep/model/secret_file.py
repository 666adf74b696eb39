"""A file that holds a password or keys, as it is seen from outside."""

from __future__ import annotations

import shlex

from msgspec import Struct

from kvmkeep.model.host_units import BACKUP, PROVE, PRUNE

_CREDENTIALS = "/run/credentials/"
_HOW = "docs/how-to/backups.md, a password that systemd decrypts"
_OTHERS = 0o077
"""The permissions of group and others (inode(7))."""


class SecretFile(Struct, frozen=True, kw_only=True):
    """What stands at a path, through links.

    `kind` is "file" or what it is instead, empty where there is nothing. `owner` is a user's
    number, `mode` the permissions. `blank` when nothing stands in it. `error` tells why it can't
    be read; then nothing else is known for sure.
    """

    path: str
    kind: str = ""
    owner: int = 0
    mode: int = 0
    blank: bool = False
    error: str = ""

    @property
    def unit(self) -> str:
        """The unit of systemd that has it as a credential; empty where it is none.

        It is there only while that unit runs (systemd.exec(5), `LoadCredential=`).
        """
        head, credentials, rest = self.path.partition(_CREDENTIALS)
        return rest.partition("/")[0] if credentials and not head else ""

    @property
    def comes_and_goes(self) -> bool:
        """Whether it is missing, and there for one of our own units alone, which runs seldom."""
        return not self.kind and not self.error and self.unit in {BACKUP, PROVE, PRUNE}

    @property
    def trouble(self) -> tuple[tuple[str, str], ...]:
        """Why it is not to be used: reasons, each with what to do; none where it is well."""
        path = shlex.quote(self.path)
        if self.error:
            return ((f"{self.path} can't be read: {self.error}", f"look at it: ls -l {path}"),)
        if not self.kind and self.unit:
            hint = f"systemctl start {shlex.quote(self.unit)}"
            if self.comes_and_goes:
                hint = f"give it to a unit that always runs: {_HOW}"
            return ((f"{self.path} is there only while {self.unit} runs", hint),)
        if not self.kind:
            return ((f"{self.path} is missing", f"bring it back, then: chmod 600 {path}"),)
        if self.kind != "file":
            hint = "put the file there, or correct its path in host.yaml"
            return ((f"{self.path} is no file, but a {self.kind}", hint),)
        found: list[tuple[str, str]] = []
        if self.owner != 0:
            reason = f"{self.path} does not belong to root, but to the user {self.owner}"
            found.append((reason, f"chown root:root {path}"))
        if self.mode & _OTHERS:
            reason = f"{self.path} is not for root alone (its mode is {self.mode:04o})"
            found.append((reason, f"chmod 600 {path}"))
        if self.blank:
            found.append((f"{self.path} is empty", "write into it what belongs there"))
        return tuple(found)
